//! The crate's error type.

use std::path::PathBuf;

/// What can go wrong with vocabularies and tokenizers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// From the crate of files: a file that could not be read or written.
    #[error(transparent)]
    Files(#[from] electra_files::Error),
    /// A file that is not what its name says.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A vocabulary without special tokens that ELECTRA needs.
    #[error("{origin}: no {} in the vocabulary; it needs [PAD], [UNK], [CLS], [SEP] and [MASK]", missing.join(", "))]
    MissingSpecial {
        /// The file, or "the vocabulary".
        origin: String,
        /// The missing ones.
        missing: Vec<String>,
    },
    /// A token that stands twice.
    #[error("{origin}: token {token:?} stands in line {first} and again in line {second}")]
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
    #[error("{origin}: line {line} is empty; a vocabulary has one token a line")]
    EmptyToken {
        /// The file, or "the vocabulary".
        origin: String,
        /// The line, from 1.
        line: usize,
    },
    /// A vocabulary size that cannot be reached.
    #[error("a vocabulary of {size} tokens cannot hold the 5 special tokens and the {alphabet} characters of the corpus: ask for at least {}", alphabet + 5)]
    TooSmall {
        /// What was asked for.
        size: usize,
        /// Characters, as first and as later pieces of words.
        alphabet: usize,
    },
    /// A corpus without a word.
    #[error("the corpus has no text to learn a vocabulary from")]
    NoText,
    /// Reading the corpus failed.
    #[error("{0}")]
    Corpus(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The `tokenizers` crate refused something.
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
