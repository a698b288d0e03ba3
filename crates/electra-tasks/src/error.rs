//! The crate's error type.

use std::path::PathBuf;

/// What can go wrong with tasks, fine-tuning and predictions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A row, a file or a value that cannot be used, from this crate or from the one that reads and scores.
    #[error(transparent)]
    Data(#[from] electra_scores::Error),
    /// The loss of a seed became NaN or infinite.
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
    /// An I/O error of a file, for `map_err`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let error = electra_scores::Error::io(path);
        |source| error(source).into()
    }

    /// An error about a file or folder.
    pub fn file(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        electra_scores::Error::file(path, message).into()
    }

    /// An error about a line of a file.
    pub fn row(file: &str, line: u64, message: impl ToString) -> Self {
        electra_scores::Error::row(file, line, message).into()
    }

    /// An error about the value of a key.
    pub fn value(key: &str, value: impl ToString, expected: impl ToString) -> Self {
        electra_scores::Error::value(key, value, expected).into()
    }
}
