//! The fine-tuning config: the whole TOML file.

use crate::error::{Error, Result};
use electra_files::{Section, parse_toml, read_toml};
use electra_model::Precision;
use electra_train::{optim::OptimizerConfig, schedule::Schedule};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The most inputs of a batch, and the most batches of an update: above it, a value is a slip.
const LARGEST_BATCH: usize = 1 << 20;

/// A whole fine-tuning config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinetuneConfig {
    /// How long, how much at once, where.
    pub train: TrainConfig,
    /// Adam, its schedule, and rates by layer.
    pub optimizer: RatesConfig,
    /// What stands on the encoder.
    pub head: HeadConfig,
    /// How spans are learned and found; for question answering alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squad: Option<SpanConfig>,
    /// When state is saved.
    pub checkpoint: CheckpointConfig,
    /// When the dev set is scored during training.
    pub evaluate: EvaluateConfig,
}

/// The `[train]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training set; may be a fraction.
    pub epochs: f64,
    /// Examples of one forward and backward pass.
    pub batch_size: usize,
    /// Passes whose gradients make one update; the batch of an update is `batch_size * accumulate`.
    pub accumulate: usize,
    /// The first seed; N seeds are this one and the N - 1 after it.
    pub seed: u64,
    /// `"auto"`, `"cpu"` or `"cuda:N"`.
    pub device: String,
    /// What the factors of products are rounded to while training.
    pub precision: Precision,
    /// Updates between rows of metrics.jsonl.
    pub log_every: u64,
    /// Longest input in tokens, special tokens included; longer texts are cut.
    pub max_length: usize,
    /// How the losses of a batch become one.
    pub loss: LossReduction,
    /// Which inputs are in a batch together.
    #[serde(default)]
    pub batches: Batches,
}

/// Which inputs are in a batch together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Batches {
    /// Any.
    #[default]
    Shuffled,
    /// Those of much the same length, which saves padding where padding costs: on a GPU.
    ByLength,
}

/// How the losses of a batch become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LossReduction {
    /// Their sum (the reference; with `clip_norm` the gradient is then nearly always clipped).
    Sum,
    /// Their mean.
    Mean,
}

/// The `[optimizer]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatesConfig {
    /// Peak learning rate, that of the head.
    pub learning_rate: f64,
    /// Share of all updates that is linear warm-up.
    pub warmup_fraction: f64,
    /// Exponent of the decay to 0; 1 is linear.
    pub decay_power: f64,
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f64,
    /// Global gradient norm above which gradients are scaled down to it.
    pub clip_norm: f64,
    /// Factor on the learning rate from each layer to the one below it; 1 for one rate for all.
    pub layer_decay: f64,
}

/// The `[head]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadConfig {
    /// The layers on the encoder.
    pub kind: HeadKind,
    /// Dropout on the sentence vector, a probability.
    pub dropout: f64,
    /// Which vector stands for the whole input.
    pub pooling: Pooling,
}

impl HeadConfig {
    /// Checks that the pooling is the default, for heads on tokens.
    pub(crate) fn check_tokens(&self) -> Result<()> {
        match self.pooling {
            Pooling::First => Ok(()),
            Pooling::Mean => {
                let expected =
                    "must be \"first\": the task predicts from tokens, not from pooled inputs";
                Err(Error::value("head.pooling", "mean", expected))
            }
        }
    }

    /// The head of `transformers`' classifiers.
    pub(crate) fn hf(dropout: f64) -> Self {
        Self { kind: HeadKind::Hf, dropout, pooling: Pooling::First }
    }
}

/// The layers on the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HeadKind {
    /// Dropout and one dense layer. `transformers` has no class for it.
    Reference,
    /// Dropout, dense, gelu, dropout, dense: `ElectraForSequenceClassification`, which loads the result.
    Hf,
}

/// Which vector stands for the whole input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Pooling {
    /// That of `[CLS]` (the reference).
    First,
    /// The mean over all tokens, special tokens included and padding not.
    Mean,
}

