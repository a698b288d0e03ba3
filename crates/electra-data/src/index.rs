//! `index.json` of a folder of shards, and the names of its other files.

use crate::{Error, Result};
use electra_tokenize::SpecialTokens;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

/// Version of the format of shards and their index.
pub(crate) const VERSION: u32 = 1;
/// `index.json`.
pub(crate) const INDEX: &str = "index.json";
/// `token_counts.json`: the training split's counts by id.
pub(crate) const COUNTS: &str = "token_counts.json";
/// The folder of the tokenizer's files.
pub(crate) const TOKENIZER: &str = "tokenizer";

/// The two parts of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// What is trained on.
    Train,
    /// Documents kept for evaluation.
    HeldOut,
}

/// `index.json`: what a folder of shards holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardIndex {
    /// Version of the format.
    pub format: u32,
    /// Tokens of an example at most.
    pub sequence_length: usize,
    /// Size of the vocabulary.
    pub vocab_size: usize,
    /// SHA-256 of the vocabulary ([`electra_tokenize::Vocab::hash`]).
    pub vocab_hash: String,
    /// Its special tokens.
    pub special: SpecialTokens,
    /// The training split.
    pub train: SplitIndex,
    /// The held-out split.
    pub held_out: SplitIndex,
    /// What was made of the corpus; zeros in shards of an older build.
    #[serde(default)]
    pub report: BuildReport,
}

/// One split's part of the index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitIndex {
    /// Files, in order, below the folder.
    pub files: Vec<String>,
    /// Documents.
    pub documents: u64,
    /// Examples.
    pub examples: u64,
    /// Tokens, special ones included.
    pub tokens: u64,
}

impl ShardIndex {
    /// Reads a folder's `index.json`.
    ///
    /// # Errors
    /// Naming the file.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(INDEX);
        let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
        let index: Self = serde_json::from_str(&text).map_err(|e| Error::shard(&path, e))?;
        if index.format != VERSION {
            let message = format!("format {}, this version reads {VERSION}", index.format);
            return Err(Error::shard(&path, message));
        }
        Ok(index)
    }

    /// One split's part.
    pub fn split(&self, split: Split) -> &SplitIndex {
        match split {
            Split::Train => &self.train,
            Split::HeldOut => &self.held_out,
        }
    }
}

/// What was made of a corpus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildReport {
    /// Files read.
    pub files: u64,
    /// Files of the folder that are of no readable kind.
    pub files_left_out: u64,
    /// Bytes of text.
    pub text_bytes: u64,
    /// Documents with text.
    pub documents: u64,
    /// Sentences with tokens.
    pub sentences: u64,
    /// Tokens of the text; all of them are in the shards.
    pub text_tokens: u64,
    /// Sentences that gave no token (control characters alone) and were dropped.
    pub sentences_dropped: u64,
    /// Words that became `[UNK]`.
    pub unknown_tokens: u64,
    /// Those of them that are longer than the tokenizer's limit.
    pub overlong_words: u64,
    /// Bytes that were not UTF-8, became U+FFFD and so gave no token ([`crate::Encoding::Lossy`]).
    pub replaced_bytes: u64,
    /// Examples in the training split.
    pub train_examples: u64,
    /// Examples in the held-out split.
    pub held_out_examples: u64,
}
