//! A submission to GLUE's leaderboard: eleven tables of predictions and the archive that it takes.

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

/// What the name of a task ends with whose model answers a task of GLUE by candidates.
const CANDIDATES: &str = "-candidates";

/// What a submission is made of.
#[derive(Clone, Debug)]
pub struct Submit {
    /// The folder that holds GLUE's official folders.
    pub data: PathBuf,
    /// Fine-tuned models: the output folder of fine-tuning, or a model folder, by the task's name; of WNLI a folder of
    /// a pre-trained discriminator as well.
    pub runs: BTreeMap<&'static str, PathBuf>,
    /// Where the tables are written.
    pub out: PathBuf,
    /// Whether what `out` holds may be replaced.
    pub existing: Existing,
    /// What happens where a table cannot be predicted.
    pub missing: Missing,
    /// Which numbers of rows are taken.
    pub rows: RowCounts,
    /// Whether [`ARCHIVE`] is written.
    pub archive: Archive,
    /// `"auto"`, `"cpu"` or `"cuda:N"`.
    pub device: String,
    /// The kinds that models may be of.
    pub kinds: Kinds,
}

/// What happens where a run or a test file is missing; the leaderboard takes all tables or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Missing {
    /// An error that lists them.
    Refuse,
    /// The training set's most frequent class (or its mean) stands in every row.
    Majority,
}

/// Which numbers of rows a test file may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum RowCounts {
    /// That of the official file.
    Official,
    /// Any, for trying out a part of the data; the leaderboard refuses the result, and a warning says so.
    AsGiven,
}

/// Whether the archive is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// The tables alone.
    Omit,
    /// They and a zip file of them, which is read again and checked.
    Zip,
}

/// A table before it is written.
struct Planned {
    task: &'static GlueTask,
    file: &'static TestFile,
    rows: u64,
    /// The model, or what is missing.
    model: std::result::Result<PathBuf, String>,
}

impl Submit {
    /// Predicts every test file, writes the tables (and the archive), reads them again and checks them.
    /// `on_rows` is told the table and how many of its rows are done.
    ///
    /// # Errors
    /// Before anything is predicted: what is missing, a test file with another number of rows than the official
    /// one or with an index that does not count from 0, a model of another task. `out` is then as it was.
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

    /// Every table with its rows counted and its model opened once, or the list of what is missing.
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
                        model.clone().and(Err(format!("{} is not there", path.display()))),
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
                    "the leaderboard takes all {} tables, and there is no model or no file for {} of them: {}; \
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
        let predictor = Predictor::open_with(run, &self.device, &self.kinds, &Parts::shipped())?;
        let (header, wanted) = (predictor.header(), task.model_task());
        if header.task.strip_suffix(CANDIDATES).unwrap_or(&header.task) != wanted {
            let message = format!("is a model of {:?}, not of {wanted:?}", header.task);
            return Err(Error::file(run, message));
        }
        // Labels of other kinds are checked when the tables are read again.
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
                let message = format!("predicts {other:?}; the leaderboard takes {space:?}");
                Err(Error::file(run, message))
            }
        }
    }

    /// Rows of a test file.
    fn count(&self, task: &GlueTask, file: &TestFile, path: &Path) -> Result<u64> {
        let rows = count_rows(task, file, path)?;
        if rows == file.rows {
            return Ok(rows);
        }
        let message = format!(
            "has {rows} rows, the official file {}: the leaderboard refuses another number",
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

    /// The label that is right most often in the training set.
    fn constant(&self, task: &GlueTask) -> Result<String> {
        let task = find(task.model_task())?;
        let (described, space) = (task.task()?, task.label_space());
        let path = task.data(&self.data)?.join(&described.files.train);
        let labels = described.learnable(&path, &space)?;
        Ok(task.submitted(&space.text(space.majority(&labels))))
    }
}
