//! The crate's error type.

use std::path::PathBuf;

/// What can go wrong with files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be used: a syntax error, an unknown key, a value of the wrong type.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the key or line, and what would be right.
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
    /// The output folder is not empty.
    #[error("{} is not empty: name another folder, continue what it holds with --resume, or replace it with --overwrite", .0.display())]
    NotEmpty(PathBuf),
    /// The output folder is not empty and was not made by the command that would replace it.
    #[error(
        "{} is not empty and {reason}: it is not what this command writes, so --overwrite does not replace it; name another folder",
        path.display()
    )]
    NotReplaced {
        /// The folder.
        path: PathBuf,
        /// How it differs from what the command writes.
        reason: String,
    },
    /// Another process has the lock of the output.
    #[error("{} is being written by another process: wait for it, stop it, or choose another output", .0.display())]
    InUse(PathBuf),
    /// A new folder that is complete but could not be moved to its place.
    #[error("{source}; the new folder is complete in {}: move it yourself", complete.display())]
    NotMoved {
        /// The new folder.
        complete: PathBuf,
        /// Why it was not moved.
        source: Box<Error>,
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
    pub(crate) fn invalid(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::Invalid { path: path.into(), message: message.to_string() }
    }

    /// For `map_err`: an I/O error of `path`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}
