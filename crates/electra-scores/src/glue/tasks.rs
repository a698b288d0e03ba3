//! GLUE's tasks as one table: folders, files, columns, labels, metrics, and the files of a submission.
//!
//! A row of [`TASKS`] becomes a [`SentenceTask`], as a user's `task.toml` does. Other code does not name tasks of GLUE.
//!
//! Source: Wang et al. 2019, "GLUE: A multi-task benchmark and analysis platform for natural language understanding";
//! the files of gluebenchmark.com; reference `finetune/classification/classification_tasks.py`.

use crate::{
    class_weights::ClassWeights,
    error::{Error, Result},
    files::{Files, Pairs},
    metrics::Metric,
    sentence::{LabelSpace, SentenceKind, SentenceTask},
};
use electra_files::nearest;
use std::path::{Path, PathBuf};

/// The largest fraction of a file's rows that may be left out: the official QQP has rows that a line break splits.
pub const UNUSABLE_ROWS: f64 = 0.01;

/// One task of GLUE.
#[derive(Debug, PartialEq)]
pub struct GlueTask {
    /// Its name here, as `--task` takes it.
    pub name: &'static str,
    /// Its name in the reference, if different.
    pub reference_name: Option<&'static str>,
    /// The official folder.
    pub folder: &'static str,
    /// Column of the (first) text.
    pub text_a: &'static str,
    /// Column of the second text, for pairs.
    pub text_b: Option<&'static str>,
    /// Column of the label in labeled files.
    pub label: &'static str,
    /// The labels.
    pub labels: GlueLabels,
    /// The official metrics.
    pub metrics: &'static [Metric],
    /// The metric that seeds are compared by: that of the reference, or Spearman if the reference has two.
    pub metric: Metric,
    /// Whether the order of a pair's texts matters.
    pub pairs: Pairs,
    /// The labeled files.
    pub training: Training,
    /// The unlabeled files of a submission to the leaderboard.
    pub tests: &'static [TestFile],
}

/// The labels of a GLUE task.
#[derive(Debug, PartialEq)]
pub enum GlueLabels {
    /// The names of the classes, in the reference's order; the leaderboard takes the same names.
    Classes(&'static [&'static str]),
    /// The smallest and the largest value.
    Range(f64, f64),
}

/// The labeled files of a GLUE task.
#[derive(Debug, PartialEq)]
pub enum Training {
    /// `train.tsv` and the dev files.
    Files {
        /// Names of the columns, if the labeled files have no header.
        columns: Option<&'static [&'static str]>,
        /// The dev file that seeds are compared on.
        dev: &'static str,
        /// Further dev files that are scored: a name and a file.
        more_dev: &'static [(&'static str, &'static str)],
    },
    /// No files: the task is predicted with the model of another task.
    ModelOf(&'static str),
}

/// A file without labels, and the name of its predictions in a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestFile {
    /// The file in the task's folder.
    pub file: &'static str,
    /// The column with the number of the row, from 0.
    pub index: &'static str,
    /// The number of rows in the official file.
    pub rows: u64,
    /// The file of predictions in the submission.
    pub submission: &'static str,
}

/// No further dev files.
const NO_FILES: &[(&str, &str)] = &[];
const BINARY: GlueLabels = GlueLabels::Classes(&["0", "1"]);
const ENTAILMENT: GlueLabels = GlueLabels::Classes(&["entailment", "not_entailment"]);
const THREE_WAY: GlueLabels = GlueLabels::Classes(&["contradiction", "entailment", "neutral"]);
const ONE_DEV: Training = Training::Files { columns: None, dev: "dev.tsv", more_dev: &[] };

/// The test file of most tasks.
const fn test(rows: u64, submission: &'static str) -> TestFile {
    test_file("test.tsv", rows, submission)
}

const fn test_file(file: &'static str, rows: u64, submission: &'static str) -> TestFile {
    TestFile { file, index: "index", rows, submission }
}

/// The values that most tasks share.
const SENTENCE: GlueTask = GlueTask {
    name: "",
    reference_name: None,
    folder: "",
    text_a: "sentence",
    text_b: None,
    label: "label",
    labels: BINARY,
    metrics: &[Metric::Accuracy],
    metric: Metric::Accuracy,
    pairs: Pairs::Ordered,
    training: ONE_DEV,
    tests: &[],
};

