//! The report of fine-tuning: `results.json`.

use crate::{baseline::Baselines, summary::SplitSummary};
use electra_scores::{LeftOut, MatchCounts, Metric, Scores, metrics::Summary};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// The initial weights of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Weights {
    /// The weights of the model folder.
    Pretrained,
    /// Random weights with the sizes of the folder's `config.json`: a control that shows the effect of pre-training.
    Random,
}

/// The scores of a task over seeds, with baselines: `results.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The task's name.
    pub task: String,
    /// The metric that seeds are compared by.
    pub metric: Metric,
    /// The folder of the encoder.
    pub model: PathBuf,
    /// Its initial weights.
    pub weights: Weights,
    /// The numbers of examples.
    pub examples: Examples,
    /// What was read for each split: its labels, and the texts that were truncated. Reports of earlier versions have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<SplitSummary>,
    /// The number of updates of each seed.
    pub steps: u64,
    /// One entry per seed, in the requested order.
    pub seeds: Vec<SeedReport>,
    /// The seed with the best dev score (the first one if there is a tie); its model is in `model/`.
    pub best_seed: u64,
    /// The metric on the dev set, over seeds; `None` if it is not defined for any seed.
    pub dev: Option<Summary>,
    /// The metric on the test set, over seeds.
    pub test: Option<Summary>,
    /// The test score of the seed with the best dev score: that of the model in `model/`.
    pub best_seed_test: Option<f64>,
    /// Scores without a network.
    pub baselines: Baselines,
    /// The examples that are not used, by file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// The duration in seconds, of this process.
    pub seconds: f64,
}

impl Report {
    /// A value of the best seed.
    pub fn best<T>(&self, value: impl Fn(&SeedReport) -> Option<T>) -> Option<T> {
        self.seeds.iter().find(|seed| seed.seed == self.best_seed).and_then(value)
    }
}

/// The numbers of examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examples {
    /// In the training set.
    pub train: usize,
    /// In the dev set.
    pub dev: usize,
    /// In the test set; 0 without a test file.
    pub test: usize,
}

/// One seed: `seed-N/result.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeedReport {
    /// The seed.
    pub seed: u64,
    /// Every score on the dev set.
    pub dev: Scores,
    /// The scores of each class, label, type or tag on the dev set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dev_by_label: Vec<LabelScores>,
    /// Every score on each further dev set, by its name; for several tasks, also on the dev set of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more_dev: BTreeMap<String, Scores>,
    /// Every score on the test set.
    pub test: Option<Scores>,
    /// The scores of each class, label, type or tag on the test set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_by_label: Vec<LabelScores>,
    /// With `evaluate.choose = "best"`, the step of its weights; otherwise they are those after the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_step: Option<u64>,
    /// For several tasks, every score on the test set of each task that has one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more_test: BTreeMap<String, Scores>,
    /// The duration of training and scoring in seconds, of the process that finished it.
    pub seconds: f64,
}

/// The scores of a class, label, type of entity, or tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelScores {
    /// Its name.
    pub label: String,
    /// [`MatchCounts::precision`].
    pub precision: f64,
    /// [`MatchCounts::recall`].
    pub recall: f64,
    /// [`MatchCounts::f1`].
    pub f1: f64,
    /// The number in the gold data.
    pub gold: usize,
    /// The number that is predicted.
    pub predicted: usize,
    /// The number that is predicted correctly.
    pub right: usize,
}

impl From<(String, MatchCounts)> for LabelScores {
    fn from((label, counts): (String, MatchCounts)) -> Self {
        let (precision, recall, f1) = (counts.precision(), counts.recall(), counts.f1());
        let MatchCounts { gold, predicted, right } = counts;
        Self { label, precision, recall, f1, gold, predicted, right }
    }
}

impl SeedReport {
    /// The dev score by a metric.
    pub fn dev_score(&self, metric: Metric) -> Option<f64> {
        self.dev.get(&metric).copied().flatten()
    }

    /// The test score by a metric.
    pub fn test_score(&self, metric: Metric) -> Option<f64> {
        self.test.as_ref()?.get(&metric).copied().flatten()
    }
}

/// The seed with the best dev score, the first one if there is a tie.
pub fn best<'a>(
    seeds: impl DoubleEndedIterator<Item = &'a SeedReport>,
    metric: Metric,
) -> Option<&'a SeedReport> {
    let merit = |seed: &SeedReport| metric.merit(seed.dev_score(metric));
    seeds.rev().max_by(|a, b| merit(a).total_cmp(&merit(b)))
}
