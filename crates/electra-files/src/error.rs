//! The crate's error type.

use std::path::PathBuf;

/// What can go wrong with files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A config file with a syntax error, an unknown key or a value of the wrong type.
    #[error("{}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The key, what is wrong with it, what would be right.
        message: String,
    },
    /// A `KEY=VALUE` override that does not fit the config.
    #[error("--set {assignment}: {message}")]
    Set {
        /// As given.
        assignment: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A file or folder that could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// For `map_err`: an I/O error of `path`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}
