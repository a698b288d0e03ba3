//! The crate's error type.

use crate::report::BuildReport;
use electra_files::final_path;
use std::path::PathBuf;

/// Errors of corpora, shards and batches.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text file is not valid UTF-8.
    #[error("{}: invalid UTF-8 at byte {offset} (line {line}); convert the file, or use --lossy to replace such bytes", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Offset of the first invalid byte in the decompressed text.
        offset: u64,
        /// Its line, from 1.
        line: u64,
    },
    /// A record of a corpus is invalid.
    #[error("{}:{line}: {message}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line or row, from 1.
        line: u64,
        /// What is wrong and what is expected.
        message: String,
    },
    /// A corpus has no readable file.
    #[error("{}: {message}", path.display())]
    Corpus {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what is expected.
        message: String,
    },
    /// The corpus is too small for one example, or a split would be empty.
    #[error("{}: the corpus is too small ({documents} documents with {tokens} tokens): {needed}", path.display())]
    TooSmall {
        /// The corpus.
        path: PathBuf,
        /// Documents that have text.
        documents: u64,
        /// Total number of tokens.
        tokens: u64,
        /// What is needed.
        needed: String,
    },
    /// Too many tokens of the corpus are `[UNK]`.
    #[error("{}: {}; to build the shards anyway, use electra shards build --max-unknown 1", path.display(), report.unknown())]
    Unknown {
        /// The corpus.
        path: PathBuf,
        /// The statistics of the build.
        report: Box<BuildReport>,
    },
    /// Replacing the output folder would delete files of the corpus.
    #[error("{} contains {}, which belongs to the corpus: use another output folder", out.display(), file.display())]
    CorpusInOutput {
        /// The output folder.
        out: PathBuf,
        /// The file of the corpus.
        file: PathBuf,
    },
    /// From `electra-files`: a file or folder could not be read or written, a path has something else, or an output folder may
    /// not be replaced.
    #[error(transparent)]
    Files(#[from] electra_files::Error),
    /// A shard or index is damaged or does not fit the others.
    #[error("{}: {message}", path.display())]
    Shard {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// An invalid setting.
    #[error("{key} = {value}: {expected}")]
    Value {
        /// Name of the setting.
        key: &'static str,
        /// The value found.
        value: String,
        /// What is expected.
        expected: String,
    },
    /// From `electra-tokenize`.
    #[error(transparent)]
    Tokenize(#[from] electra_tokenize::Error),
    /// A worker thread of the loader panicked; has the panic message.
    #[error("a data loader thread panicked: {0}")]
    Worker(String),
}

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let error = electra_files::Error::io(path);
        |cause| error(cause).into()
    }

    pub(crate) fn shard(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::Shard { path: final_path(path), message: message.to_string() }
    }
}
