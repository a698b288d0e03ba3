//! The crate's error type.

use std::path::PathBuf;

/// What can go wrong when a model is configured, built, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A config value that no model can be built from.
    #[error("model.{key} = {value}: {expected}")]
    Config {
        /// The key, as in the TOML file.
        key: String,
        /// The value found.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A file that could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file whose contents are not what its name says.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Tensors whose names, shapes or kinds are not the model's; every difference is listed.
    #[error("{}: the tensors are not this model's:\n  {}", path.display(), list(differences))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// One line per difference.
        differences: Vec<String>,
    },
    /// A variable name that is used twice, which tch would rename without a word.
    #[error("variable {0:?} is defined twice: give each part its own path")]
    DuplicateVariable(String),
    /// A network has a part that does not ship with this crate, and nobody has put it in.
    #[error(
        "{seam} = {name:?}: there is no such part here ({} {}); add yours with Parts::with_{seam}({name:?}, ..), see \
         docs/guide/04-swap-a-part.md",
        if known.len() == 1 { "there is" } else { "there are" },
        known.join(", ")
    )]
    UnknownPart {
        /// The seam.
        seam: &'static str,
        /// The part's name.
        name: String,
        /// The parts that the seam can hold.
        known: Vec<String>,
    },
    /// A part from outside that the network does not have.
    #[error("the part {seam} = {name:?} was added, and the network has {seam} = {found:?}")]
    UnusedPart {
        /// The seam.
        seam: &'static str,
        /// The part's name.
        name: String,
        /// The part that the network has.
        found: String,
    },
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// Lines of an error's list at most.
const MAX_LINES: usize = 20;

/// At most [`MAX_LINES`] lines; if there are more, the last one counts the rest.
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
        let path = path.into();
        |source| Self::Io { path, source }
    }

    pub(crate) fn format(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::Format { path: path.into(), message: message.to_string() }
    }
}
