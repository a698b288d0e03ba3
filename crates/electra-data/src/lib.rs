//! Corpora to shards to masked batches. Plain integers, no libtorch.
//!
//! - [`corpus`]: documents out of text, JSON lines and Parquet, compressed or not, streamed;
//! - [`packing`]: sentences to `[CLS] a [SEP] b [SEP]` examples, without losing text;
//! - [`build`]: shards, in parallel, the same bytes for any number of threads;
//! - [`shard`]: reading them, with checksums;
//! - [`masking`], [`sampler`], [`loader`]: dynamic masking, global shuffling, prefetch.
//!
//! Every random choice is keyed by (seed, purpose, epoch or document, example): see [`rng`].

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;

pub mod batch;
pub mod build;
pub mod corpus;
mod error;
pub mod loader;
pub mod masking;
pub mod packing;
mod place;
pub mod rng;
pub mod sampler;
pub mod shard;

pub use batch::{MaskedBatch, evaluation_batches};
pub use build::{BuildConfig, BuildReport, build_shards};
pub use corpus::{Corpus, CorpusConfig, DocumentBoundary, Encoding, Sentences};
pub use electra_files::Existing;
pub use error::{Error, Result};
pub use loader::{Loader, LoaderConfig};
pub use masking::{MaskedPositions, Masking, ReferenceMasking, UniformMasking};
pub use packing::{Example, PackingConfig};
pub use sampler::Sampler;
pub use shard::{ShardIndex, ShardSet, Split, copy_tokenizer, verify};
