//! The sizes of a config that the shards determine.

use super::RunConfig;
use crate::error::{Error, Result};
use electra_data::ShardIndex;
use std::path::Path;

/// Rows of an embedding table beyond the vocabulary, at most, unless they come from a model. Tables are padded to a multiple
/// of a power of two, for speed on a GPU; a larger difference is a vocabulary of another size.
const MOST_PADDING: i64 = 1024;

impl RunConfig {
    /// Checks that the sequence length is that of a folder of shards, and that the embedding table has a row for each token.
    ///
    /// # Errors
    /// Naming the folder and each key that does not fit.
    pub(crate) fn check_sizes(&self, shards: &Path, index: &ShardIndex) -> Result<()> {
        let (length, rows) = (self.data.sequence_length, self.model.discriminator.vocab_size);
        let (of_shards, tokens) = (index.sequence_length, index.vocab_size as i64);
        // A model to start from has its own table.
        let most = match self.init.from.as_os_str().is_empty() {
            true => tokens + MOST_PADDING,
            false => i64::MAX,
        };
        let mut others = Vec::new();
        if length != of_shards {
            others.push(format!("data.sequence_length = {length}: must be {of_shards}"));
        }
        if !(tokens..=most).contains(&rows) {
            others.push(format!(
                "model.vocab_size = {rows}: must be {tokens}; up to {MOST_PADDING} more are padding of the embedding table"
            ));
        }
        if others.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the shards have other sizes than the config:\n  {}\n(or \"shards\" for the numbers of the shards)",
            others.join("\n  ")
        );
        Err(Error::Config { path: shards.to_owned(), message })
    }

    /// A note on the rows of the embedding table that are not tokens, if there are any.
    pub(crate) fn padding_note(&self, index: &ShardIndex) -> Option<String> {
        let (rows, tokens) = (self.model.discriminator.vocab_size, index.vocab_size as i64);
        (rows > tokens).then(|| {
            format!(
                "model.vocab_size = {rows}, for {tokens} tokens of the shards: the other {} rows of the embedding table are padding",
                rows - tokens
            )
        })
    }
}
