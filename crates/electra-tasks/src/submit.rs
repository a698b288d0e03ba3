//! A submission to GLUE's leaderboard: eleven tables of predictions, and their archive.

use crate::{
    answer::RequestForm,
    error::{Error, Result},
    kinds::{Kinds, sentence::SentenceInfo},
    model::folder_of,
    model_kind::ModelKind,
    predictor::{Predictor, RowEvent, StreamOptions},
};
use electra_files::folder;
use electra_model::Parts;
use electra_scores::{
    LabelSpace,
    glue::{
        GlueTask, TASKS, TestFile, find,
        submission::{self, ARCHIVE, HEADER, Origin, Written, count_rows},
    },
    table::Rows,
};
use electra_train::Existing;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// The suffix of the names of tasks whose models answer a task of GLUE by candidates.
const CANDIDATES: &str = "-candidates";

/// A submission.
#[derive(Clone, Debug)]
pub struct Submit {
    /// The folder of GLUE's official folders.
    pub data: PathBuf,
    /// Fine-tuned models by the task's name: output folders of fine-tuning or model folders; for WNLI also the folder
    /// of a pre-trained discriminator.
    pub runs: BTreeMap<&'static str, PathBuf>,
    /// The output folder.
    pub out: PathBuf,
    /// Whether the contents of `out` may be replaced.
    pub existing: Existing,
    /// What happens if a table cannot be predicted.
    pub missing: Missing,
    /// Which numbers of rows are accepted.
    pub rows: RowCounts,
    /// Whether [`ARCHIVE`] is written.
    pub archive: Archive,
    /// `"auto"`, `"cpu"` or `"cuda:N"`.
    pub device: String,
    /// The kinds of models.
    pub kinds: Kinds,
    /// The parts of models, custom ones included.
    pub parts: Parts,
}

/// What happens if a run or a test file is missing; the leaderboard accepts complete submissions only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Missing {
    /// An error that lists them.
    Refuse,
    /// The most frequent class of the training set (or its mean) is predicted for every row.
    Majority,
}

/// Which numbers of rows a test file may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum RowCounts {
    /// The number of the official file.
    Official,
    /// Any number, for testing with a part of the data; logs a warning, because the leaderboard rejects the result.
    AsGiven,
}

/// Whether the archive is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// Only the tables are written.
    Omit,
    /// A zip file of the tables is written as well, and read back and checked.
    Zip,
}

/// A table before it is written.
struct Planned {
    task: &'static GlueTask,
    file: &'static TestFile,
    rows: u64,
    /// The model, or a message of what is missing.
    model: std::result::Result<PathBuf, String>,
}

impl Submit {
    /// Predicts every test file, writes the tables (and the archive), reads them back and checks them.
    /// `on_rows` gets the table and the number of its finished rows.
    ///
    /// # Errors
    /// Before anything is predicted: missing runs and files, a test file whose number of rows differs from the official
    /// file's or whose index does not count from 0, a model of another task. `out` is then unchanged.
    pub fn run(&self, on_rows: &mut dyn FnMut(&str, u64)) -> Result<Vec<Written>> {
        let planned = self.plan()?;
        folder::whole(&self.out, self.existing, TASKS[0].tests[0].submission, |dir| {
            let mut written = Vec::new();
            for table in &planned {
                let path = dir.join(table.file.submission);
                let file = File::create(&path).map_err(Error::io(&path))?;
                let mut writer = BufWriter::new(file);
                let origin = self.table(table, &mut writer, &path, on_rows)?;
                writer.flush().map_err(Error::io(&path))?;
                written.push(Written {
                    task: table.task,
                    file: table.file.submission,
                    rows: table.rows,
                    origin,
                });
            }
            submission::folder(dir, &written)?;
            if self.archive == Archive::Zip {
                let path = dir.join(ARCHIVE);
                submission::write_archive(&path, dir, &written)?;
                submission::archive(&path, &written)?;
            }
            Ok(written)
        })
    }

