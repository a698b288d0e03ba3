//! The config of a pre-training run: its TOML file, and validation with errors that name the key.

mod evaluate;
mod masking;
mod resume;
mod sizes;

pub use crate::objective::ObjectiveConfig;
pub use evaluate::{EvaluateConfig, Probe, ReferenceGenerator};
pub use masking::MaskingConfig;

use crate::{
    error::{Error, Result},
    objective::ObjectiveSettings,
    optim::OptimizerConfig,
    schedule::Schedule,
};
use electra_data::ShardIndex;
use electra_files::{number_or_word, parse_toml, read_toml};
use electra_model::{ElectraConfig, EncoderConfig, config::OF_SHARDS};
use serde::{Deserialize, Deserializer, Serialize};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The upper limit of `train.batch_size` and `train.accumulate`: a larger value is probably a mistake.
pub const LARGEST_BATCH: usize = 1 << 20;

/// A pre-training config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Weights to initialize from; optional.
    #[serde(default)]
    pub init: InitConfig,
    /// Training data.
    pub data: DataConfig,
    /// Steps, batch size, seed, device.
    pub train: TrainConfig,
    /// Checkpoints.
    pub checkpoint: CheckpointConfig,
    /// Evaluation on the held-out split.
    pub evaluate: EvaluateConfig,
    /// Adam and its schedule.
    pub optimizer: OptimizerConfig,
    /// The training objective.
    pub objective: ObjectiveConfig,
    /// The networks.
    pub model: ElectraConfig,
}

/// The `[init]` section: trained weights to initialize from. Optimizer, schedule and data order start from the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InitConfig {
    /// A model folder (of a discriminator or a BERT) or a run folder; empty for random weights.
    pub from: PathBuf,
    /// The generator's model folder; if empty, `FROM/generator` if it exists, else random weights.
    pub generator: PathBuf,
}

/// The `[data]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A folder made by `electra shards build`.
    pub shards: PathBuf,
    /// Tokens per sequence; must match the shards. In a file, `"shards"` stands for their number.
    #[serde(deserialize_with = "sequence_length")]
    pub sequence_length: usize,
    /// Threads that prepare batches. Results do not depend on the number.
    pub loader_threads: usize,
}

/// The `[train]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Number of updates.
    pub steps: u64,
    /// Sequences per forward and backward pass.
    pub batch_size: usize,
    /// Gradient accumulation: passes per update. An update's batch has `batch_size * accumulate` sequences.
    pub accumulate: usize,
    /// Seed of all random choices.
    pub seed: u64,
    /// `"auto"`, `"cpu"` or `"cuda:N"`.
    pub device: String,
    /// Updates between rows of metrics.jsonl.
    pub log_every: u64,
    /// Hours after which a session of training stops with a checkpoint; 0 for no limit.
    #[serde(default)]
    pub max_hours: f64,
}

/// The `[checkpoint]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Updates between checkpoints; one is also written at the end and on Ctrl-C.
    pub every: u64,
    /// How many of the newest checkpoints to keep; 0 keeps all.
    pub keep_last: usize,
}

/// The sequence length of a config with `sequence_length = "shards"`, until the shards are read.
const LENGTH_OF_SHARDS: usize = usize::MAX;

fn sequence_length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let number = number_or_word(deserializer, OF_SHARDS)?;
    Ok(number.map_or(LENGTH_OF_SHARDS, |length| length as usize))
}

impl RunConfig {
    /// Reads `path`, applies `KEY=VALUE` overrides, replaces `"shards"` by the numbers of `data.shards` and checks every
    /// value.
    ///
    /// # Errors
    /// [`Error::Files`] or [`Error::Value`] naming the key; if the shards are needed and cannot be read.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        Self::checked(read_toml(path, overrides)?)
    }

    /// [`Self::read`] for a text; errors name `path`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self> {
        Self::checked(parse_toml(text, path, overrides)?)
    }

    fn checked(mut config: Self) -> Result<Self> {
        config.resolve()?;
        config.validate()?;
        Ok(config)
    }

    /// Replaces the numbers that are `"shards"` by those of the shards.
    fn resolve(&mut self) -> Result<()> {
        let length = self.data.sequence_length == LENGTH_OF_SHARDS;
        let vocab_size = self.model.discriminator.vocab_size == EncoderConfig::VOCAB_SIZE_OF_SHARDS;
        let key = match (length, vocab_size) {
            (false, false) => return Ok(()),
            (true, _) => "data.sequence_length",
            (false, true) => "model.vocab_size",
        };
        let shards = &self.data.shards;
        let index = ShardIndex::read(shards).map_err(|error| {
            let expected = format!("is the number of data.shards, but {error}");
            Error::value(key, format!("{OF_SHARDS:?}"), expected)
        })?;
        if length {
            self.data.sequence_length = index.sequence_length;
        }
        if vocab_size {
            let size = index.vocab_size as i64;
            self.model.networks_mut().for_each(|network| network.vocab_size = size);
        }
        Ok(())
    }

    /// The config as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a config of plain values serializes")
    }

    /// Checks every value that does not need the data.
    ///
    /// # Errors
    /// Naming the first invalid key.
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
        let hours = self.train.max_hours;
        if !(hours >= 0.0 && hours.is_finite()) {
            return Err(Error::value("train.max_hours", hours, "must be 0 or more"));
        }
        for (key, value) in [
            ("train.batch_size", self.train.batch_size),
            ("train.accumulate", self.train.accumulate),
        ] {
            if value > LARGEST_BATCH {
                return Err(Error::value(key, value, format!("must be at most {LARGEST_BATCH}")));
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

    /// The time limit of a session of training.
    pub fn time_limit(&self) -> Option<Duration> {
        let hours = self.train.max_hours;
        // A time beyond the range of a duration is no limit.
        (hours > 0.0).then(|| Duration::try_from_secs_f64(3600.0 * hours).ok()).flatten()
    }

    /// The learning rate schedule.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            peak: self.optimizer.learning_rate,
            warmup_steps: self.optimizer.warmup_steps,
            total_steps: self.train.steps,
            decay_power: self.optimizer.decay_power,
        }
    }
}
