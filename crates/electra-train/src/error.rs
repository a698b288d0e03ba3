//! The crate's error type.

use std::path::PathBuf;

/// What can go wrong in a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A config file that does not say what to do.
    #[error("{}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The key, what is wrong with it, what would be right.
        message: String,
    },
    /// A value that no run can be made with.
    #[error("{key} = {value}: {expected}")]
    Value {
        /// The key, as in the TOML file.
        key: String,
        /// The value found.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// Shards that are not the run's.
    #[error("{}: has {found}; {} was made with {expected}", shards.display(), run.display())]
    OtherShards {
        /// The run folder.
        run: PathBuf,
        /// The folder of shards.
        shards: PathBuf,
        /// What the run was made with.
        expected: String,
        /// What the shards have.
        found: String,
    },
    /// A run folder without a usable checkpoint.
    #[error("{}: no whole checkpoint to resume from{}", run.display(), reasons(rejected))]
    NoCheckpoint {
        /// The run folder.
        run: PathBuf,
        /// Why each checkpoint there is was refused.
        rejected: Vec<String>,
    },
    /// A checkpoint that is damaged or of another model.
    #[error("{}: {message}", path.display())]
    Checkpoint {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The loss or its gradient is no longer a number.
    #[error(
        "step {step}: the gradient norm is {norm} (loss {loss}); nothing of it is in a checkpoint, the last one is kept; a lower optimizer.learning_rate or a longer warm-up usually helps"
    )]
    NonFinite {
        /// The step that failed, counted from 0 (updates done so far).
        step: u64,
        /// The total loss.
        loss: f64,
        /// The gradient norm.
        norm: f64,
    },
    /// A file or folder that could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// From the crate of files: a config that cannot be read, an output folder that is not replaced.
    #[error(transparent)]
    Files(#[from] electra_files::Error),
    /// From the data crate.
    #[error(transparent)]
    Data(#[from] electra_data::Error),
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

fn reasons(rejected: &[String]) -> String {
    rejected.iter().map(|reason| format!("\n  {reason}")).collect()
}

/// Result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }

    pub(crate) fn checkpoint(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::Checkpoint { path: path.into(), message: message.to_string() }
    }

    pub(crate) fn value(key: &str, value: impl ToString, expected: impl ToString) -> Self {
        Self::Value {
            key: key.to_owned(),
            value: value.to_string(),
            expected: expected.to_string(),
        }
    }
}