    /// Every table with its number of rows; every model is opened once. An error lists what is missing.
    fn plan(&self) -> Result<Vec<Planned>> {
        let mut planned = Vec::new();
        for task in &TASKS {
            let run = self.runs.get(task.model_task());
            let model = match run {
                Some(run) => self.open(task, run).map(|_| Ok(folder_of(run)))?,
                None => Err(format!("no run of {}", task.model_task())),
            };
            for file in task.tests {
                let path = self.data.join(task.folder).join(file.file);
                let (rows, model) = match path.exists() {
                    true => (self.count(task, file, &path)?, model.clone()),
                    false => (
                        file.rows,
                        model.clone().and(Err(format!("{} does not exist", path.display()))),
                    ),
                };
                planned.push(Planned { task, file, rows, model });
            }
        }
        let missing: Vec<String> = planned
            .iter()
            .filter_map(|table| {
                let why = table.model.as_ref().err()?;
                Some(format!("{} ({why})", table.file.submission))
            })
            .collect();
        match (missing.is_empty(), self.missing) {
            (true, _) => {}
            (false, Missing::Refuse) => {
                let message = format!(
                    "the leaderboard needs all {} tables, and the model or the file of {} is missing: {}; \
                     --missing majority fills them with the training set's most frequent class",
                    planned.len(),
                    missing.len(),
                    missing.join(", ")
                );
                return Err(Error::file(&self.out, message));
            }
            (false, Missing::Majority) => {
                tracing::warn!("filled with the most frequent class: {}", missing.join(", "));
            }
        }
        Ok(planned)
    }

    /// The model of a run, checked to be of the task.
    fn open(&self, task: &GlueTask, run: &Path) -> Result<Predictor> {
        let predictor = Predictor::open_with(run, &self.device, &self.kinds, &self.parts)?;
        let (header, wanted) = (predictor.header(), task.model_task());
        if header.task.strip_suffix(CANDIDATES).unwrap_or(&header.task) != wanted {
            let message = format!("is a model of {:?}, not of {wanted:?}", header.task);
            return Err(Error::file(run, message));
        }
        // The labels of other kinds are checked when the tables are read back.
        if header.kind != SentenceInfo::KIND {
            return Ok(predictor);
        }
        let space = task.label_space();
        let sorted = |mut words: Vec<String>| {
            words.sort();
            words
        };
        let wanted = match &space {
            LabelSpace::Classes(words) => sorted(words.clone()),
            LabelSpace::Range { .. } => Vec::new(),
        };
        match predictor.form() {
            RequestForm::Rows { classes, .. } if sorted(classes.clone()) == wanted => Ok(predictor),
            other => {
                let message = format!("predicts {other:?}, but the leaderboard takes {space:?}");
                Err(Error::file(run, message))
            }
        }
    }

    /// The number of rows in a test file.
    fn count(&self, task: &GlueTask, file: &TestFile, path: &Path) -> Result<u64> {
        let rows = count_rows(task, file, path)?;
        if rows == file.rows {
            return Ok(rows);
        }
        let message = format!(
            "has {rows} rows, but the official file has {}: the leaderboard rejects other numbers",
            file.rows
        );
        match self.rows {
            RowCounts::Official => Err(Error::file(path, message)),
            RowCounts::AsGiven => {
                tracing::warn!("{}: {message}", path.display());
                Ok(rows)
            }
        }
    }

    fn table(
        &self,
        table: &Planned,
        writer: &mut impl Write,
        path: &Path,
        on_rows: &mut dyn FnMut(&str, u64),
    ) -> Result<Origin> {
        let mut line = |text: String| writeln!(writer, "{text}").map_err(Error::io(path));
        line(HEADER.to_owned())?;
        let Ok(model) = &table.model else {
            let answer = self.constant(table.task)?;
            for index in 0..table.rows {
                line(format!("{index}\t{answer}"))?;
            }
            return Ok(Origin::Constant(answer));
        };
        let input = self.data.join(table.task.folder).join(table.file.file);
        let rows = Rows::open(&input, &table.task.text_columns())?;
        let predictor = self.open(table.task, model)?;
        predictor.answer_rows(rows, &StreamOptions::default(), &mut |event| match event {
            RowEvent::Answered(index, answer) => {
                let label = table.task.submitted(&answer.text());
                line(format!("{index}\t{label}"))
            }
            RowEvent::Done(done) => {
                on_rows(table.file.submission, done);
                Ok(())
            }
        })?;
        Ok(Origin::Model(model.clone()))
    }

    /// The most frequent label of the training set, or its mean.
    fn constant(&self, task: &GlueTask) -> Result<String> {
        let task = find(task.model_task())?;
        let (described, space) = (task.task()?, task.label_space());
        let path = task.data(&self.data)?.join(&described.files.train);
        let labels = described.learnable(&path, &space)?;
        Ok(task.submitted(&space.text(space.majority(&labels))))
    }
}
