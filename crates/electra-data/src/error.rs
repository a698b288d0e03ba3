//! The crate's error type.

use std::path::PathBuf;

/// What can go wrong between a corpus and a batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder that could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Text that is not UTF-8.
    #[error("{}: byte {offset} (line {line}) is not UTF-8; convert the file, or use --lossy to replace such bytes", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Offset of the first wrong byte in the decompressed text.
        offset: u64,
        /// Its line, from 1.
        line: u64,
    },
    /// A record that cannot be read.
    #[error("{}:{line}: {message}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line or row, from 1.
        line: u64,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A path without a file that can be read.
    #[error("{}: {message}", path.display())]
    Corpus {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A corpus that does not fill one example, or leaves a split without one.
    #[error("{}: {documents} documents with {tokens} tokens are too little: {needed}", path.display())]
    TooSmall {
        /// The corpus.
        path: PathBuf,
        /// Documents with text.
        documents: u64,
        /// Tokens in all.
        tokens: u64,
        /// What would be enough.
        needed: String,
    },
    /// An output folder whose replacement would remove files of the corpus.
    #[error("{} contains {} of the corpus: name another output folder", out.display(), file.display())]
    CorpusInOutput {
        /// The output folder.
        out: PathBuf,
        /// The file of the corpus.
        file: PathBuf,
    },
    /// From the crate of files: an output folder that is not replaced, a file that could not be written.
    #[error(transparent)]
    Files(#[from] electra_files::Error),
    /// A shard or index that is not what was written.
    #[error("{}: {message}", path.display())]
    Shard {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A setting that nothing can be made with.
    #[error("{key} = {value}: {expected}")]
    Value {
        /// Its name.
        key: &'static str,
        /// The value found.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// From the tokenizer.
    #[error(transparent)]
    Tokenize(#[from] electra_tokenize::Error),
    /// A worker thread panicked; with its message.
    #[error("a loader thread ended unexpectedly: {0}")]
    Worker(String),
}

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }

    pub(crate) fn shard(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::Shard { path: path.into(), message: message.to_string() }
    }
}
