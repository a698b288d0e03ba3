//! Behaviour of the public interface: encoding, training, files.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod encode;
mod files;
mod golden;
mod train;

use electra_tokenize::{TokenizerConfig, Vocab, WordPiece};

/// A tokenizer over the special tokens (ids 0 to 4) and `tokens` (ids from 5).
pub(crate) fn tokenizer(tokens: &[&str], config: TokenizerConfig) -> WordPiece {
    WordPiece::new(vocab(tokens), config).unwrap()
}

pub(crate) fn vocab(tokens: &[&str]) -> Vocab {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    Vocab::from_tokens(special.iter().chain(tokens).map(|&t| t.to_owned()).collect()).unwrap()
}
