//! How a corpus is read.

use super::sentences::Sentences;
use serde::{Deserialize, Serialize};

/// How a corpus is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusConfig {
    /// The field of JSON lines and Parquet that holds the text.
    pub field: String,
    /// What divides documents in plain text; in other formats each record is one.
    pub documents: DocumentBoundary,
    /// What a sentence is.
    pub sentences: Sentences,
    /// What happens to bytes that are not UTF-8.
    pub encoding: Encoding,
}

impl Default for CorpusConfig {
    /// Field `text`, documents divided by blank lines, Unicode sentences, strict UTF-8.
    fn default() -> Self {
        Self {
            field: "text".to_owned(),
            documents: DocumentBoundary::BlankLine,
            sentences: Sentences::Unicode,
            encoding: Encoding::Strict,
        }
    }
}

/// What divides documents in plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentBoundary {
    /// Blank lines, as the reference; the end of a file always does.
    BlankLine,
    /// The end of a file only.
    File,
}

/// What happens to bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// An error that names file, byte and line.
    Strict,
    /// They become U+FFFD, which the tokenizer drops.
    Lossy,
}
