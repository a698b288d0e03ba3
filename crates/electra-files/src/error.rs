//! The crate's error type.

use crate::{name::final_path, suggest::did_you_mean};
use std::{
    io::{self, ErrorKind},
    path::PathBuf,
};

/// Errors of files, folders and configs.
///
/// The message of an error includes its cause, which is therefore not its `source()` as well; so it is for all errors of
/// the workspace.
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
    #[error("{cause}; the new folder is complete in {}: move it yourself", complete.display())]
    NotMoved {
        /// The new folder.
        complete: PathBuf,
        /// Why it could not be moved.
        cause: Box<Error>,
    },
    /// A path that does not have what is needed there: a run folder in place of a model folder, a missing file.
    #[error("{} {message}", path.display())]
    WrongPath {
        /// The path as given.
        path: PathBuf,
        /// What is there, what is needed, and what to do, to complete "PATH ...".
        message: String,
    },
    /// A file or folder that could not be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
}

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::Invalid`].
    pub fn invalid(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::Invalid { path: final_path(path), message: message.to_string() }
    }

    /// An [`Error::WrongPath`].
    pub fn wrong_path(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::WrongPath { path: final_path(path), message: message.to_string() }
    }

    /// For `map_err`: an I/O error of `path`. If the path does not exist, the message has a similar one that does.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = final_path(path);
        |cause| match cause.kind() {
            ErrorKind::NotFound => {
                let message = format!("no such file or folder{}", did_you_mean(&path));
                Self::Io { path, cause: io::Error::new(ErrorKind::NotFound, message) }
            }
            _ => Self::Io { path, cause },
        }
    }

    /// Whether the file or folder does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == ErrorKind::NotFound)
    }
}
