//! The crate's error type.

use std::path::PathBuf;

/// What can go wrong with tasks, fine-tuning and predictions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A data file with a row that cannot be used.
    #[error("{file}:{line}: {message}")]
    Row {
        /// The file.
        file: String,
        /// The line, from 1, header included.
        line: u64,
        /// What is wrong, in which column, and what would be right.
        message: String,
    },
    /// A task description or data file that cannot be used as a whole.
    #[error("{}: {message}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A value that nothing can be made with.
    #[error("{key} = {value}: {expected}")]
    Value {
        /// The key, as in the TOML file.
        key: String,
        /// The value found.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A file or folder that could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Training from a seed came to a loss that is no number.
    #[error("seed {seed}: {source}")]
    Diverged {
        /// The seed.
        seed: u64,
        /// Which update, and what its loss was.
        source: electra_train::Error,
    },
    /// From the crate of files: a config that cannot be read, an output folder that is not replaced.
    #[error(transparent)]
    Files(#[from] electra_files::Error),
    /// From training.
    #[error(transparent)]
    Train(#[from] electra_train::Error),
    /// From the tokenizer crate.
    #[error(transparent)]
    Tokenize(#[from] electra_tokenize::Error),
    /// From the model crate.
    #[error(transparent)]
    Model(#[from] electra_model::Error),
    /// From the libtorch layer.
    #[error(transparent)]
    Torch(#[from] electra_torch::Error),
    /// From libtorch itself.
    #[error("libtorch: {0}")]
    Tch(#[from] tch::TchError),
}

/// Result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::File { path: path.into(), message: message.to_string() }
    }

    pub(crate) fn row(file: &str, line: u64, message: impl ToString) -> Self {
        Self::Row { file: file.to_owned(), line, message: message.to_string() }
    }

    pub(crate) fn value(key: &str, value: impl ToString, expected: impl ToString) -> Self {
        Self::Value {
            key: key.to_owned(),
            value: value.to_string(),
            expected: expected.to_string(),
        }
    }
}
