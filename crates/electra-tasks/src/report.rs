//! What fine-tuning says at the end: `results.json`.

use crate::baseline::Baselines;
use electra_scores::{LeftOut, Metric, Scores, metrics::Summary};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// Whether an encoder's weights are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Weights {
    /// Those of the model folder.
    Pretrained,
    /// Random ones in the sizes of the folder's `config.json`: the control that shows what pre-training is worth.
    Random,
}

/// The scores of a task over seeds, with baselines: `results.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The task's name.
    pub task: String,
    /// What seeds are compared by.
    pub metric: Metric,
    /// The folder of the encoder.
    pub model: PathBuf,
    /// Whether its weights were used, or its sizes alone.
    pub weights: Weights,
    /// Numbers of examples.
    pub examples: Examples,
    /// Updates of each seed.
    pub steps: u64,
    /// One entry per seed, in the order in which they were asked for.
    pub seeds: Vec<SeedReport>,
    /// The seed with the best dev score (the first of equals); its model is in `model/`.
    pub best_seed: u64,
    /// The metric on the dev set, over seeds; `None` if it is not defined for any.
    pub dev: Option<Summary>,
    /// The metric on the test set, over seeds.
    pub test: Option<Summary>,
    /// Test score of the best seed on dev: what may be reported as "the best model's".
    pub best_seed_test: Option<f64>,
    /// What no network gives.
    pub baselines: Baselines,
    /// What is not used of the files, but for those that are used whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Seconds of all of it, of this process.
    pub seconds: f64,
}

impl Report {
    /// A figure of the best seed.
    pub fn best<T>(&self, figure: impl Fn(&SeedReport) -> Option<T>) -> Option<T> {
        self.seeds.iter().find(|seed| seed.seed == self.best_seed).and_then(figure)
    }
}

/// Numbers of examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examples {
    /// Learned from.
    pub train: usize,
    /// Seeds are compared on.
    pub dev: usize,
    /// Scored at the end; 0 without a test file.
    pub test: usize,
}

/// One seed: `seed-N/result.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedReport {
    /// The seed.
    pub seed: u64,
    /// Every score on the dev set.
    pub dev: Scores,
    /// Every score on each further dev set, by its name; of several tasks, on that of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more_dev: BTreeMap<String, Scores>,
    /// Every score on the test set.
    pub test: Option<Scores>,
    /// Updates after which its weights were taken, where `evaluate.choose = "best"` chose them; else all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_step: Option<u64>,
    /// Of several tasks, every score on the test set of each that has one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more_test: BTreeMap<String, Scores>,
    /// Seconds of training and scoring, of the process that ended it.
    pub seconds: f64,
}

impl SeedReport {
    /// The dev score that seeds are compared by.
    pub fn dev_score(&self, metric: Metric) -> Option<f64> {
        self.dev.get(&metric).copied().flatten()
    }

    /// The test score by the same metric.
    pub fn test_score(&self, metric: Metric) -> Option<f64> {
        self.test.as_ref()?.get(&metric).copied().flatten()
    }
}

/// The seed with the best dev score, the first of equals.
pub fn best<'a>(
    seeds: impl DoubleEndedIterator<Item = &'a SeedReport>,
    metric: Metric,
) -> Option<&'a SeedReport> {
    let merit = |seed: &SeedReport| metric.merit(seed.dev_score(metric));
    seeds.rev().max_by(|a, b| merit(a).total_cmp(&merit(b)))
}
