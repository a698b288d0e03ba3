//! Scores of predictions against gold labels, in double precision.

use crate::counts::MatchCounts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A metric of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Metric {
    /// Fraction of correct predictions; a set of labels is correct if all labels are.
    Accuracy,
    /// F1: of the second of two classes; for spans, of the words of an answer, averaged over questions; for tags, of
    /// the entities.
    F1,
    /// F1 over the labels of all sets together.
    MicroF1,
    /// The mean over classes or labels of the F1 of each.
    MacroF1,
    /// Fraction of predicted entities that are correct.
    Precision,
    /// Fraction of gold entities that are predicted.
    Recall,
    /// Fraction of questions whose answer equals a gold answer, apart from case, articles, punctuation and white space.
    ExactMatch,
    /// The Matthews correlation, for any number of classes.
    Matthews,
    /// The Pearson correlation.
    Pearson,
    /// The Spearman rank correlation; ties have the mean of their ranks.
    Spearman,
    /// Mean squared error, in the units of the labels. Lower is better.
    MeanSquaredError,
    /// Of several tasks, the mean of their metrics; of one of them, its contribution to the mean.
    TaskMean,
}

/// Scores by metric; an undefined score (a correlation with a constant) is `None`.
pub type Scores = BTreeMap<Metric, Option<f64>>;

impl Metric {
    /// Its name, as in TOML and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::F1 => "f1",
            Self::MicroF1 => "micro-f1",
            Self::MacroF1 => "macro-f1",
            Self::ExactMatch => "exact-match",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::Matthews => "matthews",
            Self::Pearson => "pearson",
            Self::Spearman => "spearman",
            Self::MeanSquaredError => "mean-squared-error",
            Self::TaskMean => "task-mean",
        }
    }

    /// Its name on Hugging Face's model hub.
    pub fn hub_name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::F1 | Self::MicroF1 | Self::MacroF1 => "f1",
            Self::ExactMatch => "exact_match",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::Matthews => "matthews_correlation",
            Self::Pearson => "pearsonr",
            Self::Spearman => "spearmanr",
            Self::MeanSquaredError => "mse",
            Self::TaskMean => "task_mean",
        }
    }

    /// The score as a number where higher is better; an undefined score is the lowest.
    pub fn merit(self, score: Option<f64>) -> f64 {
        match (self, score) {
            (_, None) => f64::NEG_INFINITY,
            (Self::MeanSquaredError, Some(x)) => -x,
            (_, Some(x)) => x,
        }
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Every score of a classification into `classes` classes; F1 if there are two.
///
/// Macro F1 is the mean over the classes that are gold or predicted somewhere (scikit-learn's `f1_score` with
/// `average="macro"`).
pub fn classification(predicted: &[usize], gold: &[usize], classes: usize) -> Scores {
    let mut scores = Scores::from([
        (Metric::Accuracy, defined(accuracy(predicted, gold))),
        (Metric::MacroF1, defined(macro_f1(&by_class(predicted, gold, classes)))),
        (Metric::Matthews, defined(matthews(predicted, gold, classes))),
    ]);
    if classes == 2 {
        scores.insert(Metric::F1, defined(f1(predicted, gold)));
    }
    scores
}

/// Every score of a regression.
pub fn regression(predicted: &[f64], gold: &[f64]) -> Scores {
    Scores::from([
        (Metric::Pearson, defined(pearson(predicted, gold))),
        (Metric::Spearman, defined(spearman(predicted, gold))),
        (Metric::MeanSquaredError, defined(mean_squared_error(predicted, gold))),
    ])
}

fn defined(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

/// The fraction of equal pairs; NaN without pairs.
pub fn accuracy(predicted: &[usize], gold: &[usize]) -> f64 {
    let right = predicted.iter().zip(gold).filter(|(p, g)| p == g).count();
    right as f64 / gold.len() as f64
}

/// F1 of class 1 of two: `2 tp / (2 tp + fp + fn)`; 0 without true positives.
pub fn f1(predicted: &[usize], gold: &[usize]) -> f64 {
    let count = |p: usize, g: usize| {
        predicted.iter().zip(gold).filter(|&(&a, &b)| (a, b) == (p, g)).count() as f64
    };
    let (tp, fp, fn_) = (count(1, 1), count(1, 0), count(0, 1));
    match tp {
        0.0 => 0.0,
        _ => 2.0 * tp / (2.0 * tp + fp + fn_),
    }
}

/// The counts for each of the classes, `classes` in number.
pub fn by_class(predicted: &[usize], gold: &[usize], classes: usize) -> Vec<MatchCounts> {
    let mut counts = vec![MatchCounts::default(); classes];
    for (&predicted, &gold) in predicted.iter().zip(gold) {
        counts[gold].gold += 1;
        counts[predicted].predicted += 1;
        counts[gold].right += usize::from(predicted == gold);
    }
    counts
}

/// The mean F1 of the classes that are gold or predicted; NaN if there are none.
fn macro_f1(counts: &[MatchCounts]) -> f64 {
    let used = counts.iter().filter(|class| class.gold + class.predicted > 0);
    used.clone().map(MatchCounts::f1).sum::<f64>() / used.count() as f64
}

/// The Matthews correlation from the confusion matrix; 0 if one side has a single class.
///
/// Source: Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation
/// coefficient"; for two classes it is Matthews 1975.
pub fn matthews(predicted: &[usize], gold: &[usize], classes: usize) -> f64 {
    let n = gold.len() as f64;
    let right = predicted.iter().zip(gold).filter(|(p, g)| p == g).count() as f64;
    let count = |values: &[usize]| {
        let mut counts = vec![0.0; classes];
        for &value in values {
            counts[value] += 1.0;
        }
        counts
    };
    let (p, g) = (count(predicted), count(gold));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let covariance = right * n - dot(&p, &g);
    let spread = (n * n - dot(&p, &p)) * (n * n - dot(&g, &g));
    if spread == 0.0 { 0.0 } else { covariance / spread.sqrt() }
}

/// The Pearson correlation; NaN if one side is constant.
pub fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mx, my) = (mean(x), mean(y));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        let (dx, dy) = (a - mx, b - my);
        xy += dx * dy;
        xx += dx * dx;
        yy += dy * dy;
    }
    // Rounding may give slightly more than 1.
    (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0)
}

/// The Spearman correlation: the Pearson correlation of the ranks.
pub fn spearman(x: &[f64], y: &[f64]) -> f64 {
    pearson(&ranks(x), &ranks(y))
}

/// Mean of squared differences.
pub fn mean_squared_error(predicted: &[f64], gold: &[f64]) -> f64 {
    let squares = predicted.iter().zip(gold).map(|(p, g)| (p - g).powi(2));
    squares.sum::<f64>() / gold.len() as f64
}

/// Ranks from 1; equal values have the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    // `==`, so that 0.0 and -0.0 are ties.
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = below as f64 + (tied.len() as f64 + 1.0) / 2.0;
        for &index in tied {
            ranks[index] = rank;
        }
        below += tied.len();
    }
    ranks
}

/// Mean, standard deviation and median of a score over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The middle value, or the mean of the two middle values.
    pub median: f64,
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation (n - 1); 0 for a single value.
    pub sd: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Summary {
    /// The summary of `values`; `None` without values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let n = sorted.len();
        let mean = sorted.iter().sum::<f64>() / n as f64;
        let squares = sorted.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        let sd = if n == 1 { 0.0 } else { (squares / (n - 1) as f64).sqrt() };
        let median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0;
        Some(Self { median, mean, sd, min, max })
    }
}
