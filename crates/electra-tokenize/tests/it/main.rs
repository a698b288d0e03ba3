//! Tests of the public API: encoding, vocabulary training, files.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod encode;
mod extend;
mod files;
mod golden;
mod train;

use electra_tokenize::{TokenizerConfig, Vocab, WordPiece};

/// A tokenizer whose vocabulary is the special tokens (ids 0 to 4) and `tokens` (ids from 5).
pub(crate) fn tokenizer(tokens: &[&str], config: TokenizerConfig) -> WordPiece {
    WordPiece::new(vocab(tokens), config).unwrap()
}

pub(crate) fn vocab(tokens: &[&str]) -> Vocab {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    Vocab::from_tokens(special.iter().chain(tokens).map(|&t| t.to_owned()).collect()).unwrap()
}
