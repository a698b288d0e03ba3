//! The vocabulary of a model folder, compared with that of the shards.

use crate::error::{Error, Result};
use electra_tokenize::{Tokenizer, WordPiece};
use std::path::Path;

/// The tokenizers of the model folder `model` and of `shards`, which have the same vocabulary.
///
/// # Errors
/// If a tokenizer cannot be read, or an error that names `key` and the first difference.
pub(crate) fn same_vocabulary(key: &str, model: &Path, shards: &Path) -> Result<[WordPiece; 2]> {
    let theirs = WordPiece::from_pretrained_dir(model)?;
    let ours = WordPiece::from_pretrained_dir(&shards.join("tokenizer"))?;
    let (their_tokens, our_tokens) = (theirs.vocab().tokens(), ours.vocab().tokens());
    if their_tokens == our_tokens {
        return Ok([theirs, ours]);
    }
    let first_difference = their_tokens.iter().zip(our_tokens).position(|(a, b)| a != b);
    let difference = match first_difference {
        Some(id) => format!(
            "id {id} is {:?} in the model, {:?} in the shards",
            their_tokens[id], our_tokens[id]
        ),
        None => format!(
            "{} tokens in the model, {} in the shards",
            their_tokens.len(),
            our_tokens.len()
        ),
    };
    let expected = format!(
        "has another vocabulary than {}: {difference}; build the shards with --vocab {}",
        shards.display(),
        model.display(),
    );
    Err(Error::value(key, model.display(), expected))
}
