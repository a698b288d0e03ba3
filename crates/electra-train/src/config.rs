//! The run config: a TOML file, `--set` overrides, and errors that name the key.

mod resumed;
mod section;

use crate::{
    Error, Result, init::InitConfig, objective::ReplacedTokenConfig, optim::OptimizerConfig,
    schedule::Schedule,
};
use electra_data::{Masking, ReferenceMasking, UniformMasking};
use electra_model::ElectraConfig;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use toml::{Table, Value, de::DeTable};

pub use section::Section;

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

/// The `[objective]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ObjectiveConfig {
    /// ELECTRA.
    ReplacedToken(ReplacedTokenConfig),
}

/// The `[objective.masking]` section: which positions the generator fills.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum MaskingConfig {
    /// Distinct positions, uniformly.
    Uniform {
        /// Share of a sequence's tokens that is chosen.
        rate: f64,
        /// Share of the chosen positions that shows `[MASK]`; the rest keeps its token.
        mask_share: f64,
    },
    /// The reference's draws with replacement.
    Reference {
        /// Share of a sequence's tokens that is drawn.
        rate: f64,
        /// Share of the draws that shows `[MASK]`.
        mask_share: f64,
    },
}

impl ObjectiveConfig {
    /// The settings of replaced token detection, the one kind there is.
    pub fn replaced_token(&self) -> &ReplacedTokenConfig {
        let Self::ReplacedToken(config) = self;
        config
    }
}

impl MaskingConfig {
    /// Share of a sequence's tokens that is chosen.
    pub fn rate(&self) -> f64 {
        let (Self::Uniform { rate, .. } | Self::Reference { rate, .. }) = *self;
        rate
    }

    /// The masking that the config names.
    pub fn build(&self) -> Arc<dyn Masking> {
        match *self {
            Self::Uniform { rate, mask_share } => Arc::new(UniformMasking { rate, mask_share }),
            Self::Reference { rate, mask_share } => Arc::new(ReferenceMasking { rate, mask_share }),
        }
    }

    fn validate(&self) -> Result<()> {
        let (Self::Uniform { rate, mask_share } | Self::Reference { rate, mask_share }) = *self;
        for (key, x) in [("rate", rate), ("mask_share", mask_share)] {
            if !(x > 0.0 && x <= 1.0) {
                let key = format!("objective.masking.{key}");
                return Err(Error::value(&key, x, "must be above 0 and at most 1"));
            }
        }
        Ok(())
    }
}

