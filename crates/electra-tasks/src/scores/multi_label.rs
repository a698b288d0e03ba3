//! Scores of sets of labels, as scikit-learn defines them for label indicators.

use super::{
    Found, Metric, Scores,
    found::share,
};

/// Every score of predicted sets against gold ones; a set says of each label whether it holds.
///
/// - accuracy: the share of sets that are right as a whole (`accuracy_score`);
/// - micro F1: F1 over the labels of all sets together (`f1_score(average="micro")`);
/// - macro F1: the mean over labels of the F1 of each (`average="macro"`).
///
/// F1 of labels that neither stand anywhere nor are predicted is 0 (`zero_division=0`). Of no sets nothing is defined.
pub fn scores(predicted: &[Vec<bool>], gold: &[Vec<bool>]) -> Scores {
    let labels = gold.first().map_or(0, Vec::len);
    let found = by_label(predicted, gold, labels);
    let right = predicted.iter().zip(gold).filter(|(predicted, gold)| predicted == gold).count();
    let all: Found = found.iter().copied().sum();
    let mean = found.iter().map(Found::f1).sum::<f64>() / labels as f64;
    let defined = |score: f64| (labels > 0).then_some(score);
    Scores::from([
        (Metric::Accuracy, defined(share(right, gold.len()))),
        (Metric::MicroF1, defined(all.f1())),
        (Metric::MacroF1, defined(mean)),
    ])
}

/// What was found of each of so many labels.
pub fn by_label(predicted: &[Vec<bool>], gold: &[Vec<bool>], labels: usize) -> Vec<Found> {
    let found = |label: usize| {
        let mut found = Found::default();
        for (predicted, gold) in predicted.iter().zip(gold) {
            found.gold += usize::from(gold[label]);
            found.predicted += usize::from(predicted[label]);
            found.right += usize::from(gold[label] && predicted[label]);
        }
        found
    };
    (0..labels).map(found).collect()
}
