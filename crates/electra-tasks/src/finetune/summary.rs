//! What a run will do: its network, its data and its work, for the first lines of a log.

use crate::report::Examples;
use electra_model::Precision;
use electra_train::summary::short;
use std::fmt;

/// A run before its first update.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FinetuneSummary {
    /// The name of the task.
    pub task: String,
    /// The device.
    pub device: String,
    /// The precision of matrix products.
    pub precision: Precision,
    /// libtorch's threads.
    pub threads: i32,
    /// Number of parameters, with those of the head.
    pub parameters: u64,
    /// Number of examples of each split.
    pub examples: Examples,
    /// Tokens of the training set, after truncation.
    pub tokens: u64,
    /// Passes over the training set.
    pub epochs: f64,
    /// Examples per update.
    pub batch: usize,
    /// Tokens per example, at most.
    pub max_length: usize,
    /// Number of updates of each seed.
    pub updates: u64,
    /// Number of seeds.
    pub seeds: usize,
}

impl fmt::Display for FinetuneSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, device, precision, threads, epochs, batch, max_length, .. } = self;
        let Examples { train, dev, test } = self.examples;
        writeln!(f, "device      {device}, {}, {threads} threads", precision.name())?;
        writeln!(f, "parameters  {}", short(self.parameters as f64))?;
        writeln!(f, "examples    {task}: {train} training, {dev} dev, {test} test")?;
        let tokens = short(self.tokens as f64);
        writeln!(f, "training    {tokens} tokens, {epochs} epochs")?;
        writeln!(f, "batch       {batch} examples of at most {max_length} tokens")?;
        let seeds = match self.seeds {
            1 => "1 seed".to_owned(),
            seeds => format!("{seeds} seeds"),
        };
        write!(f, "updates     {} per seed, {seeds}", self.updates)
    }
}
