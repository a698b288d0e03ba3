//! The run config: what is in its TOML file, and checks of the values that name the key.

mod masking;
mod resumed;

pub use crate::objective::ObjectiveConfig;
pub use masking::MaskingConfig;

use crate::{
    error::{Error, Result},
    objective::ObjectiveSettings,
    optim::OptimizerConfig,
    schedule::Schedule,
};
use electra_files::read_toml;
use electra_model::ElectraConfig;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A whole pre-training config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Where weights come from before the first update; none without the section.
    #[serde(default)]
    pub init: InitConfig,
    /// What is read.
    pub data: DataConfig,
    /// How long, how much at once, where.
    pub train: TrainConfig,
    /// When state is saved.
    pub checkpoint: CheckpointConfig,
    /// When held-out metrics are made.
    pub evaluate: EvaluateConfig,
    /// Adam and its schedule.
    pub optimizer: OptimizerConfig,
    /// What is learned.
    pub objective: ObjectiveConfig,
    /// What learns.
    pub model: ElectraConfig,
}

/// The `[init]` section: where weights come from before the first update. The optimizer, the schedule and the
/// order of the data start anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitConfig {
    /// A model folder (the discriminator's, or a BERT's) or a run folder; empty for fresh weights.
    pub from: PathBuf,
    /// The generator's model folder; empty for `FROM/generator` where that is there, or fresh weights.
    pub generator: PathBuf,
}

/// The `[data]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Folder made by `electra shards build`.
    pub shards: PathBuf,
    /// Tokens per sequence; must be the shards'.
    pub sequence_length: usize,
    /// Threads that make batches. The bits do not depend on it.
    pub loader_threads: usize,
}

/// The `[train]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Updates.
    pub steps: u64,
    /// Sequences of one forward and backward pass.
    pub batch_size: usize,
    /// Passes whose gradients make one update; the batch of an update is `batch_size * accumulate`.
    pub accumulate: usize,
    /// Every random choice is a function of it.
    pub seed: u64,
    /// `"auto"`, `"cpu"` or `"cuda:N"`.
    pub device: String,
    /// Updates between rows of metrics.jsonl.
    pub log_every: u64,
}

/// The `[checkpoint]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Updates between checkpoints; one is always written at the end and on Ctrl-C.
    pub every: u64,
    /// Newest checkpoints kept; 0 keeps all.
    pub keep_last: usize,
}

/// The `[evaluate]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Updates between evaluations on the held-out split; 0 for none.
    pub every: u64,
}

impl RunConfig {
    /// Reads `path`, applies `KEY=VALUE` overrides and checks every value.
    ///
    /// # Errors
    /// [`Error::Files`] or [`Error::Value`] naming the key.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let config: Self = read_toml(path, overrides)?;
        config.validate()?;
        Ok(config)
    }

    /// The config as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a config of plain values serialises")
    }

    /// Checks every value that does not need the data.
    ///
    /// # Errors
    /// Naming the first key that no run can be made with.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        self.optimizer.validate()?;
        self.objective.validate(&self.model)?;
        for (key, value) in [
            ("train.steps", self.train.steps),
            ("train.batch_size", self.train.batch_size as u64),
            ("train.accumulate", self.train.accumulate as u64),
            ("train.log_every", self.train.log_every),
            ("checkpoint.every", self.checkpoint.every),
            ("data.loader_threads", self.data.loader_threads as u64),
        ] {
            if value == 0 {
                return Err(Error::value(key, value, "must be at least 1"));
            }
        }
        let length = self.data.sequence_length as i64;
        let positions = self.model.discriminator.max_positions;
        if length > positions {
            let limit = format!("must be at most model.max_positions = {positions}");
            return Err(Error::value("data.sequence_length", length, limit));
        }
        Ok(())
    }

    /// The learning rate of every step.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            peak: self.optimizer.learning_rate,
            warmup_steps: self.optimizer.warmup_steps,
            total_steps: self.train.steps,
            decay_power: self.optimizer.decay_power,
        }
    }
}
