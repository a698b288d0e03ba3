//! The crate's error type.

use std::path::PathBuf;

/// Errors of vocabularies and tokenizers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file could not be read or written, from `electra-files`.
    #[error(transparent)]
    Files(#[from] electra_files::Error),
    /// A file does not have the expected format.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and what is expected.
        message: String,
    },
    /// A vocabulary lacks special tokens.
    #[error("{origin}: missing special tokens {}; a vocabulary needs [PAD], [UNK], [CLS], [SEP] and [MASK]", missing.join(", "))]
    MissingSpecial {
        /// The file, or "the vocabulary".
        origin: String,
        /// The missing tokens.
        missing: Vec<String>,
    },
    /// A duplicate token.
    #[error("{origin}: duplicate token {token:?} on lines {first} and {second}")]
    Duplicate {
        /// The file, or "the vocabulary".
        origin: String,
        /// The token.
        token: String,
        /// Its first line, from 1.
        first: usize,
        /// Its second line, from 1.
        second: usize,
    },
    /// An empty line in a vocabulary.
    #[error("{origin}: line {line} is empty; a vocabulary has one token per line")]
    EmptyToken {
        /// The file, or "the vocabulary".
        origin: String,
        /// The line, from 1.
        line: usize,
    },
    /// The vocabulary size is too small for the alphabet.
    #[error("vocabulary size {size} is too small for the 5 special tokens and the {alphabet} characters of the corpus; use at least {}", alphabet + 5)]
    TooSmall {
        /// The requested size.
        size: usize,
        /// Number of characters, counting those that start a word and those that continue one separately.
        alphabet: usize,
    },
    /// The corpus has no words.
    #[error("the corpus is empty: there is no text to train a vocabulary on")]
    NoText,
    /// The corpus could not be read.
    #[error("{0}")]
    Corpus(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The `tokenizers` crate returned an error.
    #[error("tokenizers: {0}")]
    Tokenizers(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }

    pub(crate) fn format(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::Format { path: path.into(), message: message.to_string() }
    }
}
