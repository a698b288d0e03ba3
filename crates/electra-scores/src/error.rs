//! The crate's error type.

use electra_files::final_path;
use std::path::PathBuf;

/// What can go wrong when files are read and scored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A data file with a row that cannot be used.
    #[error("{file}:{line}: {message}")]
    Row {
        /// The file.
        file: String,
        /// The line, from 1; the header counts.
        line: u64,
        /// What is wrong, in which column, and what is expected.
        message: String,
    },
    /// A file or folder that cannot be used.
    #[error("{}: {message}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what is expected.
        message: String,
    },
    /// A value out of range.
    #[error("{key} = {value}: {expected}")]
    Value {
        /// The key, as in the TOML file.
        key: String,
        /// The value found.
        value: String,
        /// What is expected.
        expected: String,
    },
    /// A file or folder that could not be read or written, a task description with a fault, an override that does not
    /// fit.
    #[error(transparent)]
    Files(#[from] electra_files::Error),
}

/// Result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An I/O error of the file or folder `path`, for `map_err`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let error = electra_files::Error::io(path);
        |cause| error(cause).into()
    }

    /// An [`Error::File`].
    pub fn file(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::File { path: final_path(path), message: message.to_string() }
    }

    /// An [`Error::Row`].
    pub fn row(file: &str, line: u64, message: impl ToString) -> Self {
        Self::Row { file: file.to_owned(), line, message: message.to_string() }
    }

    /// An [`Error::Value`].
    pub fn value(key: &str, value: impl ToString, expected: impl ToString) -> Self {
        Self::Value {
            key: key.to_owned(),
            value: value.to_string(),
            expected: expected.to_string(),
        }
    }
}
