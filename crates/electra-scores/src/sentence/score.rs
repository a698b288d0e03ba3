//! Scores of a file of predictions for a task of classes or numbers.

use super::task::{Label, LabelSpace, SentenceKind, SentenceTask, classes};
use crate::{
    counts::MatchCounts,
    error::{Error, Result},
    labels::find_label,
    metrics::{Scores, by_class},
    predictions::read_with_gold,
};
use std::{collections::BTreeSet, path::Path};

/// The scores of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileScores {
    /// Every score.
    pub scores: Scores,
    /// The counts of each class, in order; none for numbers.
    pub by_class: Vec<(String, MatchCounts)>,
}

/// The scores of a file of predictions against a labeled file of the task.
///
/// Predictions have the columns `index` (the row's number in the gold file, from 0) and `prediction`; the format is that
/// of the extension, else TSV. Every row needs a prediction, except the rows that fine-tuning leaves out. The classes
/// are those of the task's key `labels`, or all in the two files.
///
/// # Errors
/// Naming file and line of what cannot be read or scored, or the first row without a prediction.
pub fn score(task: &SentenceTask, gold: &Path, predicted: &Path) -> Result<FileScores> {
    let form = task.form();
    if task.kind == SentenceKind::Regression {
        let space = LabelSpace::Range { min: 0.0, max: 1.0 };
        let labels = task.gold(gold, &space)?;
        let number = |text: &str| match text.trim().parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Label::Value(value)),
            _ => Err(format!("{text:?} is not a (finite) number")),
        };
        let (predicted, known) = read_with_gold(predicted, gold, labels, &form, number)?;
        return Ok(FileScores { scores: space.score(&predicted, &known), by_class: Vec::new() });
    }
    let named = task.labels.as_deref();
    let class = |text: &str| match named {
        Some(named) => find_label(text, named, "the key labels").map(|_| text.to_owned()),
        None => Ok(text.to_owned()),
    };
    let labels = form.gold(gold, |row| {
        let label = row.fields.last().map(String::as_str).unwrap_or_default();
        class(label).map_err(|why| Error::row(&gold.display().to_string(), row.line, why))
    })?;
    let (predicted, known) = read_with_gold(predicted, gold, labels, &form, class)?;
    let names: Vec<String> = match named {
        Some(named) => named.to_vec(),
        None => {
            let all: BTreeSet<&String> = known.iter().chain(&predicted).collect();
            all.into_iter().cloned().collect()
        }
    };
    let numbers = |labels: &[String]| -> Vec<Label> {
        let number = |label| names.iter().position(|name| name == label).unwrap_or_default();
        labels.iter().map(|label| Label::Class(number(label))).collect()
    };
    let (predicted, known) = (numbers(&predicted), numbers(&known));
    let counts = by_class(&classes(&predicted), &classes(&known), names.len());
    let scores = LabelSpace::Classes(names.clone()).score(&predicted, &known);
    Ok(FileScores { scores, by_class: names.into_iter().zip(counts).collect() })
}
