//! GLUE's scores of files of predictions, and its averages over the tasks.

use super::tasks::{GlueTask, TASKS, Training};
use crate::{
    error::{Error, Result},
    json::{self, Members},
    metrics::{Metric, Scores},
    predictions,
    sentence::{Label, LabelSpace},
    table::Rows,
};
use electra_files::nearest;
use std::path::Path;

/// How scores of tasks become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Average {
    /// The leaderboard's: the mean over the nine tasks of the mean over a task's metrics (and over MNLI's two files).
    Leaderboard,
    /// The same without WNLI.
    WithoutWnli,
    /// The paper's over dev sets: the mean over the eight tasks without WNLI of one metric each, Matthews for CoLA,
    /// Spearman for STS-B, accuracy for the others; MNLI's matched file alone.
    Paper,
}

/// The column of the labels in the diagnostic set's labelled file, `diagnostic-full.tsv`.
const LABELLED_DIAGNOSTIC: &str = "Label";

/// The official scores of a file of predictions against a labelled file in GLUE's own format.
///
/// Predictions are TSV with the columns `index` (the number of the gold file's row, from 0) and `prediction` (the label
/// word, or a number for STS-B); others are passed over. Every row needs one, but for those that fine-tuning leaves out:
/// rows without gold, and with an empty text, which count where they have one.
///
/// # Errors
/// Naming file and line of what cannot be read or scored: a wrong number of columns, an unknown label, a number that
/// is not finite, an index that no row has or that is a duplicate; or the first row without a prediction.
pub fn score(task: &GlueTask, gold: &Path, predicted: &Path) -> Result<Scores> {
    let space = task.label_space();
    let mut described = task.described();
    // The file that has the diagnostic set's labels spells its columns otherwise than the one without.
    if Rows::open(gold, &[LABELLED_DIAGNOSTIC]).is_ok() && task.is_diagnostic() {
        LABELLED_DIAGNOSTIC.clone_into(&mut described.label);
    }
    let gold_rows = described.gold(gold, &space)?;
    let without_text = || described.form().without_text(gold);
    let predicted = predictions::read(predicted, gold, &gold_rows, without_text, |text| {
        prediction(&space, text)
    })?;
    let pairs = predicted.iter().zip(&gold_rows).filter_map(|(p, g)| p.zip(*g));
    let (predicted, known): (Vec<Label>, Vec<Label>) = pairs.unzip();
    let unscored = gold_rows.len() - known.len();
    if unscored > 0 {
        tracing::warn!(
            "{}: {unscored} rows without gold, or without a text and a prediction, are not scored",
            gold.display()
        );
    }
    let all = space.score(&predicted, &known);
    Ok(all.into_iter().filter(|(metric, _)| task.metrics.contains(metric)).collect())
}

fn prediction(space: &LabelSpace, text: &str) -> std::result::Result<Label, String> {
    match space {
        LabelSpace::Classes(labels) => {
            let class = labels.iter().position(|label| label == text).ok_or_else(|| {
                let known = nearest(text, labels.iter().map(String::as_str));
                format!("prediction {text:?} is no label of the task{known}")
            })?;
            Ok(Label::Class(class))
        }
        LabelSpace::Range { .. } => {
            let value = text.parse().ok().filter(|value: &f64| value.is_finite());
            let expected = || format!("prediction {text:?} is not a (finite) number");
            Ok(Label::Value(value.ok_or_else(expected)?))
        }
    }
}

/// Scores as `electra score glue` prints them; one that is not defined is `null`.
///
/// # Errors
/// Naming the file and the metric that there is not.
pub fn read_scores(path: &Path) -> Result<Scores> {
    let members = json::read::<Members<Option<f64>>>(path)?.0;
    let known = [Metric::Accuracy, Metric::F1, Metric::Matthews, Metric::Pearson, Metric::Spearman];
    let metric = |(name, value): (String, Option<f64>)| {
        let metric = known.into_iter().find(|metric| metric.name() == name).ok_or_else(|| {
            let known = nearest(&name, known.iter().map(|metric| metric.name()));
            Error::file(path, format!("{name:?} is no metric of GLUE{known}"))
        })?;
        Ok((metric, value))
    };
    members.into_iter().map(metric).collect()
}

/// The average of official scores; those of MNLI's two files stand one after the other, matched first.
///
/// # Errors
/// Naming the task of which a file or a metric is missing, is there too often or is not defined.
pub fn average(scores: &[(&GlueTask, Scores)], rule: Average) -> Result<f64> {
    let (mut sum, mut count) = (0.0, 0);
    for task in &TASKS {
        let Training::Files { more_dev, .. } = task.training else { continue };
        if task.name == "wnli" && rule != Average::Leaderboard {
            continue;
        }
        let files: Vec<&Scores> =
            scores.iter().filter(|(of, _)| of.name == task.name).map(|(_, found)| found).collect();
        let all = 1 + more_dev.len();
        let enough = files.len() == all || (rule == Average::Paper && files.len() == 1);
        if !enough {
            let expected = format!("the average needs scores of {all} for {}", task.name);
            return Err(Error::value("scores", format!("{} files", files.len()), expected));
        }
        let value = |scores: &Scores, metric: Metric| {
            scores.get(&metric).copied().flatten().ok_or_else(|| {
                let key = format!("{metric} of {}", task.name);
                Error::value(&key, "nothing", "the average needs a number")
            })
        };
        let mut values = Vec::new();
        match rule {
            Average::Paper => values.push(value(files[0], task.metric)?),
            Average::Leaderboard | Average::WithoutWnli => {
                for file in files {
                    let metrics: Vec<f64> = task
                        .metrics
                        .iter()
                        .map(|&metric| value(file, metric))
                        .collect::<Result<_>>()?;
                    values.push(mean(&metrics));
                }
            }
        }
        sum += mean(&values);
        count += 1;
    }
    Ok(sum / f64::from(count))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
