//! The crate's error type.

use electra_files::{final_path, nearest};
use std::path::PathBuf;

/// An error in configuring, building, reading or writing a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An invalid config value.
    #[error("model.{key} = {value}: {expected}")]
    Config {
        /// The key, as in the TOML file.
        key: String,
        /// The invalid value.
        value: String,
        /// The values that are valid.
        expected: String,
    },
    /// A file or folder that cannot be read or written, or a path that has something else.
    #[error(transparent)]
    Files(#[from] electra_files::Error),
    /// A file has invalid or unsupported contents.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and what is expected.
        message: String,
    },
    /// Tensors whose names, shapes or kinds do not match the model; lists every difference.
    #[error("{}: the tensors do not match the model:\n  {}", path.display(), list(differences))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// One line per difference.
        differences: Vec<String>,
    },
    /// A duplicate variable name, which tch would rename silently.
    #[error("duplicate variable {0:?}: give each part its own path")]
    DuplicateVariable(String),
    /// A config names a part that is not in [`crate::Parts`].
    #[error(
        "{seam} = {name:?}: this program has no such part{}; a custom part needs the program that has it, or \
         Parts::with_{seam}({name:?}, ..) in your own (docs/guide/04-swap-a-part.md)",
        nearest(name, known.iter().map(String::as_str))
    )]
    UnknownPart {
        /// The seam.
        seam: &'static str,
        /// The part's name.
        name: String,
        /// The parts available for the seam.
        known: Vec<String>,
    },
    /// A custom part was added, but no network uses it.
    #[error("the custom part {seam} = {name:?} is not used: the network has {seam} = {found:?}")]
    UnusedPart {
        /// The seam.
        seam: &'static str,
        /// The part's name.
        name: String,
        /// The part that the network uses.
        found: String,
    },
    /// An operation of libtorch failed.
    #[error(transparent)]
    Torch(#[from] electra_torch::Error),
}

/// Maximum number of lines in an error's list.
const MAX_LINES: usize = 20;

/// At most [`MAX_LINES`] lines; if there are more, the last line counts the rest.
fn list(lines: &[String]) -> String {
    if lines.len() <= MAX_LINES {
        return lines.join("\n  ");
    }
    let (shown, rest) = lines.split_at(MAX_LINES - 1);
    format!("{}\n  and {} more", shown.join("\n  "), rest.len())
}

/// Result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let error = electra_files::Error::io(path);
        |cause| error(cause).into()
    }

    pub(crate) fn format(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::Format { path: final_path(path), message: message.to_string() }
    }
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}
