//! GLUE's tasks as one table: folders, files, columns, answers, metrics, and what the leaderboard takes.
//!
//! A row of [`TASKS`] becomes a [`Task`] as a user's `task.toml` does; nothing else knows a task of GLUE by name.
//!
//! Source: Wang et al. 2019, "GLUE: A multi-task benchmark and analysis platform for natural language understanding";
//! the files of gluebenchmark.com; reference `finetune/classification/classification_tasks.py`.

mod check;
pub mod submit;
#[cfg(test)]
mod tests;
pub mod winograd;

use crate::{
    Error, Result, Task,
    scores::Metric,
    task::{Answers, Files, Kind, Pairs},
};
use electra_files::nearest;
use std::path::{Path, PathBuf};

/// Largest share of a file's rows that may be left out: the official QQP has some that a line break has torn.
pub const UNUSABLE_ROWS: f64 = 0.01;

/// One task of GLUE.
#[derive(Debug, PartialEq)]
pub struct GlueTask {
    /// Its name here, as `--task` takes it.
    pub name: &'static str,
    /// Its name in the reference, where that is another.
    pub reference_name: Option<&'static str>,
    /// The official folder.
    pub folder: &'static str,
    /// Column of the (first) text.
    pub text_a: &'static str,
    /// Column of the second text, for pairs.
    pub text_b: Option<&'static str>,
    /// Column of the label in labelled files.
    pub label: &'static str,
    /// What answers look like.
    pub answers: GlueAnswers,
    /// The official metrics.
    pub metrics: &'static [Metric],
    /// What seeds are compared by: the reference's, and Spearman where that has two.
    pub metric: Metric,
    /// Whether the texts of a pair may change places.
    pub pairs: Pairs,
    /// The labelled files.
    pub training: Training,
    /// The files that the leaderboard wants predicted.
    pub tests: &'static [TestFile],
}

/// What answers to a GLUE task look like.
#[derive(Debug, PartialEq)]
pub enum GlueAnswers {
    /// The label words, in the reference's order; the leaderboard takes the same words.
    Classes(&'static [&'static str]),
    /// The smallest and the largest value.
    Range(f64, f64),
}

/// The labelled files of a GLUE task.
#[derive(Debug, PartialEq)]
pub enum Training {
    /// `train.tsv` and the dev files.
    Files {
        /// Names of the columns where the labelled files have no header.
        columns: Option<&'static [&'static str]>,
        /// What seeds are compared on.
        dev: &'static str,
        /// What is scored beside it: a name and a file.
        more_dev: &'static [(&'static str, &'static str)],
    },
    /// None: it is predicted with the model of another task.
    ModelOf(&'static str),
}

/// A file without labels, and what the leaderboard calls its predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestFile {
    /// The file in the task's folder.
    pub file: &'static str,
    /// The column that numbers its rows from 0.
    pub index: &'static str,
    /// Rows of the official file.
    pub rows: u64,
    /// The file of predictions in the submission.
    pub submission: &'static str,
}

/// No further dev files.
const NO_FILES: &[(&str, &str)] = &[];
const BINARY: GlueAnswers = GlueAnswers::Classes(&["0", "1"]);
const ENTAILMENT: GlueAnswers = GlueAnswers::Classes(&["entailment", "not_entailment"]);
const THREE_WAY: GlueAnswers = GlueAnswers::Classes(&["contradiction", "entailment", "neutral"]);
const ONE_DEV: Training = Training::Files { columns: None, dev: "dev.tsv", more_dev: &[] };

const fn test(rows: u64, submission: &'static str) -> TestFile {
    TestFile { file: "test.tsv", index: "index", rows, submission }
}

