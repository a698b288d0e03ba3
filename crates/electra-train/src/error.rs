//! The crate's error type.

use electra_files::final_path;
use std::path::PathBuf;

/// An error in a training run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An invalid file.
    #[error("{}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The key or line, what is wrong with it, and what is expected.
        message: String,
    },
    /// An invalid value.
    #[error("{key} = {value}: {expected}")]
    Value {
        /// The key, as in the TOML file.
        key: String,
        /// The invalid value.
        value: String,
        /// The values that are valid.
        expected: String,
    },
    /// The shards differ from those that the run was trained on.
    #[error("{}: has {found}, but {} was trained with {expected}", shards.display(), run.display())]
    OtherShards {
        /// The run folder.
        run: PathBuf,
        /// The folder of shards.
        shards: PathBuf,
        /// The shards of the run.
        expected: String,
        /// The shards in the folder.
        found: String,
    },
    /// A run folder without an intact checkpoint.
    #[error("{}: no intact checkpoint to resume from{}", run.display(), reasons(rejected))]
    NoCheckpoint {
        /// The run folder.
        run: PathBuf,
        /// Why each checkpoint was rejected.
        rejected: Vec<String>,
    },
    /// A checkpoint is damaged or of another model.
    #[error("{}: {message}", path.display())]
    Checkpoint {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The loss or its gradient is NaN or infinite.
    #[error(
        "step {step}: the loss is {loss} and the gradient norm {norm}; checkpoints of this run are from before this step; try a lower optimizer.learning_rate or a longer warm-up"
    )]
    NonFinite {
        /// The step that failed, counted from 0.
        step: u64,
        /// The total loss.
        loss: f64,
        /// The gradient norm.
        norm: f64,
    },
    /// An error of `electra-files`: a file or folder that cannot be read or written, a path that has something else, an
    /// invalid config, a non-empty output folder.
    #[error(transparent)]
    Files(#[from] electra_files::Error),
    /// An error of `electra-data`.
    #[error(transparent)]
    Data(#[from] electra_data::Error),
    /// An error of `electra-tokenize`.
    #[error(transparent)]
    Tokenize(#[from] electra_tokenize::Error),
    /// An error of `electra-model`.
    #[error(transparent)]
    Model(#[from] electra_model::Error),
    /// An error of `electra-torch` or libtorch.
    #[error(transparent)]
    Torch(#[from] electra_torch::Error),
}

fn reasons(rejected: &[String]) -> String {
    rejected.iter().map(|reason| format!("\n  {reason}")).collect()
}

/// Result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let error = electra_files::Error::io(path);
        |cause| error(cause).into()
    }

    pub(crate) fn checkpoint(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::Checkpoint { path: final_path(path), message: message.to_string() }
    }

    pub(crate) fn value(key: &str, value: impl ToString, expected: impl ToString) -> Self {
        Self::Value {
            key: key.to_owned(),
            value: value.to_string(),
            expected: expected.to_string(),
        }
    }
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}
