//! A task: which files, which columns, what is predicted, how it is scored. Read from `task.toml`.

mod read;

use crate::{
    AnyTask, Error, Result,
    encoded::check_label,
    report::LeftOut,
    rows::TextTask,
    scored::Scored,
    scores::{self, Metric, Scores},
    table::Format,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// A sentence or sentence-pair task of the user's own, as `task.toml` describes it.
///
/// ```
/// use electra_tasks::Task;
///
/// let task: Task = toml::from_str(r#"
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
pub struct Task {
    /// What it is called in reports.
    pub name: String,
    /// What is predicted.
    pub kind: Kind,
    /// Column of the (first) text.
    pub text_a: String,
    /// Column of the second text, for pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_b: Option<String>,
    /// Column of the label.
    pub label: String,
    /// The classes in the order of their numbers; without it, those of the training file, sorted. A class of
    /// which the training file has no row is warned of, and refused in the other files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// Smallest and largest value of a regression; without it, those of the training file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// What stands in the column of the label where a row has no answer (`-` of SNLI and MNLI, whose annotators
    /// did not agree); such rows are left out and counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_label: Option<String>,
    /// Whether the texts of a pair may change places.
    #[serde(default, skip_serializing_if = "Pairs::is_ordered")]
    pub pairs: Pairs,
    /// Largest share of a file's rows that may be left out because they cannot be used: a wrong number of
    /// columns, an empty text. Each is named and they are counted. 0, which is the default, makes the first of
    /// them an error; a label that is not known is always one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unusable_rows: f64,
    /// What seeds are compared by.
    pub metric: Metric,
    /// The data files, relative to the data folder.
    pub files: Files,
}

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// One of several classes.
    Classification,
    /// A number.
    Regression,
}

/// Whether the texts of a pair may change places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairs {
    /// They may not: a premise and what is to follow from it.
    #[default]
    Ordered,
    /// They may: each training pair is learned from in both orders (the reference's `double_unordered`), first
    /// all as they are, then all swapped.
    Unordered,
}

impl Pairs {
    pub(crate) fn is_ordered(&self) -> bool {
        *self == Self::Ordered
    }
}

/// The `[files]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// What is learned from.
    pub train: PathBuf,
    /// What seeds are compared on.
    pub dev: PathBuf,
    /// What is scored at the end, and nothing chosen by; needs labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// What the files are, where their extensions do not say it; for tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Names of all columns of .tsv and .csv files that have no header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Further dev files by name: scored as `dev` is, and nothing chosen by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more_dev: BTreeMap<String, PathBuf>,
}

/// What answers look like: the classes, or the range of a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Answers {
    /// The classes in the order of their numbers.
    Classes(Vec<String>),
    /// The range that a regression is scaled from.
    Range {
        /// The value that is 0 to the network.
        min: f64,
        /// The value that is 1 to the network.
        max: f64,
    },
}

/// The answer to one example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Number of the class.
    Class(usize),
    /// The value, in the labels' own units.
    Value(f64),
}

/// A text or a pair of texts with its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Example<T = Target> {
    /// The (first) text.
    pub text_a: String,
    /// The second text of a pair.
    pub text_b: Option<String>,
    /// The answer.
    pub target: T,
    /// The number of its row in the file, from 0: rows that are left out count.
    pub row: usize,
}

impl<T: Clone> Example<T> {
    /// The pair in the other order.
    pub(crate) fn swapped(&self) -> Self {
        match self.text_b.clone() {
            Some(text_a) => Self { text_a, text_b: Some(self.text_a.clone()), ..self.clone() },
            None => self.clone(),
        }
    }
}

/// The examples of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset<S = Answers, T = Target> {
    /// What answers look like.
    pub answers: S,
    /// What is learned from.
    pub train: Vec<Example<T>>,
    /// What is scored.
    pub scored: Scored<Vec<Example<T>>>,
    /// Rows that were left out, by file: without an answer, or of those that [`Task::unusable_rows`] allows.
    pub left_out: Vec<LeftOut>,
}

