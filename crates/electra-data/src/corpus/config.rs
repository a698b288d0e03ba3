//! Settings for reading a corpus.

use super::sentences::Sentences;
use serde::{Deserialize, Serialize};

/// How to read a corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusConfig {
    /// The text field of JSON lines and Parquet.
    pub field: String,
    /// How documents are separated in plain text. In other formats each record is a document.
    pub documents: DocumentBoundary,
    /// How sentences are separated.
    pub sentences: Sentences,
    /// How to handle invalid UTF-8.
    pub encoding: DecodeErrors,
}

impl Default for CorpusConfig {
    /// Field `text`, documents separated by blank lines, Unicode sentences, strict UTF-8.
    fn default() -> Self {
        Self {
            field: "text".to_owned(),
            documents: DocumentBoundary::BlankLine,
            sentences: Sentences::Unicode,
            encoding: DecodeErrors::Strict,
        }
    }
}

/// How documents are separated in plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum DocumentBoundary {
    /// By blank lines, as in the reference, and the end of a file.
    BlankLine,
    /// Only by the end of a file.
    File,
}

/// How to handle invalid UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecodeErrors {
    /// An error that names the file, byte and line.
    Strict,
    /// Invalid bytes are replaced by U+FFFD, which the tokenizer drops.
    Lossy,
}
