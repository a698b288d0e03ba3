//! The fine-tuning config.

use crate::error::{Error, Result};
use electra_files::{Section, parse_toml, read_toml};
use electra_model::Precision;
use electra_train::{config::LARGEST_BATCH, optim::OptimizerConfig, schedule::Schedule};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A fine-tuning config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinetuneConfig {
    /// Epochs, batches, device and inputs.
    pub train: TrainConfig,
    /// Adam, its schedule, and layer-wise learning rates.
    pub optimizer: RatesConfig,
    /// The head on the encoder.
    pub head: HeadConfig,
    /// Training and decoding of spans; for question answering only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squad: Option<SpanConfig>,
    /// When checkpoints are saved.
    pub checkpoint: CheckpointConfig,
    /// When the dev set is scored during training.
    pub evaluate: EvaluateConfig,
}

/// The `[train]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training set; may be fractional.
    pub epochs: f64,
    /// Examples in one forward and backward pass.
    pub batch_size: usize,
    /// Passes whose gradients are summed for one update; an update has `batch_size * accumulate` examples.
    pub accumulate: usize,
    /// The first seed; N seeds are this seed and the next N - 1.
    pub seed: u64,
    /// `"auto"`, `"cpu"` or `"cuda:N"`.
    pub device: String,
    /// The precision of the factors of matrix products while training.
    pub precision: Precision,
    /// Updates between rows of metrics.jsonl.
    pub log_every: u64,
    /// The length of the longest input in tokens, special tokens included; longer texts are truncated.
    pub max_length: usize,
    /// The reduction of the losses of a batch.
    pub loss: LossReduction,
    /// How inputs are grouped into batches.
    #[serde(default)]
    pub batches: Batches,
}

/// How inputs are grouped into batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Batches {
    /// At random.
    #[default]
    Shuffled,
    /// Inputs of similar length together, which saves padding on a GPU.
    ByLength,
}

/// The reduction of the losses of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LossReduction {
    /// The sum (the reference's; with `clip_norm` the gradient is then nearly always clipped).
    Sum,
    /// The mean.
    Mean,
}

/// The `[optimizer]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatesConfig {
    /// The peak learning rate, which is the head's.
    pub learning_rate: f64,
    /// The fraction of all updates with linear warm-up.
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
    /// The factor of the learning rate from each layer to the layer below it; 1 for one rate.
    pub layer_decay: f64,
}

/// The `[head]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadConfig {
    /// The layers of the head.
    pub kind: HeadKind,
    /// The probability of dropout before the head.
    pub dropout: f64,
    /// How hidden states are pooled.
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

/// The layers of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HeadKind {
    /// Dropout and one dense layer. `transformers` has no class for it.
    Reference,
    /// Dropout, dense, gelu, dropout, dense: `ElectraForSequenceClassification`, which loads the result.
    Hf,
}

/// How hidden states are pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Pooling {
    /// The hidden state of `[CLS]` (the reference).
    First,
    /// The mean over all tokens, special tokens included, padding excluded.
    Mean,
}

/// The `[squad]` section: questions whose answers are spans of a text.
///
/// Source: reference `configure_finetuning.py`, the keys of QA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpanConfig {
    /// Maximum number of tokens of a question; longer questions are truncated.
    pub max_query_length: usize,
    /// Tokens of the context from the start of a window to the start of the next.
    pub stride: usize,
    /// Maximum number of tokens of an answer.
    pub max_answer_length: usize,
    /// The number of best answers kept for each question.
    pub n_best: usize,
    /// The number of starts scored in each window, and of ends for each start.
    pub beam: usize,
    /// The weight of the answerability loss (the reference's head only).
    pub answerable_weight: f64,
    /// Null odds above which "no answer" is predicted (version 2.0); the default is the reference's for its models.
    pub null_threshold: f64,
}

impl SpanConfig {
    /// The reference's values.
    ///
    /// Source: reference `configure_finetuning.py`.
    pub fn reference() -> Self {
        Self {
            max_query_length: 64,
            stride: 128,
            max_answer_length: 30,
            n_best: 20,
            beam: 20,
            answerable_weight: 0.5,
            null_threshold: -2.75,
        }
    }