impl RunConfig {
    /// Reads `path`, applies `KEY=VALUE` overrides and checks every value.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Set`] or [`Error::Value`] naming the key.
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
        let objective = self.objective.replaced_token();
        objective.validate()?;
        objective.masking.validate()?;
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
        if length > self.model.max_positions {
            let limit =
                format!("must be at most model.max_positions = {}", self.model.max_positions);
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

/// Reads a TOML file into `T`, with `KEY=VALUE` overrides of keys that the file has.
///
/// # Errors
/// [`Error::Config`] naming the file, line and key (with the nearest known key), [`Error::Set`].
pub fn read_toml<T: DeserializeOwned>(path: &Path, overrides: &[String]) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    parse_toml(&text, path, overrides)
}

/// [`read_toml`] of a text that came from `path`.
///
/// # Errors
/// As [`read_toml`].
pub fn parse_toml<T: DeserializeOwned>(text: &str, path: &Path, overrides: &[String]) -> Result<T> {
    parse(text, path, None, overrides).map(|(value, _)| value)
}

/// [`parse_toml`] of a file that may have a section `name` for another config; overrides are of the other keys.
///
/// # Errors
/// As [`read_toml`].
pub fn parse_toml_with<T: DeserializeOwned>(
    text: &str,
    path: &Path,
    name: &str,
    overrides: &[String],
) -> Result<(T, Section)> {
    let (value, values) = parse(text, path, Some(name), overrides)?;
    Ok((value, Section { path: path.to_owned(), name: name.to_owned(), values }))
}

/// Reads a text without its section `beside`, and that section.
fn parse<T: DeserializeOwned>(
    text: &str,
    path: &Path,
    beside: Option<&str>,
    overrides: &[String],
) -> Result<(T, Table)> {
    let invalid = |message| Error::Config { path: path.to_owned(), message };
    let fail = |e: toml::de::Error| invalid(explain(&e.to_string()));
    let mut table: Table = text.parse().map_err(fail)?;
    // Once as it stands, so that messages carry the file's own line.
    let mut document = DeTable::parse(text).map_err(fail)?;
    let beside = beside.and_then(|name| {
        document.get_mut().remove(name);
        table.remove_entry(name)
    });
    T::deserialize(toml::Deserializer::from(document)).map_err(|mut e| {
        e.set_input(Some(text));
        fail(e)
    })?;
    let values = match beside {
        None => Table::new(),
        Some((_, Value::Table(values))) => values,
        Some((name, other)) => return Err(invalid(format!("{name} = {other}: must be a section"))),
    };
    for assignment in overrides {
        apply(&mut table, assignment)?;
    }
    let value = table.try_into().map_err(|e: toml::de::Error| match overrides {
        [] => fail(e),
        _ => Error::Set { assignment: overrides.join(" --set "), message: explain(&e.to_string()) },
    })?;
    Ok((value, values))
}

/// Sets one key that is there; its new value must be of the old one's type.
fn apply(table: &mut Table, assignment: &str) -> Result<()> {
    let fail = |message: String| Error::Set { assignment: assignment.to_owned(), message };
    let (key, text) = assignment
        .split_once('=')
        .ok_or_else(|| fail("write it as section.key=value".to_owned()))?;
    let (section, last) = key.rsplit_once('.').map_or((None, key), |(a, b)| (Some(a), b));
    let mut table = table;
    for name in section.iter().flat_map(|path| path.split('.')) {
        let known = keys(table);
        table = table.get_mut(name).and_then(Value::as_table_mut).ok_or_else(|| {
            fail(format!("there is no section {name:?}{}", nearest(name, &known)))
        })?;
    }
    let known = keys(table);
    let old = table
        .get_mut(last)
        .ok_or_else(|| fail(format!("there is no key {last:?}{}", nearest(last, &known))))?;
    let parsed = format!("x = {text}").parse::<Table>().ok().and_then(|mut t| t.remove("x"));
    let new = match (parsed.and_then(|value| of_type(value, old)), &*old) {
        (Some(value), _) => value,
        (None, Value::String(_)) => Value::String(text.to_owned()),
        (None, old) => {
            return Err(fail(format!("{text:?} is not of the key's type, {}", old.type_str())));
        }
    };
    *old = new;
    Ok(())
}

/// `new` as a value of the type of `old`, if it can be one.
fn of_type(new: Value, old: &Value) -> Option<Value> {
    match (new, old) {
        (Value::Integer(i), Value::Float(_)) => Some(Value::Float(i as f64)),
        // Whole numbers written as 1e6 are what people type for steps.
        (Value::Float(x), Value::Integer(_)) if x.fract() == 0.0 => Some(Value::Integer(x as i64)),
        (new, old) => new.same_type(old).then_some(new),
    }
}

fn keys(table: &Table) -> Vec<String> {
    table.keys().cloned().collect()
}

/// `; did you mean "x"?` for the nearest known key, or the list of them.
fn nearest(name: &str, known: &[String]) -> String {
    let best = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    match best {
        Some(key) if strsim::jaro_winkler(name, key) > 0.75 => format!("; did you mean {key:?}?"),
        _ => format!("; known here: {}", known.join(", ")),
    }
}

/// serde's "unknown field `x`, expected one of `a`, `b`" with the nearest name in front.
fn explain(message: &str) -> String {
    let message = message.trim_end();
    let Some(rest) =
        message.split("unknown field ").nth(1).or_else(|| message.split("unknown variant ").nth(1))
    else {
        return message.to_owned();
    };
    let mut names = rest.split('`').skip(1).step_by(2).map(str::to_owned);
    let unknown = names.next().unwrap_or_default();
    let known: Vec<_> = names.collect();
    format!("{message}{}", nearest(&unknown, &known))
}
