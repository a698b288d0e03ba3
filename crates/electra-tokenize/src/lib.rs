//! BERT WordPiece for ELECTRA: words to ids, over the `tokenizers` crate.
//!
//! - [`Vocab`]: ids and tokens, with the five special tokens as a type;
//! - [`Tokenizer`] and its shipped implementation [`WordPiece`], equal to the `tokenizers` pipeline and
//!   faster, since words repeat and their ids are remembered;
//! - [`train_vocab`]: a vocabulary from a corpus, the same bytes for any number of threads;
//! - Hugging Face's `vocab.txt`, `tokenizer.json` and `tokenizer_config.json`, in and out.
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

mod config;
mod error;
mod pretrained;
mod split;
mod tokenizer_json;
mod train;
mod vocab;
mod wordpiece;

pub use config::{Accents, Case, TokenizerConfig};
pub use error::{Error, Result};
pub use train::{TrainConfig, train_vocab};
pub use vocab::{SpecialTokens, Vocab};
pub use wordpiece::{Tokenizer, WordPiece};