    /// Lowers the lengths that are too large for inputs of `max_length` tokens, except keys that `is_set` accepts: the
    /// question may have half of an input, and windows overlap by `max_answer_length`, or by half a window if that is
    /// less, so that an answer is whole in some window. Returns the keys that were changed, with their old values.
    pub(crate) fn fit(
        &mut self,
        max_length: usize,
        is_set: impl Fn(&str) -> bool,
    ) -> Vec<(&'static str, usize, usize)> {
        let mut changed = Vec::new();
        let mut lower = |key: &'static str, value: &mut usize, most: usize| {
            if *value > most && !is_set(key) {
                changed.push((key, *value, most));
                *value = most;
            }
        };
        // Three special tokens.
        let room = max_length.saturating_sub(3);
        lower("squad.max_query_length", &mut self.max_query_length, (room / 2).max(1));
        let window = room.saturating_sub(self.max_query_length);
        let overlap = self.max_answer_length.min(window / 2);
        lower("squad.stride", &mut self.stride, window.saturating_sub(overlap).max(1));
        changed
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Naming the first invalid key.
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
    /// Updates between checkpoints; a checkpoint is always written at the end of a seed and on Ctrl-C.
    pub every: u64,
    /// The number of newest checkpoints kept; 0 keeps all.
    pub keep_last: usize,
    /// What happens to the checkpoints of a finished seed.
    pub finished: Finished,
}

/// What happens to the checkpoints of a finished seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finished {
    /// They are deleted; the best seed's weights are in `model/`, and the scores of each seed in `result.json`.
    Delete,
    /// They are kept.
    Keep,
}

/// The `[evaluate]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Updates between evaluations on the dev set, logged in metrics.jsonl; 0 evaluates only at the end.
    pub every: u64,
    /// Which weights of a seed are scored and kept.
    #[serde(default)]
    pub choose: Choose,
}

/// Which weights of a seed are scored and kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choose {
    /// The weights after the last update (the protocol of the paper and of the reference).
    #[default]
    Last,
    /// The weights with the best dev score during training, the first one if there is a tie. This makes the dev score more
    /// optimistic, not the test score.
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

    /// The config with `KEY=VALUE` overrides, every value checked; `origin` is its name in errors.
    ///
    /// # Errors
    /// Naming the key.
    pub fn with_overrides(&self, origin: &str, overrides: &[String]) -> Result<Self> {
        self.for_task(origin, &Section::default(), overrides)
    }

    /// The config with the `[config]` section of a task's file ([`crate::kinds::DescribedTask`]) and, over that,
    /// `KEY=VALUE` overrides; only the result must be valid. `origin` is the name of the config in errors.
    ///
    /// # Errors
    /// Naming the key, and the task's file if the value is from there.
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

    /// Whether the config reads the same data as another: they may differ in epochs, learning rates, seed, device,
    /// precision, logging, loss, checkpoints and evaluation only.
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

    /// Lowers lengths that are too large for a model with this number of positions, except keys that `is_set` accepts,
    /// and logs them: `train.max_length`, and the lengths of `[squad]` that do not suit it. A value that is set and too
    /// large stays, and is an error later.
    pub fn fit(&mut self, positions: usize, is_set: impl Fn(&str) -> bool) {
        let train = &mut self.train;
        if train.max_length > positions && !is_set("train.max_length") {
            tracing::info!(
                "train.max_length = {positions} instead of {}: the model has {positions} positions",
                train.max_length
            );
            train.max_length = positions;
        }
        let max_length = train.max_length;
        for (key, before, now) in self.squad.iter_mut().flat_map(|s| s.fit(max_length, &is_set)) {
            tracing::info!("{key} = {now} instead of {before}: inputs have {max_length} tokens");
        }
    }

    /// The config as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a config of plain values serializes")
    }

    /// Checks every value that does not depend on the data.
    ///
    /// # Errors
    /// Naming the first invalid key.
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
            let expected = "needs evaluate.every above 0, so that there are scores to choose from";
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

    /// The number of updates for `examples` training inputs: `floor(ceil(examples / batch) * epochs)`.
    ///
    /// Source: reference `finetune/preprocessing.py` and `run_finetuning.py`, which pad the training set to full
    /// batches with rows without a loss.
    pub fn steps(&self, examples: usize) -> u64 {
        let batches = examples.div_ceil(self.train.batch_size * self.train.accumulate);
        (batches as f64 * self.train.epochs) as u64
    }

    /// The learning rate schedule of a run of `steps`.
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
