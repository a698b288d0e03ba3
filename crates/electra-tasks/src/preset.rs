//! Published hyperparameters of fine-tuning, by the size of the model and the group of the task.
//!
//! The paper and the code released with it differ in two values: the weight decay is 0 in the paper and 0.01 in the
//! code, and the learning rate of Small is 3e-4 and 1e-4.
//!
//! Source: Clark et al. 2020, Table 7; reference `configure_finetuning.py`.

use crate::{
    config::{
        Batches, CheckpointConfig, Choose, EvaluateConfig, FinetuneConfig, Finished, HeadConfig,
        HeadKind, LossReduction, Pooling, RatesConfig, SpanConfig, TrainConfig,
    },
    error::Result,
};
use electra_files::Section;
use electra_model::{EncoderConfig, Precision, hf};
use std::path::Path;

/// The source of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Preset {
    /// Table 7 of the paper.
    Paper,
    /// The defaults of the released code: weight decay 0.01, and for Small a learning rate of 1e-4.
    Repo,
}

/// The model sizes with published values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Below 768 hidden units.
    Small,
    /// From 768 hidden units on.
    Base,
    /// From 1024 hidden units on.
    Large,
}

impl Size {
    /// The size of an encoder by its hidden units.
    pub fn of(encoder: &EncoderConfig) -> Self {
        match encoder.hidden {
            ..768 => Self::Small,
            768..1024 => Self::Base,
            1024.. => Self::Large,
        }
    }
}

/// Groups of tasks with the same hyperparameters; see [`crate::Task::group`].
///
/// Departure: the reference looks for `squad` or `qa` in the name of a task, which misses `naturalqs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// 3 epochs, inputs of up to 128 tokens.
    Usual,
    /// RTE and STS-B: 10 epochs.
    Long,
    /// Questions on texts: 2 epochs, inputs of up to 512 tokens.
    Questions,
    /// Chunking, and tagging of any kind: 3 epochs, inputs of up to 256 tokens.
    Chunking,
}

impl Group {
    /// The group of several tasks trained together: that of the task with the longest inputs, or [`Group::Long`] if all
    /// of them are in it.
    pub fn of_all(groups: &[Self]) -> Self {
        let long = groups.iter().all(|&group| group == Self::Long);
        [Self::Questions, Self::Chunking]
            .into_iter()
            .find(|group| groups.contains(group))
            .unwrap_or(if long { Self::Long } else { Self::Usual })
    }
}

impl Preset {
    /// The value of `--preset`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Repo => "repo",
        }
    }

    /// The config for the model in the folder `model` and a group of tasks, with the `[config]` section of a task's file
    /// and, over that, `KEY=VALUE` overrides ([`FinetuneConfig::for_task`]). Lengths that the model has no positions for
    /// are lowered, unless they are set ([`FinetuneConfig::fit`]).
    ///
    /// # Errors
    /// If the folder has no readable `config.json`; as [`FinetuneConfig::for_task`].
    pub fn read(
        self,
        model: &Path,
        group: Group,
        task: &Section,
        overrides: &[String],
    ) -> Result<FinetuneConfig> {
        let encoder = hf::read_config(model)?.encoder;
        let size = Size::of(&encoder);
        tracing::info!(
            "preset {}: the values of {size:?}, for a model with {} hidden units",
            self.name(),
            encoder.hidden
        );
        let origin = format!("--preset {}", self.name());
        let mut config = self.config(size, group).for_task(&origin, task, overrides)?;
        let set = |key: &str| overrides.iter().any(|set| set.split('=').next() == Some(key));
        config.fit(encoder.max_positions as usize, |key| set(key) || task.has(key));
        Ok(config)
    }

    /// The config for a size and a group of tasks.
    pub fn config(self, size: Size, group: Group) -> FinetuneConfig {
        let learning_rate = match (size, self) {
            (Size::Small, Self::Paper) => 3e-4,
            (Size::Small, Self::Repo) | (Size::Base, _) => 1e-4,
            (Size::Large, _) => 5e-5,
        };
        FinetuneConfig {
            train: TrainConfig {
                epochs: match group {
                    Group::Usual | Group::Chunking => 3.0,
                    Group::Long => 10.0,
                    Group::Questions => 2.0,
                },
                batch_size: 32,
                accumulate: 1,
                seed: 1,
                device: "auto".to_owned(),
                precision: Precision::F32,
                log_every: 10,
                max_length: match group {
                    Group::Usual | Group::Long => 128,
                    Group::Questions => 512,
                    Group::Chunking => 256,
                },
                batches: match group {
                    Group::Questions => Batches::ByLength,
                    Group::Usual | Group::Long | Group::Chunking => Batches::Shuffled,
                },
                loss: LossReduction::Sum,
            },
            optimizer: RatesConfig {
                learning_rate,
                warmup_fraction: 0.1,
                decay_power: 1.0,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-6,
                weight_decay: match self {
                    Self::Paper => 0.0,
                    Self::Repo => 0.01,
                },
                clip_norm: 1.0,
                layer_decay: match size {
                    Size::Small | Size::Base => 0.8,
                    Size::Large => 0.9,
                },
            },
            head: HeadConfig {
                kind: HeadKind::Reference,
                // The reference's head for questions has no dropout.
                dropout: if group == Group::Questions { 0.0 } else { 0.1 },
                pooling: Pooling::First,
            },
            squad: (group == Group::Questions).then(SpanConfig::reference),
            checkpoint: CheckpointConfig { every: 1000, keep_last: 1, finished: Finished::Delete },
            evaluate: EvaluateConfig { every: 0, choose: Choose::Last },
        }
    }
}
