//! The `index.json` of a folder of shards, and the names of the other files.

use crate::{Error, Result, report::BuildReport};
use electra_files::{PathKind, read_json};
use electra_tokenize::SpecialTokens;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the shard and index formats.
pub(crate) const VERSION: u32 = 1;
/// `index.json`.
pub(crate) const INDEX: &str = "index.json";
/// `token_counts.json`: token counts of the training split by id.
pub(crate) const COUNTS: &str = "token_counts.json";
/// The folder with the tokenizer's files.
pub(crate) const TOKENIZER: &str = "tokenizer";

/// The two parts of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Documents for training.
    Train,
    /// Documents held out for evaluation.
    HeldOut,
}

/// `index.json`: the contents of a folder of shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardIndex {
    /// Version of the format.
    pub format: u32,
    /// Maximum tokens per example.
    pub sequence_length: usize,
    /// Size of the vocabulary.
    pub vocab_size: usize,
    /// SHA-256 of the vocabulary ([`electra_tokenize::Vocab::hash`]).
    pub vocab_hash: String,
    /// Ids of its special tokens.
    pub special: SpecialTokens,
    /// The training split.
    pub train: SplitIndex,
    /// The held-out split.
    pub held_out: SplitIndex,
    /// Statistics of the build; zeros in shards from older versions.
    #[serde(default)]
    pub report: BuildReport,
}

/// The index of one split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitIndex {
    /// File names in the folder, in order.
    pub files: Vec<String>,
    /// Documents.
    pub documents: u64,
    /// Examples.
    pub examples: u64,
    /// Tokens, including special tokens.
    pub tokens: u64,
}

impl ShardIndex {
    /// Reads the `index.json` of a folder.
    ///
    /// # Errors
    /// The folder is not one of shards; the file cannot be read or has another format version.
    pub fn read(dir: &Path) -> Result<Self> {
        PathKind::Shards.require(dir)?;
        let path = dir.join(INDEX);
        let index: Self = read_json(&path)?;
        if index.format != VERSION {
            let message =
                format!("format {}, but this version reads format {VERSION}", index.format);
            return Err(Error::shard(&path, message));
        }
        Ok(index)
    }

    /// The index of a split.
    pub fn split(&self, split: Split) -> &SplitIndex {
        match split {
            Split::Train => &self.train,
            Split::HeldOut => &self.held_out,
        }
    }
}
