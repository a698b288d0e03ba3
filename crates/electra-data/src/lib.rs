//! Text corpora, token shards and masked batches of plain integers. Does not need libtorch.
//!
//! - [`corpus`]: streams documents from text, JSON lines and Parquet files, optionally compressed;
//! - [`packing`]: packs sentences into `[CLS] a [SEP] b [SEP]` examples, without losing text;
//! - [`build`]: builds shards in parallel, with the same result for any number of threads;
//! - [`shard`]: reads shards and verifies checksums;
//! - [`masking`], [`sampler`], [`loader`]: dynamic masking, global shuffling, prefetch.
//!
//! All randomness is keyed by (seed, purpose, epoch or document, example): see [`rng`].

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;

pub mod batch;
pub mod build;
pub mod corpus;
mod error;
mod held_out;
mod index;
pub mod loader;
pub mod masking;
mod output;
pub mod packing;
mod report;
pub mod rng;
pub mod sampler;
pub mod shard;
mod split_writer;
mod vocabulary;

/// What this crate's functions take and return.
pub use electra_tokenize::{
    self, SpecialTokens, Tokenizer, TokenizerConfig, TokenizerOptions, TrainConfig, Vocab,
    WordPiece, train_vocab,
};

pub use batch::{MaskedBatch, evaluation_batches};
pub use build::{BuildConfig, build_shards};
pub use corpus::{Corpus, CorpusConfig, DecodeErrors, DocumentBoundary, Sentences};
pub use electra_files::Existing;
pub use error::{Error, Result};
pub use index::{ShardIndex, Split, SplitIndex};
pub use loader::{Loader, LoaderConfig};
pub use masking::{
    MaskedPositions, Masking, NGramMasking, RareMasking, ReferenceMasking, UniformMasking,
    WholeWordMasking,
};
pub use packing::{Example, PackingConfig};
pub use report::{BuildReport, WordInCorpus};
pub use sampler::Sampler;
pub use shard::{ShardSet, copy_tokenizer, verify};
pub use vocabulary::{TrainedVocabulary, train_vocabulary};
