//! The description of a sentence task, and its labels.

use crate::{
    class_weights::ClassWeights,
    error::{Error, Result},
    files::{Files, Pairs},
    form::{Form, LabelColumns, Read},
    labels::{check_labels, find_label},
    metrics::{self, Metric, Scores},
    table::Row,
    task_file::TaskFile,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A sentence or sentence-pair task, as a `task.toml` with `kind = "classification"` or `"regression"` describes it.
///
/// ```
/// use electra_scores::SentenceTask;
///
/// let task: SentenceTask = toml::from_str(r#"
///     name = "sentiment"
///     kind = "classification"
///     text_a = "sentence"
///     label = "label"
///     metric = "accuracy"
///     [files]
///     train = "train.tsv"
///     dev = "dev.tsv"
/// "#)?;
/// task.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentenceTask {
    /// The task's name in reports.
    pub name: String,
    /// Classification or regression.
    pub kind: SentenceKind,
    /// The column of the (first) text.
    pub text_a: String,
    /// The column of the second text, for pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_b: Option<String>,
    /// The column of the label.
    pub label: String,
    /// The classes in the order of their numbers; by default those of the training file, sorted. A class that is not in
    /// the training file is logged as a warning, and is an error in the other files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// Smallest and largest value of a regression; by default those of the training file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// The label of rows without a gold label (`-` in SNLI and MNLI, where the annotators did not agree); such rows are
    /// left out and counted. With `""` rows with an empty label are left out; otherwise an empty label is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_label: Option<String>,
    /// The factor of an example's loss, by its class; for classification.
    #[serde(default, skip_serializing_if = "ClassWeights::is_none")]
    pub class_weights: ClassWeights,
    /// Whether the order of a pair's texts matters.
    #[serde(default, skip_serializing_if = "Pairs::is_ordered")]
    pub pairs: Pairs,
    /// The largest fraction of a file's rows that may be left out because they are malformed: a wrong number of
    /// columns, an empty text or label. They are listed and counted. With the default of 0 a malformed row is an error. An
    /// unknown label is always an error.
    #[serde(default, skip_serializing_if = "crate::files::is_zero")]
    pub unusable_rows: f64,
    /// The metric that seeds are compared by.
    pub metric: Metric,
    /// The data files, relative to the data folder.
    pub files: Files,
}

/// The kinds of sentence tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SentenceKind {
    /// One of several classes is predicted.
    Classification,
    /// A number is predicted.
    Regression,
}

/// The labels of a task: classes, or the range of a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelSpace {
    /// The classes in the order of their numbers.
    Classes(Vec<String>),
    /// The range of a regression, which is scaled to 0 to 1 for the network.
    Range {
        /// The value that is scaled to 0.
        min: f64,
        /// The value that is scaled to 1.
        max: f64,
    },
}

/// The label of one example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Label {
    /// The number of the class.
    Class(usize),
    /// The value, in the file's units.
    Value(f64),
}

impl SentenceTask {
    /// Reads the file `path`, or `task.toml` in the folder `path`.
    ///
    /// # Errors
    /// Naming the file and key; also if it describes another kind of task.
    pub fn read(path: &Path) -> Result<Self> {
        let file = TaskFile::read(path)?;
        if !matches!(file.kind().as_deref(), Some("classification" | "regression")) {
            let message = "kind must be \"classification\" or \"regression\"";
            return Err(Error::file(file.path(), message));
        }
        let (task, _): (Self, _) = file.parse(&[])?;
        task.validate()?;
        Ok(task)
    }

    /// Checks that the keys are consistent.
    ///
    /// # Errors
    /// Naming the first key that is not.
    pub fn validate(&self) -> Result<()> {
        let (metrics, expected): (&[Metric], _) = match self.kind {
            SentenceKind::Classification => (
                &[Metric::Accuracy, Metric::F1, Metric::MacroF1, Metric::Matthews],
                "must be accuracy, f1, macro-f1 or matthews for a classification",
            ),
            SentenceKind::Regression => (
                &[Metric::Pearson, Metric::Spearman, Metric::MeanSquaredError],
                "must be pearson, spearman or mean-squared-error for a regression",
            ),
        };
        if !metrics.contains(&self.metric) {
            return Err(Error::value("metric", self.metric, expected));
        }
        if let Some(labels) = &self.labels {
            let value = format!("{labels:?}");
            if self.kind == SentenceKind::Regression {
                return Err(Error::value(
                    "labels",
                    value,
                    "is for classification: set range for a regression",
                ));
            }
            check_classes(labels, self.metric).map_err(|why| Error::value("labels", value, why))?;
        }
        if self.kind == SentenceKind::Regression && !self.class_weights.is_none() {
            let expected = "is for classification: a regression has no classes";
            return Err(Error::value("class_weights", &self.class_weights, expected));
        }
        if let Some([min, max]) = self.range {
            let value = format!("[{min}, {max}]");
            if self.kind == SentenceKind::Classification {
                return Err(Error::value(
                    "range",
                    value,
                    "is for regression: set labels for a classification",
                ));
            }
            if !(min < max && min.is_finite() && max.is_finite()) {
                return Err(Error::value(
                    "range",
                    value,
                    "the first value must be below the second",
                ));
            }
        }
        self.form().validate()
    }

