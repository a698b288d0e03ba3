//! A task: which files, which columns, what is predicted, how it is scored. Read from `task.toml`.

use crate::{
    Error, Result,
    error::nearest,
    scores::{self, Metric, Scores},
    table::{Row, Rows},
};
use electra_train::config::read_toml;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

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
pub struct Example {
    /// The (first) text.
    pub text_a: String,
    /// The second text of a pair.
    pub text_b: Option<String>,
    /// The answer.
    pub target: Target,
}

/// The examples of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// What answers look like.
    pub answers: Answers,
    /// What is learned from.
    pub train: Vec<Example>,
    /// What seeds are compared on.
    pub dev: Vec<Example>,
    /// What is scored at the end.
    pub test: Option<Vec<Example>>,
}

impl Task {
    /// Reads `task.toml`, or the one in the folder `path`.
    ///
    /// # Errors
    /// Naming the file, line and key.
    pub fn read(path: &Path) -> Result<Self> {
        let path = if path.is_dir() { path.join("task.toml") } else { path.to_owned() };
        let task: Self = read_toml(&path, &[])?;
        task.validate()?;
        Ok(task)
    }

    /// Checks that the keys fit each other.
    ///
    /// # Errors
    /// Naming the first key that does not.
    pub fn validate(&self) -> Result<()> {
        let fits = match self.metric {
            Metric::Accuracy | Metric::F1 | Metric::Matthews => Kind::Classification,
            Metric::Pearson | Metric::Spearman | Metric::MeanSquaredError => Kind::Regression,
        };
        if fits != self.kind {
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
        Ok(())
    }

    /// Columns of the texts.
    pub fn text_columns(&self) -> Vec<&str> {
        std::iter::once(self.text_a.as_str()).chain(self.text_b.as_deref()).collect()
    }

    /// Reads every file of the task below `data`.
    ///
    /// # Errors
    /// Naming file, line and column of the first row that cannot be used, or the file that is empty.
    pub fn load(&self, data: &Path) -> Result<Dataset> {
        let train_path = data.join(&self.files.train);
        let rows = self.rows(&train_path)?;
        let answers = self.answers(&train_path, &rows)?;
        let train = self.examples(&train_path, rows, &answers)?;
        let untrained = untrained(&answers, &train);
        if !untrained.is_empty() {
            tracing::warn!(
                "{}: no row has {untrained:?}, which the key labels has: the model cannot learn it",
                train_path.display()
            );
        }
        let file = |name: &Path| {
            let path = data.join(name);
            let rows = self.rows(&path)?;
            self.trained(&path, &rows, &untrained)?;
            self.examples(&path, rows, &answers)
        };
        let dev = file(&self.files.dev)?;
        let test = self.files.test.as_deref().map(file).transpose()?;
        Ok(Dataset { answers, train, dev, test })
    }

    fn rows(&self, path: &Path) -> Result<Vec<Row>> {
        let mut columns = self.text_columns();
        columns.push(&self.label);
        let rows = Rows::open(path, &columns)?.collect::<Result<Vec<_>>>()?;
        if rows.is_empty() {
            return Err(Error::file(path, "there is no row in it"));
        }
        Ok(rows)
    }

    fn answers(&self, path: &Path, rows: &[Row]) -> Result<Answers> {
        match self.kind {
            Kind::Classification => {
                let labels = self.labels.clone().unwrap_or_else(|| {
                    let mut labels: Vec<String> =
                        rows.iter().filter_map(|row| row.fields.last().cloned()).collect();
                    labels.sort();
                    labels.dedup();
                    labels
                });
                check_classes(&labels, self.metric).map_err(|why| {
                    Error::file(
                        path,
                        format!("column {:?} has the labels {labels:?}: {why}", self.label),
                    )
                })?;
                Ok(Answers::Classes(labels))
            }
            Kind::Regression => {
                if let Some([min, max]) = self.range {
                    return Ok(Answers::Range { min, max });
                }
                let mut range = (f64::INFINITY, f64::NEG_INFINITY);
                for row in rows {
                    let value = self.number(path, row)?;
                    range = (range.0.min(value), range.1.max(value));
                }
                if range.0 < range.1 {
                    return Ok(Answers::Range { min: range.0, max: range.1 });
                }
                Err(Error::file(
                    path,
                    format!("column {:?} is {} in every row", self.label, range.0),
                ))
            }
        }
    }

    fn examples(&self, path: &Path, rows: Vec<Row>, answers: &Answers) -> Result<Vec<Example>> {
        rows.into_iter().map(|row| self.example(path, row, answers)).collect()
    }

    /// Checks that no row asks for a class that the training file lacks.
    fn trained(&self, path: &Path, rows: &[Row], untrained: &[&str]) -> Result<()> {
        let label = |row: &Row| row.fields.last().cloned().unwrap_or_default();
        match rows.iter().find(|row| untrained.contains(&label(row).as_str())) {
            None => Ok(()),
            Some(row) => {
                let (label, column) = (label(row), &self.label);
                let message = format!(
                    "label {label:?} in column {column:?} is not in the training file, though the key labels has it: nothing can learn it"
                );
                Err(Error::row(&path.display().to_string(), row.line, message))
            }
        }
    }

    fn example(&self, path: &Path, mut row: Row, answers: &Answers) -> Result<Example> {
        let file = path.display().to_string();
        for (column, text) in self.text_columns().iter().zip(&row.fields) {
            if text.trim().is_empty() {
                return Err(Error::row(
                    &file,
                    row.line,
                    format!("the text in column {column:?} is empty"),
                ));
            }
        }
        let target = match answers {
            Answers::Classes(labels) => {
                let label = &row.fields[row.fields.len() - 1];
                let class = labels.iter().position(|known| known == label).ok_or_else(|| {
                    let known = nearest(label, labels.iter().map(String::as_str));
                    let origin = if self.labels.is_some() { "key labels" } else { "training file" };
                    let column = &self.label;
                    let message = format!(
                        "label {label:?} in column {column:?} is not in the {origin}{known}"
                    );
                    Error::row(&file, row.line, message)
                })?;
                Target::Class(class)
            }
            Answers::Range { .. } => Target::Value(self.number(path, &row)?),
        };
        let mut texts = row.fields.drain(..);
        let text_a = texts.next().unwrap_or_default();
        let text_b = self.text_b.as_ref().and_then(|_| texts.next());
        Ok(Example { text_a, text_b, target })
    }

    fn number(&self, path: &Path, row: &Row) -> Result<f64> {
        let text = row.fields[row.fields.len() - 1].trim();
        text.parse::<f64>().ok().filter(|x| x.is_finite()).ok_or_else(|| {
            let message = format!("{text:?} in column {:?} is not a (finite) number", self.label);
            Error::row(&path.display().to_string(), row.line, message)
        })
    }
}

/// Classes that no example is of.
fn untrained<'a>(answers: &'a Answers, examples: &[Example]) -> Vec<&'a str> {
    match answers {
        Answers::Range { .. } => Vec::new(),
        Answers::Classes(labels) => {
            let is_of = |class| examples.iter().any(|e| e.target == Target::Class(class));
            let lacking = labels.iter().enumerate().filter(|(class, _)| !is_of(*class));
            lacking.map(|(_, label)| label.as_str()).collect()
        }
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

/// Why `labels` cannot be the classes of a task, if they cannot.
fn check_classes(labels: &[String], metric: Metric) -> std::result::Result<(), String> {
    let mut sorted = labels.to_vec();
    sorted.sort();
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("{:?} stands twice", twice[0]));
    }
    if labels.len() < 2 {
        return Err("there must be at least 2 classes".to_owned());
    }
    if metric == Metric::F1 && labels.len() != 2 {
        return Err("f1 is for 2 classes".to_owned());
    }
    Ok(())
}