/// The `[squad]` section: questions whose answers are spans of a text.
///
/// Source: reference `configure_finetuning.py`, the keys of QA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpanConfig {
    /// Tokens of the question; longer ones are cut.
    pub max_query_length: usize,
    /// Tokens of the context from the start of one window to that of the next.
    pub stride: usize,
    /// Tokens of the longest answer.
    pub max_answer_length: usize,
    /// Answers that are kept of each question.
    pub n_best: usize,
    /// Starts that are looked at in each window, and ends of each of them.
    pub beam: usize,
    /// Weight of the loss of whether there is an answer (the reference's head alone).
    pub answerable_weight: f64,
    /// Null odds above which a question is taken to have no answer (version 2.0); the reference's for its models.
    pub null_threshold: f64,
}

impl SpanConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// Naming the first key that no answer can be found with.
    pub(crate) fn validate(&self) -> Result<()> {
        for (key, value) in [
            ("squad.max_query_length", self.max_query_length),
            ("squad.stride", self.stride),
            ("squad.max_answer_length", self.max_answer_length),
            ("squad.n_best", self.n_best),
            ("squad.beam", self.beam),
        ] {
            if value == 0 {
                return Err(Error::value(key, value, "must be at least 1"));
            }
        }
        let weight = self.answerable_weight;
        if !(weight >= 0.0 && weight.is_finite()) {
            return Err(Error::value("squad.answerable_weight", weight, "must be 0 or above"));
        }
        match self.null_threshold.is_nan() {
            true => Err(Error::value("squad.null_threshold", "nan", "must be a number")),
            false => Ok(()),
        }
    }
}

/// The `[checkpoint]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Updates between checkpoints; one is always written at the end of a seed and on Ctrl-C.
    pub every: u64,
    /// Newest checkpoints kept; 0 keeps all.
    pub keep_last: usize,
    /// What happens to the checkpoints of a seed that is done and scored.
    pub finished: Finished,
}

/// What happens to the checkpoints of a seed that is done and scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finished {
    /// Deleted: the best seed's weights are in `model/`, and the score of each in `result.json`.
    Delete,
    /// Kept.
    Keep,
}

/// The `[evaluate]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Updates between scores on the dev set in metrics.jsonl; 0 for the end alone.
    pub every: u64,
    /// Which weights of a seed are scored and kept.
    #[serde(default)]
    pub choose: Choose,
}

/// Which weights of a seed are scored and kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choose {
    /// Those after the last update (the paper's protocol, and the reference's).
    #[default]
    Last,
    /// Those with the best score on the dev set among the scores of training, the first of equals. The dev score is
    /// then chosen by, so it flatters more; the test score does not.
    Best,
}

