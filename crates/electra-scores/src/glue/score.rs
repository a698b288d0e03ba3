//! GLUE's scores of files of predictions, and its averages over the tasks.

use super::tasks::{GlueTask, TASKS, Training};
use crate::{
    error::{Error, Result},
    json::{self, Members},
    labels::find_label,
    metrics::{Metric, Scores},
    predictions::read_with_gold,
    sentence::{Label, LabelSpace},
    table::Rows,
};
use electra_files::nearest;
use std::path::Path;

/// How the scores of the tasks are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Average {
    /// As the leaderboard: the mean over the nine tasks of the mean over a task's metrics (and over MNLI's two files).
    Leaderboard,
    /// The same without WNLI.
    WithoutWnli,
    /// As the paper for dev sets: the mean over the eight tasks without WNLI of one metric each, Matthews for CoLA,
    /// Spearman for STS-B, accuracy for the others; only the matched file of MNLI.
    Paper,
}

/// The column of the labels in `diagnostic-full.tsv`.
const LABELED_DIAGNOSTIC: &str = "Label";

/// The official scores of a file of predictions against a labeled file in GLUE's own format.
///
/// Predictions are TSV with the columns `index` (the row's number in the gold file, from 0) and `prediction` (the label
/// word, or a number for STS-B); other columns are ignored. Every row needs a prediction, except the rows that
/// fine-tuning leaves out: rows without a gold label, and rows with an empty text, which are scored if they have a
/// prediction.
///
/// # Errors
/// Naming file and line of what cannot be read or scored: a wrong number of columns, an unknown label, a number that
/// is not finite, an index that is a duplicate or not that of a row; or the first row without a prediction.
pub fn score(task: &GlueTask, gold: &Path, predicted: &Path) -> Result<Scores> {
    let space = task.label_space();
    let mut described = task.described();
    // The diagnostic set's file with labels names its columns differently from the file without labels.
    if Rows::open(gold, &[LABELED_DIAGNOSTIC]).is_ok() && task.is_diagnostic() {
        LABELED_DIAGNOSTIC.clone_into(&mut described.label);
    }
    let labels = described.gold(gold, &space)?;
    let parse = |text: &str| prediction(&space, text);
    let (predicted, known) = read_with_gold(predicted, gold, labels, &described.form(), parse)?;
    let all = space.score(&predicted, &known);
    Ok(all.into_iter().filter(|(metric, _)| task.metrics.contains(metric)).collect())
}

/// A prediction as a label of the task, or why it is not one.
pub(super) fn prediction(space: &LabelSpace, text: &str) -> std::result::Result<Label, String> {
    match space {
        LabelSpace::Classes(labels) => {
            find_label(text, labels, "the task's labels").map(Label::Class)
        }
        LabelSpace::Range { .. } => {
            let value = text.parse().ok().filter(|value: &f64| value.is_finite());
            value.map(Label::Value).ok_or_else(|| format!("{text:?} is not a (finite) number"))
        }
    }
}

/// Reads scores that `electra score glue` printed; an undefined score is `null`.
///
/// # Errors
/// Naming the file and the unknown metric.
pub fn read_scores(path: &Path) -> Result<Scores> {
    let members = json::read::<Members<Option<f64>>>(path)?.0;
    let known = [Metric::Accuracy, Metric::F1, Metric::Matthews, Metric::Pearson, Metric::Spearman];
    let metric = |(name, value): (String, Option<f64>)| {
        let metric = known.into_iter().find(|metric| metric.name() == name).ok_or_else(|| {
            let known = nearest(&name, known.iter().map(|metric| metric.name()));
            Error::file(path, format!("{name:?} is not a metric of GLUE{known}"))
        })?;
        Ok((metric, value))
    };
    members.into_iter().map(metric).collect()
}

/// The average of official scores. MNLI has two: first of the matched file, then of the mismatched file.
///
/// # Errors
/// Naming the task with a missing or surplus file, or with a missing or undefined metric.
pub fn average(scores: &[(&GlueTask, Scores)], rule: Average) -> Result<f64> {
    let mut means = Vec::new();
    for task in &TASKS {
        let Training::Files { more_dev, .. } = task.training else { continue };
        if task.name == "wnli" && rule != Average::Leaderboard {
            continue;
        }
        let mut files: Vec<&Scores> =
            scores.iter().filter(|(of, _)| of.name == task.name).map(|(_, found)| found).collect();
        let needed = 1 + more_dev.len();
        if files.len() != needed && !(rule == Average::Paper && files.len() == 1) {
            let expected = format!("the average needs the scores of {needed} for {}", task.name);
            return Err(Error::value("scores", format!("{} files", files.len()), expected));
        }
        let metrics = match rule {
            Average::Paper => &[task.metric],
            Average::Leaderboard | Average::WithoutWnli => task.metrics,
        };
        if rule == Average::Paper {
            files.truncate(1);
        }
        let value = |scores: &Scores, metric: Metric| {
            scores.get(&metric).copied().flatten().ok_or_else(|| {
                let key = format!("{metric} of {}", task.name);
                Error::value(&key, "(missing)", "required for the average")
            })
        };
        let file_mean = |file: &Scores| -> Result<f64> {
            let values = metrics.iter().map(|&metric| value(file, metric));
            Ok(mean(&values.collect::<Result<Vec<_>>>()?))
        };
        let files = files.into_iter().map(file_mean);
        means.push(mean(&files.collect::<Result<Vec<_>>>()?));
    }
    Ok(mean(&means))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
