//! Multi-label tasks: a set of labels for a text or a pair of texts.

use crate::{
    error::{Error, Result},
    files::{Files, Pairs},
    form::{Form, LabelColumns},
    labels::{check_labels, find_label},
    metrics::Metric,
    task_file::TaskFile,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A multi-label task, as a `task.toml` with `kind = "multi-label"` describes it.
///
/// ```
/// let task: electra_scores::multi_label::MultiLabelTask = toml::from_str(r#"
///     name = "topics"
///     kind = "multi-label"
///     text_a = "text"
///     label = "topics"
///     metric = "micro-f1"
///     [files]
///     train = "train.tsv"
///     dev = "dev.tsv"
/// "#)?;
/// task.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiLabelTask {
    /// The task's name in reports.
    pub name: String,
    /// The kind of task.
    pub kind: MultiLabelKind,
    /// The column of the (first) text.
    pub text_a: String,
    /// The column of the second text, for pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_b: Option<String>,
    /// The column of a row's labels, joined by `separator`, or in JSON lines a list of strings. An empty field is the
    /// empty set. Without this key, each of `labels` is a column: 1 if the row has the label, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The separator of the labels in a row; white space around a label is ignored.
    #[serde(default = "comma")]
    pub separator: String,
    /// The labels in the order of their numbers; by default those of the training file, sorted. A label that no row of
    /// the training file has is logged as a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// A label is predicted if its probability is at least this.
    #[serde(default = "half")]
    pub threshold: f64,
    /// Whether the order of a pair's texts matters.
    #[serde(default, skip_serializing_if = "Pairs::is_ordered")]
    pub pairs: Pairs,
    /// As [`crate::SentenceTask::unusable_rows`].
    #[serde(default, skip_serializing_if = "crate::files::is_zero")]
    pub unusable_rows: f64,
    /// The metric that seeds are compared by: `micro-f1`, `macro-f1` or `accuracy` (of whole sets).
    pub metric: Metric,
    /// The data files, relative to the data folder.
    pub files: Files,
}

/// The value of `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MultiLabelKind {
    /// A set of labels.
    MultiLabel,
}

fn comma() -> String {
    ",".to_owned()
}

fn half() -> f64 {
    0.5
}

impl MultiLabelTask {
    /// Checks that the keys are consistent.
    ///
    /// # Errors
    /// Naming the first key that is not.
    pub fn validate(&self) -> Result<()> {
        if !matches!(self.metric, Metric::MicroF1 | Metric::MacroF1 | Metric::Accuracy) {
            let expected = "must be micro-f1, macro-f1 or accuracy for a multi-label task";
            return Err(Error::value("metric", self.metric, expected));
        }
        if self.separator.is_empty() || self.separator.contains(['\t', '\n', '\r']) {
            let expected = "must not be empty or contain a tab or a line break";
            return Err(Error::value("separator", format!("{:?}", self.separator), expected));
        }
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            let expected = "must be a probability between 0 and 1";
            return Err(Error::value("threshold", self.threshold, expected));
        }
        if let Some(labels) = &self.labels {
            self.check_labels(labels)
                .map_err(|why| Error::value("labels", format!("{labels:?}"), why))?;
        } else if self.label.is_none() {
            let expected = "must name the column with the labels; or set the key labels, if each label has a column";
            return Err(Error::value("label", "nothing", expected));
        }
        self.form().validate()
    }

    /// Checks that `labels` can be joined by the separator and split again.
    fn check_labels(&self, labels: &[String]) -> std::result::Result<(), String> {
        if labels.is_empty() {
            return Err("there must be at least one label".to_owned());
        }
        for label in labels {
            if label.trim() != label || label.is_empty() {
                return Err(format!("{label:?} is empty or has white space around it"));
            }
            if label.contains(&self.separator) {
                return Err(format!("{label:?} contains the separator {:?}", self.separator));
            }
        }
        check_labels(labels)
    }

    /// The labels of each row of a labeled file; `None` for the rows that are left out. Texts are not read.
    ///
    /// # Errors
    /// Naming file and line of the first row that cannot be used, or the file without a labeled row.
    pub fn gold(&self, path: &Path) -> Result<Vec<Option<Vec<String>>>> {
        self.form().gold(path, |row| {
            let fail = |why: String| Error::row(&path.display().to_string(), row.line, why);
            Ok(match (&self.labels, &row.fields[..]) {
                (None, [text]) => {
                    self.parsed(text).map_err(fail)?.into_iter().map(str::to_owned).collect()
                }
                (labels, fields) => {
                    let labels = labels.as_deref().unwrap_or_default();
                    names(labels, &self.flags(fields, labels).map_err(fail)?)
                }
            })
        })
    }

    /// The labels in `text`, or why they are not a set.
    pub fn parsed<'a>(&self, text: &'a str) -> std::result::Result<Vec<&'a str>, String> {
        let mut names = Vec::new();
        if text.trim().is_empty() {
            return Ok(names);
        }
        for name in text.split(self.separator.as_str()).map(str::trim) {
            if name.is_empty() {
                return Err(format!("empty label in {text:?}: remove a separator"));
            }
            if names.contains(&name) {
                return Err(format!("label {name:?} is a duplicate in {text:?}"));
            }
            names.push(name);
        }
        Ok(names)
    }

    /// A flag for each of `labels`, from the fields after a row's texts; or what is wrong with them.
    pub fn flags(
        &self,
        fields: &[String],
        labels: &[String],
    ) -> std::result::Result<Vec<bool>, String> {
        let Some(column) = &self.label else {
            let flag = |(label, field): (&String, &String)| match field.trim() {
                "1" | "true" => Ok(true),
                "0" | "false" => Ok(false),
                _ => Err(format!("{field:?} in column {label:?} must be 1 or 0")),
            };
            return labels.iter().zip(fields).map(flag).collect();
        };
        let origin = if self.labels.is_some() { "the key labels" } else { "the training file" };
        let mut held = vec![false; labels.len()];
        let text = fields.last().map(String::as_str).unwrap_or_default();
        for name in self.parsed(text).map_err(|why| format!("column {column:?}: {why}"))? {
            let label = find_label(name, labels, origin)
                .map_err(|why| format!("column {column:?}: {why}"))?;
            held[label] = true;
        }
        Ok(held)
    }

    /// The columns to read, and which rows may be left out.
    pub fn form(&self) -> Form<'_> {
        Form {
            texts: std::iter::once(self.text_a.as_str()).chain(self.text_b.as_deref()).collect(),
            labels: match (&self.label, &self.labels) {
                (Some(column), _) => LabelColumns::Set { column, separator: &self.separator },
                (None, labels) => {
                    LabelColumns::Flags(labels.iter().flatten().map(String::as_str).collect())
                }
            },
            unusable_rows: self.unusable_rows,
            pairs: self.pairs,
            files: &self.files,
        }
    }

    /// Reads the file `path`, or `task.toml` in the folder `path`.
    ///
    /// # Errors
    /// Naming the file and key; also if it describes another kind of task.
    pub fn read(path: &Path) -> Result<Self> {
        let file = TaskFile::read(path)?;
        if file.kind().as_deref() != Some("multi-label") {
            return Err(Error::file(file.path(), "kind must be \"multi-label\""));
        }
        let (task, _): (Self, _) = file.parse(&[])?;
        task.validate()?;
        Ok(task)
    }
}

/// The names of the labels whose flags are set.
pub fn names(labels: &[String], flags: &[bool]) -> Vec<String> {
    labels.iter().zip(flags).filter(|(_, set)| **set).map(|(name, _)| name.clone()).collect()
}