impl Task {
    /// Reads `task.toml`, or the one in the folder `path`: the task of a [`crate::any::TaskFile`], without what that says
    /// of the config.
    ///
    /// # Errors
    /// Naming the file, line and key, or another kind of task.
    pub fn read(path: &Path) -> Result<Self> {
        match AnyTask::read(path, &[])? {
            AnyTask::Sentence(task) => Ok(task),
            _ => Err(Error::file(path, "kind must be \"classification\" or \"regression\" here")),
        }
    }

    /// Checks that the keys fit each other.
    ///
    /// # Errors
    /// Naming the first key that does not.
    pub fn validate(&self) -> Result<()> {
        let fits = match self.metric {
            Metric::Accuracy | Metric::F1 | Metric::Matthews => Some(Kind::Classification),
            Metric::Pearson | Metric::Spearman | Metric::MeanSquaredError => Some(Kind::Regression),
            _ => None,
        };
        if fits != Some(self.kind) {
            let expected = match self.kind {
                Kind::Classification => "must be accuracy, f1 or matthews for a classification",
                Kind::Regression => {
                    "must be pearson, spearman or mean-squared-error for a regression"
                }
            };
            return Err(Error::value("metric", self.metric, expected));
        }
        if let Some(labels) = &self.labels {
            check_classes(labels, self.metric)
                .map_err(|why| Error::value("labels", format!("{labels:?}"), why))?;
            if self.kind == Kind::Regression {
                return Err(Error::value(
                    "labels",
                    format!("{labels:?}"),
                    "a regression has none; its key is range",
                ));
            }
        }
        if let Some([min, max]) = self.range {
            let value = format!("[{min}, {max}]");
            if !(min < max && min.is_finite() && max.is_finite()) {
                return Err(Error::value("range", value, "the first must be below the second"));
            }
            if self.kind == Kind::Classification {
                return Err(Error::value(
                    "range",
                    value,
                    "a classification has none; its key is labels",
                ));
            }
        }
        self.form().validate()
    }

    /// Columns of the texts.
    pub fn text_columns(&self) -> Vec<&str> {
        std::iter::once(self.text_a.as_str()).chain(self.text_b.as_deref()).collect()
    }
}

impl Answers {
    /// Outputs of a network that gives such answers.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classes(labels) => labels.len(),
            Self::Range { .. } => 1,
        }
    }

    /// Every score of `predicted` against `gold`.
    pub fn score(&self, predicted: &[Target], gold: &[Target]) -> Scores {
        match self {
            Self::Classes(labels) => {
                scores::classification(&classes(predicted), &classes(gold), labels.len())
            }
            Self::Range { .. } => scores::regression(&values(predicted), &values(gold)),
        }
    }

    /// The answer as it is written: the class's name, or the number.
    pub fn text(&self, target: Target) -> String {
        match (self, target) {
            (Self::Classes(labels), Target::Class(class)) => labels[class].clone(),
            (_, Target::Class(class)) => class.to_string(),
            (_, Target::Value(value)) => value.to_string(),
        }
    }
}

/// The classes among `targets`.
pub(crate) fn classes(targets: &[Target]) -> Vec<usize> {
    let class = |target: &Target| match *target {
        Target::Class(class) => Some(class),
        Target::Value(_) => None,
    };
    targets.iter().filter_map(class).collect()
}

/// The values among `targets`.
pub(crate) fn values(targets: &[Target]) -> Vec<f64> {
    let value = |target: &Target| match *target {
        Target::Value(value) => Some(value),
        Target::Class(_) => None,
    };
    targets.iter().filter_map(value).collect()
}

pub(crate) fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

/// Why `labels` cannot be the classes of a task, if they cannot.
fn check_classes(labels: &[String], metric: Metric) -> std::result::Result<(), String> {
    let mut sorted = labels.to_vec();
    sorted.sort();
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("{:?} stands twice", twice[0]));
    }
    labels.iter().try_for_each(|label| check_label(label))?;
    if labels.len() < 2 {
        return Err("there must be at least 2 classes".to_owned());
    }
    if metric == Metric::F1 && labels.len() != 2 {
        return Err("f1 is for 2 classes".to_owned());
    }
    Ok(())
}