/// The nine tasks and the diagnostic set, in the order of the leaderboard's columns.
pub const TASKS: [GlueTask; 10] = [
    GlueTask {
        name: "cola",
        folder: "CoLA",
        metrics: &[Metric::Matthews],
        metric: Metric::Matthews,
        training: Training::Files {
            // The code of the source, the label, the mark in the source, the sentence.
            columns: Some(&["source", "label", "mark", "sentence"]),
            dev: "dev.tsv",
            more_dev: &[],
        },
        tests: &[test(1063, "CoLA.tsv")],
        ..SENTENCE
    },
    GlueTask {
        name: "sst2",
        reference_name: Some("sst"),
        folder: "SST-2",
        tests: &[test(1821, "SST-2.tsv")],
        ..SENTENCE
    },
    GlueTask {
        name: "mrpc",
        folder: "MRPC",
        text_a: "#1 String",
        text_b: Some("#2 String"),
        label: "Quality",
        metrics: &[Metric::F1, Metric::Accuracy],
        pairs: Pairs::Unordered,
        tests: &[test(1725, "MRPC.tsv")],
        ..SENTENCE
    },
    GlueTask {
        name: "stsb",
        reference_name: Some("sts"),
        folder: "STS-B",
        text_a: "sentence1",
        text_b: Some("sentence2"),
        label: "score",
        labels: GlueLabels::Range(0.0, 5.0),
        metrics: &[Metric::Pearson, Metric::Spearman],
        metric: Metric::Spearman,
        pairs: Pairs::Unordered,
        tests: &[test(1379, "STS-B.tsv")],
        ..SENTENCE
    },
    GlueTask {
        name: "qqp",
        folder: "QQP",
        text_a: "question1",
        text_b: Some("question2"),
        label: "is_duplicate",
        metrics: &[Metric::F1, Metric::Accuracy],
        // The order does not matter, but the reference learns it in one order only.
        tests: &[TestFile { file: "test.tsv", index: "id", rows: 390_965, submission: "QQP.tsv" }],
        ..SENTENCE
    },
    GlueTask {
        name: "mnli",
        folder: "MNLI",
        text_a: "sentence1",
        text_b: Some("sentence2"),
        label: "gold_label",
        labels: THREE_WAY,
        training: Training::Files {
            columns: None,
            dev: "dev_matched.tsv",
            more_dev: &[("mismatched", "dev_mismatched.tsv")],
        },
        tests: &[
            test_file("test_matched.tsv", 9796, "MNLI-m.tsv"),
            test_file("test_mismatched.tsv", 9847, "MNLI-mm.tsv"),
        ],
        ..SENTENCE
    },
    GlueTask {
        name: "qnli",
        folder: "QNLI",
        text_a: "question",
        text_b: Some("sentence"),
        labels: ENTAILMENT,
        tests: &[test(5463, "QNLI.tsv")],
        ..SENTENCE
    },
    GlueTask {
        name: "rte",
        folder: "RTE",
        text_a: "sentence1",
        text_b: Some("sentence2"),
        labels: ENTAILMENT,
        tests: &[test(3000, "RTE.tsv")],
        ..SENTENCE
    },
    GlueTask {
        name: "wnli",
        folder: "WNLI",
        text_a: "sentence1",
        text_b: Some("sentence2"),
        tests: &[test(146, "WNLI.tsv")],
        ..SENTENCE
    },
    GlueTask {
        name: "ax",
        reference_name: Some("diagnostic"),
        folder: "diagnostic",
        text_a: "sentence1",
        text_b: Some("sentence2"),
        labels: THREE_WAY,
        metrics: &[Metric::Matthews],
        metric: Metric::Matthews,
        training: Training::ModelOf("mnli"),
        tests: &[test_file("diagnostic.tsv", 1104, "AX.tsv")],
        ..SENTENCE
    },
];

/// Finds a task by its name here (`sst2`), in the reference (`sst`) or by its official folder (`SST-2`), in any case.
///
/// # Errors
/// For an unknown name; the nearest known name is suggested.
pub fn find(name: &str) -> Result<&'static GlueTask> {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    let found = TASKS
        .iter()
        .find(|task| is(task.name) || is(task.folder) || task.reference_name.is_some_and(is));
    found.ok_or_else(|| {
        let known = nearest(name, TASKS.iter().map(|task| task.name));
        Error::value("task", format!("{name:?}"), format!("is not a task of GLUE{known}"))
    })
}