/// The nine tasks and the diagnostic set, in the order of the leaderboard's columns.
pub const TASKS: [GlueTask; 10] = [
    GlueTask {
        name: "cola",
        reference_name: None,
        folder: "CoLA",
        text_a: "sentence",
        text_b: None,
        label: "label",
        answers: BINARY,
        metrics: &[Metric::Matthews],
        metric: Metric::Matthews,
        pairs: Pairs::Ordered,
        training: Training::Files {
            // The source's code, the label, the source's own mark, the sentence.
            columns: Some(&["source", "label", "mark", "sentence"]),
            dev: "dev.tsv",
            more_dev: &[],
        },
        tests: &[test(1063, "CoLA.tsv")],
    },
    GlueTask {
        name: "sst2",
        reference_name: Some("sst"),
        folder: "SST-2",
        text_a: "sentence",
        text_b: None,
        label: "label",
        answers: BINARY,
        metrics: &[Metric::Accuracy],
        metric: Metric::Accuracy,
        pairs: Pairs::Ordered,
        training: ONE_DEV,
        tests: &[test(1821, "SST-2.tsv")],
    },
    GlueTask {
        name: "mrpc",
        reference_name: None,
        folder: "MRPC",
        text_a: "#1 String",
        text_b: Some("#2 String"),
        label: "Quality",
        answers: BINARY,
        metrics: &[Metric::F1, Metric::Accuracy],
        metric: Metric::Accuracy,
        pairs: Pairs::Unordered,
        training: ONE_DEV,
        tests: &[test(1725, "MRPC.tsv")],
    },
    GlueTask {
        name: "stsb",
        reference_name: Some("sts"),
        folder: "STS-B",
        text_a: "sentence1",
        text_b: Some("sentence2"),
        label: "score",
        answers: GlueAnswers::Range(0.0, 5.0),
        metrics: &[Metric::Pearson, Metric::Spearman],
        metric: Metric::Spearman,
        pairs: Pairs::Unordered,
        training: ONE_DEV,
        tests: &[test(1379, "STS-B.tsv")],
    },
    GlueTask {
        name: "qqp",
        reference_name: None,
        folder: "QQP",
        text_a: "question1",
        text_b: Some("question2"),
        label: "is_duplicate",
        answers: BINARY,
        metrics: &[Metric::F1, Metric::Accuracy],
        metric: Metric::Accuracy,
        // They may change places, but the reference does not double them.
        pairs: Pairs::Ordered,
        training: ONE_DEV,
        tests: &[TestFile { file: "test.tsv", index: "id", rows: 390_965, submission: "QQP.tsv" }],
    },
    GlueTask {
        name: "mnli",
        reference_name: None,
        folder: "MNLI",
        text_a: "sentence1",
        text_b: Some("sentence2"),
        label: "gold_label",
        answers: THREE_WAY,
        metrics: &[Metric::Accuracy],
        metric: Metric::Accuracy,
        pairs: Pairs::Ordered,
        training: Training::Files {
            columns: None,
            dev: "dev_matched.tsv",
            more_dev: &[("mismatched", "dev_mismatched.tsv")],
        },
        tests: &[
            TestFile {
                file: "test_matched.tsv",
                index: "index",
                rows: 9796,
                submission: "MNLI-m.tsv",
            },
            TestFile {
                file: "test_mismatched.tsv",
                index: "index",
                rows: 9847,
                submission: "MNLI-mm.tsv",
            },
        ],
    },
    GlueTask {
        name: "qnli",
        reference_name: None,
        folder: "QNLI",
        text_a: "question",
        text_b: Some("sentence"),
        label: "label",
        answers: ENTAILMENT,
        metrics: &[Metric::Accuracy],
        metric: Metric::Accuracy,
        pairs: Pairs::Ordered,
        training: ONE_DEV,
        tests: &[test(5463, "QNLI.tsv")],
    },
    GlueTask {
        name: "rte",
        reference_name: None,
        folder: "RTE",
        text_a: "sentence1",
        text_b: Some("sentence2"),
        label: "label",
        answers: ENTAILMENT,
        metrics: &[Metric::Accuracy],
        metric: Metric::Accuracy,
        pairs: Pairs::Ordered,
        training: ONE_DEV,
        tests: &[test(3000, "RTE.tsv")],
    },
    GlueTask {
        name: "wnli",
        reference_name: None,
        folder: "WNLI",
        text_a: "sentence1",
        text_b: Some("sentence2"),
        label: "label",
        answers: BINARY,
        metrics: &[Metric::Accuracy],
        metric: Metric::Accuracy,
        pairs: Pairs::Ordered,
        training: ONE_DEV,
        tests: &[test(146, "WNLI.tsv")],
    },
    GlueTask {
        name: "ax",
        reference_name: Some("diagnostic"),
        folder: "diagnostic",
        text_a: "sentence1",
        text_b: Some("sentence2"),
        label: "label",
        answers: THREE_WAY,
        metrics: &[Metric::Matthews],
        metric: Metric::Matthews,
        pairs: Pairs::Ordered,
        training: Training::ModelOf("mnli"),
        tests: &[TestFile {
            file: "diagnostic.tsv",
            index: "index",
            rows: 1104,
            submission: "AX.tsv",
        }],
    },
];

