//! Scores of sets of labels, as scikit-learn defines them for label indicators.

use super::task::MultiLabelTask;
use crate::{
    counts::{MatchCounts, fraction},
    error::{Error, Result},
    labels::find_label,
    metrics::{Metric, Scores},
    predictions::read_with_gold,
};
use std::{collections::BTreeSet, path::Path};

/// The scores of a file of predictions against a labeled file of the task.
///
/// Predictions are TSV with the columns `index` (the row's number in the gold file, from 0) and `prediction` (labels
/// joined by the task's separator). Every row needs a prediction, except the rows that fine-tuning leaves out
/// (`unusable_rows`); those with an empty text are scored if they have a prediction. The labels are those of the task's
/// key `labels`, or all labels in the two files: the macro average is over them.
///
/// # Errors
/// Naming file and line of what cannot be read or scored, or the first row without a prediction.
pub fn score(task: &MultiLabelTask, gold: &Path, predicted: &Path) -> Result<Scores> {
    let known = task.labels.as_deref();
    let sets = task.gold(gold)?;
    let (predicted, gold_sets) = read_with_gold(predicted, gold, sets, &task.form(), |text| {
        let names = task.parsed(text)?;
        if let Some(known) = known {
            for name in &names {
                find_label(name, known, "the task's labels")?;
            }
        }
        Ok(names.into_iter().map(str::to_owned).collect::<Vec<String>>())
    })?;
    let labels = match known {
        Some(known) => known.to_vec(),
        None => {
            let sets = gold_sets.iter().chain(&predicted);
            sets.flatten().cloned().collect::<BTreeSet<String>>().into_iter().collect()
        }
    };
    if labels.is_empty() {
        return Err(Error::file(gold, "neither the file nor the predictions have a label"));
    }
    let flags = |sets: &[Vec<String>]| -> Vec<Vec<bool>> {
        let held = |set: &Vec<String>| labels.iter().map(|label| set.contains(label)).collect();
        sets.iter().map(held).collect()
    };
    Ok(scores(&flags(&predicted), &flags(&gold_sets)))
}

/// Every score of predicted sets against gold sets; a set has a flag for each label.
///
/// - accuracy: the fraction of sets that are right in all labels (`accuracy_score`);
/// - micro F1: F1 over the labels of all sets together (`f1_score(average="micro")`);
/// - macro F1: the mean over labels of the F1 of each (`average="macro"`).
///
/// The F1 of a label that is in no gold set and in no predicted set is 0 (`zero_division=0`). Without sets, no score is
/// defined.
pub fn scores(predicted: &[Vec<bool>], gold: &[Vec<bool>]) -> Scores {
    let labels = gold.first().map_or(0, Vec::len);
    let found = by_label(predicted, gold, labels);
    let right = predicted.iter().zip(gold).filter(|(predicted, gold)| predicted == gold).count();
    let all: MatchCounts = found.iter().copied().sum();
    let mean = found.iter().map(MatchCounts::f1).sum::<f64>() / labels as f64;
    let defined = |score: f64| (labels > 0).then_some(score);
    Scores::from([
        (Metric::Accuracy, defined(fraction(right, gold.len()))),
        (Metric::MicroF1, defined(all.f1())),
        (Metric::MacroF1, defined(mean)),
    ])
}

/// The counts for each of the labels, `labels` in number.
pub fn by_label(predicted: &[Vec<bool>], gold: &[Vec<bool>], labels: usize) -> Vec<MatchCounts> {
    let found = |label: usize| {
        let mut found = MatchCounts::default();
        for (predicted, gold) in predicted.iter().zip(gold) {
            found.gold += usize::from(gold[label]);
            found.predicted += usize::from(predicted[label]);
            found.right += usize::from(gold[label] && predicted[label]);
        }
        found
    };
    (0..labels).map(found).collect()
}
