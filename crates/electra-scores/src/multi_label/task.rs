//! Multi-label tasks: a set of labels for a text or a pair of texts.

use crate::{
    error::{Error, Result},
    files::{Files, Pairs},
    form::{Form, check_label},
    metrics::Metric,
    task_file::TaskFile,
};
use electra_files::nearest;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A task of sets of labels, as a `task.toml` with `kind = "multi-label"` describes it.
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
    /// What it is called in reports.
    pub name: String,
    /// The kind of task.
    pub kind: MultiLabelKind,
    /// Column of the (first) text.
    pub text_a: String,
    /// Column of the second text, for pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_b: Option<String>,
    /// Column of a row's labels, with `separator` between them, or in JSON lines a list of strings; an empty one is the
    /// empty set. Without the key each of `labels` is a column of its own: 1 where the label holds, 0 where not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What stands between the labels of a row; white space around a label is not part of it.
    #[serde(default = "comma")]
    pub separator: String,
    /// The labels in the order of their numbers; without it, those of the training file, sorted. One that no training
    /// row has is warned of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// A label holds where its probability is at least this.
    #[serde(default = "half")]
    pub threshold: f64,
    /// Whether the texts of a pair may change places.
    #[serde(default, skip_serializing_if = "Pairs::is_ordered")]
    pub pairs: Pairs,
    /// As [`crate::SentenceTask::unusable_rows`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unusable_rows: f64,
    /// What seeds are compared by: `micro-f1`, `macro-f1` or `accuracy`, which is of whole sets.
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
    /// Checks that the keys fit each other.
    ///
    /// # Errors
    /// Naming the first key that does not.
    pub fn validate(&self) -> Result<()> {
        if !matches!(self.metric, Metric::MicroF1 | Metric::MacroF1 | Metric::Accuracy) {
            let expected = "must be micro-f1, macro-f1 or accuracy for sets of labels";
            return Err(Error::value("metric", self.metric, expected));
        }
        if self.separator.is_empty() || self.separator.contains(['\t', '\n', '\r']) {
            let expected = "must have a character, and no tab or line break";
            return Err(Error::value("separator", format!("{:?}", self.separator), expected));
        }
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            let expected = "must be a probability between 0 and 1";
            return Err(Error::value("threshold", self.threshold, expected));
        }
        match (&self.labels, &self.label) {
            (Some(labels), _) => self
                .check_labels(labels)
                .map_err(|why| Error::value("labels", format!("{labels:?}"), why))?,
            (None, None) => {
                let expected = "must name the column of a row's labels; or the key labels the columns of each label";
                return Err(Error::value("label", "nothing", expected));
            }
            (None, Some(_)) => {}
        }
        self.form().validate()
    }

    /// Why `labels` cannot be told from each other, if they cannot.
    fn check_labels(&self, labels: &[String]) -> std::result::Result<(), String> {
        if labels.is_empty() {
            return Err("there must be one label at least".to_owned());
        }
        for (place, label) in labels.iter().enumerate() {
            if label.trim() != label || label.is_empty() {
                return Err(format!("{label:?} is empty or has white space around it"));
            }
            check_label(label)?;
            if label.contains(&self.separator) {
                let separator = &self.separator;
                return Err(format!("{label:?} has the separator {separator:?} in it"));
            }
            if labels[..place].contains(label) {
                return Err(format!("duplicate label {label:?}"));
            }
        }
        Ok(())
    }

    /// The labels of each row of a labelled file; `None` for the rows that are left out. Texts are not looked at.
    ///
    /// # Errors
    /// Naming file and line of the first row that cannot be used, or the file that has none.
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

    /// The labels that stand in `text`, or why they are no set.
    pub fn parsed<'a>(&self, text: &'a str) -> std::result::Result<Vec<&'a str>, String> {
        let mut names = Vec::new();
        if text.trim().is_empty() {
            return Ok(names);
        }
        for name in text.split(self.separator.as_str()).map(str::trim) {
            if name.is_empty() {
                return Err(format!(
                    "{text:?} has an empty label: a set has none between separators"
                ));
            }
            if names.contains(&name) {
                return Err(format!("label {name:?} is a duplicate in {text:?}"));
            }
            names.push(name);
        }
        Ok(names)
    }

    /// Which labels hold, by the fields behind a row's texts.
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
        let mut held = vec![false; labels.len()];
        let text = fields.last().map(String::as_str).unwrap_or_default();
        for name in self.parsed(text).map_err(|why| format!("column {column:?}: {why}"))? {
            let label = labels.iter().position(|known| known == name).ok_or_else(|| {
                let known = nearest(name, labels.iter().map(String::as_str));
                let origin = if self.labels.is_some() { "key labels" } else { "training file" };
                format!("label {name:?} in column {column:?} is not in the {origin}{known}")
            })?;
            held[label] = true;
        }
        Ok(held)
    }

    /// The columns that are read, and which rows may be left out.
    pub fn form(&self) -> Form<'_> {
        let labels: Vec<&str> = match (&self.label, &self.labels) {
            (Some(column), _) => vec![column],
            (None, labels) => labels.iter().flatten().map(String::as_str).collect(),
        };
        Form {
            texts: std::iter::once(self.text_a.as_str()).chain(self.text_b.as_deref()).collect(),
            labels,
            no_label: None,
            separator: self.label.as_ref().map(|_| self.separator.as_str()),
            unusable_rows: self.unusable_rows,
            pairs: self.pairs,
            files: &self.files,
        }
    }

    /// Reads a `task.toml` (or the one in the folder `path`) of this kind.
    ///
    /// # Errors
    /// Naming the file and key, or another kind of task.
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

fn is_zero(x: &f64) -> bool {
    *x == 0.0
}
