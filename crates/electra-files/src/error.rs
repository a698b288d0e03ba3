//! The crate's error type.

use std::path::PathBuf;

/// Errors of files, folders and configs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be used: a syntax error, an unknown key, a value of the wrong type.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the key or line, and what is expected.
        message: String,
    },
    /// A `KEY=VALUE` override that does not fit the config.
    #[error("--set {assignment}: {message}")]
    Set {
        /// The override as given.
        assignment: String,
        /// What is wrong and what is expected.
        message: String,
    },
    /// The output folder is not empty.
    #[error("{} is not empty: choose another folder, resume its run with --resume, or replace it with --overwrite", .0.display())]
    NotEmpty(PathBuf),
    /// The output folder is not empty and was not made by the command that would replace it.
    #[error(
        "{} is not empty and {reason}, so it was not made by this command and --overwrite does not replace it; choose another folder",
        path.display()
    )]
    NotReplaced {
        /// The folder.
        path: PathBuf,
        /// How it differs from a folder that the command makes.
        reason: String,
    },
    /// Another process holds the lock of the output.
    #[error("{} is being written by another process: wait for it, stop it, or choose another output", .0.display())]
    InUse(PathBuf),
    /// The new folder is complete but could not be moved to the output path.
    #[error("{source}; the new folder is complete in {}: move it yourself", complete.display())]
    NotMoved {
        /// The new folder.
        complete: PathBuf,
        /// Why it could not be moved.
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

/// The result type of this crate.
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