impl GlueTask {
    /// The task as a `task.toml` would describe it, with all official files.
    ///
    /// # Errors
    /// For the diagnostic set, which has no training set.
    pub fn task(&self) -> Result<SentenceTask> {
        match self.training {
            Training::Files { .. } => Ok(self.described()),
            Training::ModelOf(other) => {
                let expected = format!("has no training set: predict it with a model of {other}");
                Err(Error::value("task", self.name, expected))
            }
        }
    }

    /// Whether it has only a test set.
    pub fn is_diagnostic(&self) -> bool {
        matches!(self.training, Training::ModelOf(_))
    }

    /// The columns and labels; without a training set, the names of files are empty.
    pub fn described(&self) -> SentenceTask {
        let (columns, dev, more_dev) = match self.training {
            Training::Files { columns, dev, more_dev } => (columns, dev, more_dev),
            Training::ModelOf(_) => (None, "", NO_FILES),
        };
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let (kind, labels, range) = match self.labels {
            GlueLabels::Classes(words) => (SentenceKind::Classification, Some(owned(words)), None),
            GlueLabels::Range(min, max) => (SentenceKind::Regression, None, Some([min, max])),
        };
        SentenceTask {
            name: self.name.to_owned(),
            kind,
            text_a: self.text_a.to_owned(),
            text_b: self.text_b.map(str::to_owned),
            label: self.label.to_owned(),
            labels,
            range,
            // GLUE's files have a gold label in every row; those of MNLI's authors do not.
            no_label: (self.labels == THREE_WAY).then(|| "-".to_owned()),
            class_weights: ClassWeights::None,
            pairs: self.pairs,
            unusable_rows: UNUSABLE_ROWS,
            metric: self.metric,
            files: Files {
                train: "train.tsv".into(),
                dev: dev.into(),
                columns: columns.map(owned),
                more_dev: more_dev
                    .iter()
                    .map(|&(name, file)| (name.to_owned(), file.into()))
                    .collect(),
                ..Files::default()
            },
        }
    }

    /// The labels as those of a [`SentenceTask`].
    pub fn label_space(&self) -> LabelSpace {
        match self.labels {
            GlueLabels::Classes(words) => {
                LabelSpace::Classes(words.iter().map(|&word| word.to_owned()).collect())
            }
            GlueLabels::Range(min, max) => LabelSpace::Range { min, max },
        }
    }

    /// Columns of the texts.
    pub fn text_columns(&self) -> Vec<&'static str> {
        std::iter::once(self.text_a).chain(self.text_b).collect()
    }

    /// The task whose model predicts it: itself, or MNLI for the diagnostic set.
    pub fn model_task(&self) -> &'static str {
        match self.training {
            Training::Files { .. } => self.name,
            Training::ModelOf(other) => other,
        }
    }

    /// A label as the leaderboard takes it: the name of the class, or the number clamped to its range.
    pub fn submitted(&self, label: &str) -> String {
        match (&self.labels, label.parse::<f64>()) {
            (GlueLabels::Range(min, max), Ok(value)) => format!("{:.3}", value.clamp(*min, *max)),
            _ => label.to_owned(),
        }
    }

    /// The task's folder in `glue`, which contains the official folders.
    ///
    /// # Errors
    /// If the folder does not exist.
    pub fn data(&self, glue: &Path) -> Result<PathBuf> {
        let folder = glue.join(self.folder);
        match folder.is_dir() {
            true => Ok(folder),
            false => {
                let message = format!(
                    "there is no folder {:?} in it: it must contain GLUE's official folders",
                    self.folder
                );
                Err(Error::file(glue, message))
            }
        }
    }
}

/// The task `name` and its folder in `glue`. A missing further dev file is logged and not scored.
///
/// # Errors
/// For an unknown name, the diagnostic set, or a missing folder.
pub fn open(name: &str, glue: &Path) -> Result<(SentenceTask, PathBuf)> {
    let row = find(name)?;
    let mut task = row.task()?;
    let data = row.data(glue)?;
    task.files.more_dev.retain(|name, file| {
        let path = data.join(file);
        let exists = path.exists();
        if !exists {
            tracing::warn!("{}: no such file, so {name} is not scored", path.display());
        }
        exists
    });
    Ok((task, data))
}
