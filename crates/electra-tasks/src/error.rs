//! The crate's error type.

use std::path::PathBuf;

/// An error of tasks, fine-tuning or predictions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An invalid row, file or value, of this crate or of `electra-scores`.
    #[error(transparent)]
    Data(#[from] electra_scores::Error),
    /// An error of training, or of a crate below it: the tokenizer, the networks, libtorch.
    #[error(transparent)]
    Train(#[from] electra_train::Error),
    /// The loss of a seed became NaN or infinite.
    #[error("seed {seed}: {cause}")]
    Diverged {
        /// The seed.
        seed: u64,
        /// The step and its loss.
        cause: electra_train::Error,
    },
}

/// Result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of lower crates are those of the crate that wraps them.
macro_rules! wrapped {
    ($($variant:ident: $error:ty),+ $(,)?) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$variant(error.into())
            }
        }
    )+};
}

wrapped!(
    Data: electra_files::Error,
    Train: electra_tokenize::Error,
    Train: electra_model::Error,
    Train: electra_torch::Error,
    Train: tch::TchError,
);

impl Error {
    /// An I/O error of a file, for `map_err`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let error = electra_scores::Error::io(path);
        |cause| error(cause).into()
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
