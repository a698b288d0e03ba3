//! Scores of sets of labels, as scikit-learn defines them for label indicators.

use super::{Found, Metric, Scores, by_index, found::share};
use crate::{Error, MultiLabelTask, Result, rows::TextTask};
use electra_files::nearest;
use std::path::Path;

/// The scores of a file of predictions against a labelled file of the task.
///
/// Predictions are TSV with the columns `index` (the number of the gold file's row, from 0) and `prediction` (labels with
/// the task's separator between them). Every row needs one, but for those that fine-tuning leaves out: rows that
/// `unusable_rows` allows, of which those with an empty text count where they have one. The labels are those of the
/// task's key `labels`, or all that stand in either file: what the macro average is over.
///
/// # Errors
/// Naming file and line of what cannot be read or scored, or the first row without a prediction.
pub fn score(task: &MultiLabelTask, gold: &Path, predictions: &Path) -> Result<Scores> {
    let known = task.labels.as_deref();
    let gold_sets = task.gold(gold)?;
    let without_text = || task.form().without_text(gold);
    let predicted = by_index::predictions(predictions, gold, &gold_sets, without_text, |text| {
        let names = task.parsed(text)?;
        let unknown = |name: &&str| known.is_some_and(|known| !known.iter().any(|k| k == name));
        match names.iter().copied().find(unknown) {
            None => Ok(names.into_iter().map(str::to_owned).collect::<Vec<String>>()),
            Some(name) => {
                let near = nearest(name, known.iter().copied().flatten().map(String::as_str));
                Err(format!("prediction {name:?} is no label of the task{near}"))
            }
        }
    })?;
    let (gold_sets, predicted): (Vec<Vec<String>>, Vec<Vec<String>>) =
        gold_sets.into_iter().zip(predicted).filter_map(|(gold, found)| gold.zip(found)).unzip();
    let sets = || gold_sets.iter().chain(&predicted);
    let labels = match known {
        Some(known) => known.to_vec(),
        None => {
            let mut labels: Vec<String> = sets().flatten().cloned().collect();
            labels.sort();
            labels.dedup();
            labels
        }
    };
    if labels.is_empty() {
        return Err(Error::file(gold, "there is no label in it and none in the predictions"));
    }
    let flags = |sets: &[Vec<String>]| -> Vec<Vec<bool>> {
        let held = |set: &Vec<String>| labels.iter().map(|label| set.contains(label)).collect();
        sets.iter().map(held).collect()
    };
    Ok(scores(&flags(&predicted), &flags(&gold_sets)))
}

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