impl FinetuneConfig {
    /// Reads `path`, applies `KEY=VALUE` overrides and checks every value.
    ///
    /// # Errors
    /// Naming the file and the key.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let config: Self = read_toml(path, overrides)?;
        config.validate()?;
        Ok(config)
    }

    /// The config with `KEY=VALUE` overrides, every value checked; `origin` is what errors call it.
    ///
    /// # Errors
    /// Naming the key.
    pub fn with_overrides(&self, origin: &str, overrides: &[String]) -> Result<Self> {
        self.for_task(origin, &Section::default(), overrides)
    }

    /// The config with what a task's file says of it ([`crate::kinds::DescribedTask`]) and, over that, `KEY=VALUE` overrides;
    /// only what comes out must fit together. `origin` is what errors call the config itself.
    ///
    /// # Errors
    /// Naming the key, and the task's file where that has it.
    pub fn for_task(&self, origin: &str, task: &Section, overrides: &[String]) -> Result<Self> {
        let config = task.over(self)?;
        let config: Self = parse_toml(&config.to_toml(), origin.as_ref(), overrides)?;
        let set = |key: &str| overrides.iter().any(|set| set.split('=').next() == Some(key));
        config.validate().map_err(|error| match &error {
            Error::Data(electra_scores::Error::Value { key, .. })
            | Error::Train(electra_train::Error::Value { key, .. })
                if task.has(key) && !set(key) =>
            {
                Error::file(task.path(), format!("section [config]: {error}"))
            }
            _ => error,
        })?;
        Ok(config)
    }

    /// Whether data that was read with this config is what the other would read: they differ at most in how long,
    /// how fast, where and with what reports is learned.
    pub(crate) fn reads_as(&self, other: &Self) -> bool {
        let train = TrainConfig {
            epochs: self.train.epochs,
            seed: self.train.seed,
            device: self.train.device.clone(),
            precision: self.train.precision,
            log_every: self.train.log_every,
            loss: self.train.loss,
            ..other.train.clone()
        };
        let other = Self {
            train,
            optimizer: self.optimizer.clone(),
            checkpoint: self.checkpoint.clone(),
            evaluate: self.evaluate.clone(),
            ..other.clone()
        };
        *self == other
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
        self.adam(0).validate()?;
        self.squad.as_ref().map_or(Ok(()), SpanConfig::validate)?;
        for (key, value) in [
            ("train.batch_size", self.train.batch_size as u64),
            ("train.accumulate", self.train.accumulate as u64),
            ("train.log_every", self.train.log_every),
            ("checkpoint.every", self.checkpoint.every),
        ] {
            if value == 0 {
                return Err(Error::value(key, value, "must be at least 1"));
            }
        }
        for (key, value) in [
            ("train.batch_size", self.train.batch_size),
            ("train.accumulate", self.train.accumulate),
        ] {
            if value > LARGEST_BATCH {
                return Err(Error::value(key, value, format!("must be at most {LARGEST_BATCH}")));
            }
        }
        if self.train.max_length < 4 {
            let room = "must be at least 4: three special tokens and one of text";
            return Err(Error::value("train.max_length", self.train.max_length, room));
        }
        if self.evaluate.choose == Choose::Best && self.evaluate.every == 0 {
            let expected = "needs evaluate.every above 0: the scores that are chosen from";
            return Err(Error::value("evaluate.choose", "best", expected));
        }
        if self.head.kind == HeadKind::Hf && self.head.pooling != Pooling::First {
            let expected = "must be \"first\" with head.kind = \"hf\", as in transformers";
            return Err(Error::value("head.pooling", "mean", expected));
        }
        for (key, x, ok, expected) in [
            (
                "train.epochs",
                self.train.epochs,
                self.train.epochs > 0.0 && self.train.epochs.is_finite(),
                "must be above 0 and finite",
            ),
            (
                "optimizer.warmup_fraction",
                self.optimizer.warmup_fraction,
                (0.0..=1.0).contains(&self.optimizer.warmup_fraction),
                "must be from 0 to 1",
            ),
            (
                "optimizer.layer_decay",
                self.optimizer.layer_decay,
                self.optimizer.layer_decay > 0.0 && self.optimizer.layer_decay <= 1.0,
                "must be above 0 and at most 1",
            ),
            (
                "head.dropout",
                self.head.dropout,
                (0.0..1.0).contains(&self.head.dropout),
                "must be a probability from 0 up to, not including, 1",
            ),
        ] {
            if !ok {
                return Err(Error::value(key, x, expected));
            }
        }
        Ok(())
    }

    /// Updates of a training set of `examples`: `floor(ceil(examples / batch) * epochs)`.
    ///
    /// Source: reference `finetune/preprocessing.py` and `run_finetuning.py`, where the set is padded
    /// to whole batches with rows that have no loss.
    pub fn steps(&self, examples: usize) -> u64 {
        let batches = examples.div_ceil(self.train.batch_size * self.train.accumulate);
        (batches as f64 * self.train.epochs) as u64
    }

    /// The learning rate of every step of a run of `steps`.
    pub fn schedule(&self, steps: u64) -> Schedule {
        Schedule {
            peak: self.optimizer.learning_rate,
            warmup_steps: self.warmup_steps(steps),
            total_steps: steps,
            decay_power: self.optimizer.decay_power,
        }
    }

    /// Adam's settings for a run of `steps`.
    pub(crate) fn adam(&self, steps: u64) -> OptimizerConfig {
        let o = &self.optimizer;
        OptimizerConfig {
            learning_rate: o.learning_rate,
            warmup_steps: self.warmup_steps(steps),
            decay_power: o.decay_power,
            beta1: o.beta1,
            beta2: o.beta2,
            epsilon: o.epsilon,
            weight_decay: o.weight_decay,
            clip_norm: o.clip_norm,
        }
    }

    fn warmup_steps(&self, steps: u64) -> u64 {
        (steps as f64 * self.optimizer.warmup_fraction) as u64
    }
}