/// The task of that name: ours (`sst2`), the reference's (`sst`) or the official folder's (`SST-2`), in any case.
///
/// # Errors
/// For another name; the nearest is suggested.
pub fn find(name: &str) -> Result<&'static GlueTask> {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    let found = TASKS
        .iter()
        .find(|task| is(task.name) || is(task.folder) || task.reference_name.is_some_and(is));
    found.ok_or_else(|| {
        let known = nearest(name, TASKS.iter().map(|task| task.name));
        Error::value("task", format!("{name:?}"), format!("is no task of GLUE{known}"))
    })
}

impl GlueTask {
    /// The task as a `task.toml` would describe it, all official files included.
    ///
    /// # Errors
    /// For the diagnostic set, which nothing is learned from.
    pub fn task(&self) -> Result<Task> {
        match self.training {
            Training::Files { .. } => Ok(self.described()),
            Training::ModelOf(other) => {
                let expected =
                    format!("has no training set: it is predicted with a model of {other}");
                Err(Error::value("task", self.name, expected))
            }
        }
    }

    /// Whether it has a test set alone.
    pub(crate) fn is_diagnostic(&self) -> bool {
        matches!(self.training, Training::ModelOf(_))
    }

    /// Columns and answers; the names of files are empty where it has none to learn from.
    pub(crate) fn described(&self) -> Task {
        let (columns, dev, more_dev) = match self.training {
            Training::Files { columns, dev, more_dev } => (columns, dev, more_dev),
            Training::ModelOf(_) => (None, "", NO_FILES),
        };
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let (kind, labels, range) = match self.answers {
            GlueAnswers::Classes(words) => (Kind::Classification, Some(owned(words)), None),
            GlueAnswers::Range(min, max) => (Kind::Regression, None, Some([min, max])),
        };
        Task {
            name: self.name.to_owned(),
            kind,
            text_a: self.text_a.to_owned(),
            text_b: self.text_b.map(str::to_owned),
            label: self.label.to_owned(),
            labels,
            range,
            // GLUE's own files have none; those of MNLI's authors do.
            no_label: (self.answers == THREE_WAY).then(|| "-".to_owned()),
            pairs: self.pairs,
            unusable_rows: UNUSABLE_ROWS,
            metric: self.metric,
            files: Files {
                train: "train.tsv".into(),
                dev: dev.into(),
                test: None,
                format: None,
                columns: columns.map(owned),
                more_dev: more_dev
                    .iter()
                    .map(|&(name, file)| (name.to_owned(), file.into()))
                    .collect(),
            },
        }
    }

    /// What answers look like.
    pub fn answers(&self) -> Answers {
        match self.answers {
            GlueAnswers::Classes(words) => {
                Answers::Classes(words.iter().map(|&word| word.to_owned()).collect())
            }
            GlueAnswers::Range(min, max) => Answers::Range { min, max },
        }
    }

    /// The task's folder below `glue`, which holds the official folders.
    ///
    /// # Errors
    /// If it is not there.
    pub fn data(&self, glue: &Path) -> Result<PathBuf> {
        let folder = glue.join(self.folder);
        match folder.is_dir() {
            true => Ok(folder),
            false => {
                let message = format!(
                    "there is no folder {:?} in it: it must hold GLUE's official folders",
                    self.folder
                );
                Err(Error::file(glue, message))
            }
        }
    }
}

/// The task `name` and its folder below `glue`. A further dev file that is not there is said, and not scored.
///
/// # Errors
/// For an unknown name, the diagnostic set, or a folder that is not there.
pub fn open(name: &str, glue: &Path) -> Result<(Task, PathBuf)> {
    let row = find(name)?;
    let mut task = row.task()?;
    let data = row.data(glue)?;
    task.files.more_dev.retain(|name, file| {
        let path = data.join(file);
        let there = path.exists();
        if !there {
            tracing::warn!("{}: not there, so {name} is not scored", path.display());
        }
        there
    });
    Ok((task, data))
}