    /// The columns of the texts.
    pub fn text_columns(&self) -> Vec<&str> {
        std::iter::once(self.text_a.as_str()).chain(self.text_b.as_deref()).collect()
    }

    /// The columns to read, and which rows may be left out.
    pub fn form(&self) -> Form<'_> {
        Form {
            texts: self.text_columns(),
            labels: LabelColumns::One { column: &self.label, no_label: self.no_label.as_deref() },
            unusable_rows: self.unusable_rows,
            pairs: self.pairs,
            files: &self.files,
        }
    }

    /// The labels of a labeled file, row by row; `None` for the rows that are left out. Texts are not read.
    ///
    /// # Errors
    /// Naming file, line and column of the first row that cannot be used.
    pub fn gold(&self, path: &Path, space: &LabelSpace) -> Result<Vec<Option<Label>>> {
        self.form().gold(path, |row| self.label(path, row, space))
    }

    /// The labels of the usable rows of a file, in order.
    ///
    /// # Errors
    /// As [`SentenceTask::gold`]; also for an empty text.
    pub fn learnable(&self, path: &Path, space: &LabelSpace) -> Result<Vec<Label>> {
        let Read { rows, .. } = self.form().rows(path)?;
        rows.iter().map(|row| self.label(path, row, space)).collect()
    }

    /// The label in a row's last field.
    ///
    /// # Errors
    /// Naming file, line and column.
    pub fn label(&self, path: &Path, row: &Row, space: &LabelSpace) -> Result<Label> {
        let LabelSpace::Classes(labels) = space else {
            return Ok(Label::Value(self.number(path, row)?));
        };
        let label = &row.fields[row.fields.len() - 1];
        let origin = if self.labels.is_some() { "the key labels" } else { "the training file" };
        match find_label(label, labels, origin) {
            Ok(class) => Ok(Label::Class(class)),
            Err(why) => {
                let message = format!("column {:?}: {why}", self.label);
                Err(Error::row(&path.display().to_string(), row.line, message))
            }
        }
    }

    /// The number in a row's last field.
    ///
    /// # Errors
    /// Naming file, line and column.
    pub fn number(&self, path: &Path, row: &Row) -> Result<f64> {
        let text = row.fields[row.fields.len() - 1].trim();
        text.parse::<f64>().ok().filter(|x| x.is_finite()).ok_or_else(|| {
            let point = match text.replace(',', ".").parse::<f64>() {
                Ok(_) => "; write a decimal point",
                Err(_) => "",
            };
            let message =
                format!("column {:?}: {text:?} is not a (finite) number{point}", self.label);
            Error::row(&path.display().to_string(), row.line, message)
        })
    }
}

impl LabelSpace {
    /// The number of outputs of a network that predicts such labels.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classes(labels) => labels.len(),
            Self::Range { .. } => 1,
        }
    }

    /// Every score of `predicted` against `gold`.
    pub fn score(&self, predicted: &[Label], gold: &[Label]) -> Scores {
        match self {
            Self::Classes(labels) => {
                metrics::classification(&classes(predicted), &classes(gold), labels.len())
            }
            Self::Range { .. } => metrics::regression(&values(predicted), &values(gold)),
        }
    }

    /// The label as text: the name of the class, or the number.
    pub fn text(&self, label: Label) -> String {
        match (self, label) {
            (Self::Classes(labels), Label::Class(class)) => labels[class].clone(),
            (_, Label::Class(class)) => class.to_string(),
            (_, Label::Value(value)) => value.to_string(),
        }
    }

    /// The most frequent class of `labels` (the first one of a tie), or their mean.
    pub fn majority(&self, labels: &[Label]) -> Label {
        match self {
            Self::Classes(names) => {
                let mut counts = vec![0u64; names.len()];
                for class in classes(labels) {
                    counts[class] += 1;
                }
                let best = (0..counts.len()).rev().max_by_key(|&class| counts[class]);
                Label::Class(best.unwrap_or(0))
            }
            Self::Range { .. } => {
                let values = values(labels);
                Label::Value(values.iter().sum::<f64>() / values.len() as f64)
            }
        }
    }
}

/// The classes among `labels`.
pub fn classes(labels: &[Label]) -> Vec<usize> {
    let class = |label: &Label| match *label {
        Label::Class(class) => Some(class),
        Label::Value(_) => None,
    };
    labels.iter().filter_map(class).collect()
}

/// The values among `labels`.
pub fn values(labels: &[Label]) -> Vec<f64> {
    let value = |label: &Label| match *label {
        Label::Value(value) => Some(value),
        Label::Class(_) => None,
    };
    labels.iter().filter_map(value).collect()
}

/// Checks that `labels` can be the classes of a task with this metric.
///
/// # Errors
/// A message about the first fault.
pub fn check_classes(labels: &[String], metric: Metric) -> std::result::Result<(), String> {
    check_labels(labels)?;
    if labels.len() < 2 {
        return Err("a classification needs at least 2 classes".to_owned());
    }
    if metric == Metric::F1 && labels.len() != 2 {
        return Err("f1 needs exactly 2 classes; macro-f1 takes any number".to_owned());
    }
    Ok(())
}
