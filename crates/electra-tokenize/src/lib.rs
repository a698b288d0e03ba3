//! BERT WordPiece for ELECTRA, built on the `tokenizers` crate.
//!
//! - [`Vocab`]: tokens and their ids, with the five special tokens as a type;
//! - [`Tokenizer`] and its implementation [`WordPiece`]: the same ids as the `tokenizers` pipeline, but faster
//!   because the ids of words are cached;
//! - [`train_vocab`]: trains a vocabulary; the result does not depend on the number of threads;
//! - reading and writing Hugging Face's `vocab.txt`, `tokenizer.json` and `tokenizer_config.json`, which records the
//!   settings of a vocabulary, and added tokens.
//!
//! ```
//! use electra_tokenize::{Tokenizer, TokenizerConfig, Vocab, WordPiece};
//!
//! let tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cafe", "##s", "!"];
//! let vocab = Vocab::from_tokens(tokens.map(str::to_owned).to_vec())?;
//! let tokenizer = WordPiece::new(vocab, TokenizerConfig::default())?;
//! assert_eq!(tokenizer.encode("Cafés!")?, [5, 6, 7]);
//! # Ok::<(), electra_tokenize::Error>(())
//! ```

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;

mod added;
mod config;
mod error;
mod extend;
mod pretrained;
mod split;
mod tokenizer_json;
mod train;
mod vocab;
mod wordpiece;

pub use config::{Accents, Case, TokenizerConfig, TokenizerOptions};
pub use error::{Error, Result};
pub use extend::{NewWord, Placement, is_unused};
pub use pretrained::record_path;
pub use tokenizers::AddedToken;
pub use train::{TrainConfig, train_vocab};
pub use vocab::{SpecialTokens, Vocab};
pub use wordpiece::{Tokenizer, UnknownCause, UnknownWord, WordPiece};
