//! A submission to GLUE's leaderboard: eleven tables of predictions and the archive that it takes.

use super::{GlueAnswers, GlueTask, TASKS, TestFile, Training, find};
use crate::{
    Error, Predictor, Result,
    baseline::majority,
    glue::{
        check,
        winograd::{self, WinogradPredictor},
    },
    model,
    predict::{PredictOptions, Said},
    table::Rows,
    task::{Answers, Target},
};
use electra_train::{Existing, folder};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// The archive in the output folder.
pub const ARCHIVE: &str = "submission.zip";
/// The first line of every table.
pub(super) const HEADER: &str = "index\tprediction";

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
}

/// What happens where a run or a test file is missing; the leaderboard takes all tables or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// An error that lists them.
    Refuse,
    /// The training set's most frequent class (or its mean) stands in every row.
    Majority,
}

/// Which numbers of rows a test file may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// One table of the submission.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Its task.
    pub task: &'static GlueTask,
    /// Its file's name.
    pub file: &'static str,
    /// Rows below the header.
    pub rows: u64,
    /// Where its predictions are from.
    pub origin: Origin,
}

/// Where predictions are from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// A fine-tuned model.
    Model(PathBuf),
    /// This answer in every row.
    Constant(String),
}

/// A table before it is written.
struct Planned {
    task: &'static GlueTask,
    file: &'static TestFile,
    rows: u64,
    /// The model, or what is missing.
    model: std::result::Result<PathBuf, String>,
}

/// The runs among the folders of `dir`: those that are named as a task of GLUE.
///
/// # Errors
/// If the folder cannot be read, two are of one task, or none is of any.
pub fn runs(dir: &Path) -> Result<BTreeMap<&'static str, PathBuf>> {
    let mut runs = BTreeMap::new();
    let entries = fs::read_dir(dir).map_err(Error::io(dir))?;
    let mut paths = entries
        .map(|entry| Ok(entry.map_err(Error::io(dir))?.path()))
        .collect::<Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths.into_iter().filter(|path| path.is_dir()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match find(name) {
            Ok(task) => {
                if let Some(other) = runs.insert(task.name, path.clone()) {
                    let message = format!("is of {}, and so is {}", task.name, other.display());
                    return Err(Error::file(path, message));
                }
            }
            Err(_) => tracing::warn!("{}: not named as a task of GLUE, left alone", path.display()),
        }
    }
    if runs.is_empty() {
        let names: Vec<&str> = TASKS.iter().map(|task| task.name).collect();
        let message = format!("no folder in it is named as a task of GLUE: {}", names.join(", "));
        return Err(Error::file(dir, message));
    }
    Ok(runs)
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
            check::folder(dir, &written)?;
            if self.archive == Archive::Zip {
                let path = dir.join(ARCHIVE);
                check::write_archive(&path, dir, &written)?;
                check::archive(&path, &written)?;
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
                Some(run) => Ok(self.model(task, run)?),
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
                    "the leaderboard takes all {} tables, and there is nothing to predict {} of them with: {}; \
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

    /// The model folder of a run, checked to be of the task, or to answer it without.
    fn model(&self, task: &GlueTask, run: &Path) -> Result<PathBuf> {
        let dir = model::folder_of(run);
        if answers_untrained(task, &dir) {
            WinogradPredictor::open(&dir, &self.device)?;
            return Ok(dir);
        }
        let predictor = Predictor::open(&dir, &self.device)?;
        let info = predictor.info();
        if info.header.task != task.model_task() {
            let (known, wanted) = (&info.header.task, task.model_task());
            let message = format!("is a model of {known:?}, not of {wanted:?}");
            return Err(Error::file(dir, message));
        }
        let sorted = |answers: &Answers| match answers {
            Answers::Classes(words) => {
                let mut words = words.clone();
                words.sort();
                Some(words)
            }
            Answers::Range { .. } => None,
        };
        let (known, wanted) = (sorted(&info.answers), sorted(&task.answers()));
        if known != wanted {
            let message = format!("answers with {known:?}; the leaderboard takes {wanted:?}");
            return Err(Error::file(dir, message));
        }
        Ok(dir)
    }

    /// Rows of a test file; each must be whole and numbered by its place.
    fn count(&self, task: &GlueTask, file: &TestFile, path: &Path) -> Result<u64> {
        let mut columns = task.text_columns();
        columns.push(file.index);
        let mut rows = 0u64;
        for row in Rows::open(path, &columns)? {
            let row = row?;
            let index = row.fields.last().map(String::as_str).unwrap_or_default();
            if index.trim().parse() != Ok(rows) {
                let message = format!(
                    "{index:?} in column {:?} is not {rows}: rows must be numbered from 0 in their order, none left out and none twice",
                    file.index
                );
                return Err(Error::row(&path.display().to_string(), row.line, message));
            }
            rows += 1;
        }
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
        if answers_untrained(table.task, model) {
            let predictor = WinogradPredictor::open(model, &self.device)?;
            let file = input.display().to_string();
            for (index, row) in (0u64..).zip(rows) {
                let row = row?;
                let judged = predictor.judge(&row.fields[0], &row.fields[1]);
                let judged = judged.map_err(|error| Error::row(&file, row.line, error))?;
                line(format!("{index}\t{}", judged.label()))?;
                on_rows(table.file.submission, index + 1);
            }
            return Ok(Origin::Model(model.clone()));
        }
        let predictor = Predictor::open(model, &self.device)?;
        let answers = &predictor.info().answers;
        predictor.answer_rows(rows, &PredictOptions::default(), &mut |said| match said {
            Said::Answer(index, prediction) => {
                let answer = table.task.submitted(answers, prediction.answer);
                line(format!("{index}\t{answer}"))
            }
            Said::Window(done) => {
                on_rows(table.file.submission, done);
                Ok(())
            }
        })?;
        Ok(Origin::Model(model.clone()))
    }

    /// The answer that is right most often in the training set.
    fn constant(&self, task: &GlueTask) -> Result<String> {
        let task = find(task.model_task())?;
        let (described, answers) = (task.task()?, task.answers());
        let path = task.data(&self.data)?.join(&described.files.train);
        let examples = described.labelled(&path, &answers)?.examples;
        let targets: Vec<Target> = examples.iter().map(|example| example.target).collect();
        Ok(task.submitted(&answers, majority(&targets, &answers)))
    }
}

/// Whether a folder holds a pre-trained discriminator, and the task is the one that it answers as it is.
fn answers_untrained(task: &GlueTask, dir: &Path) -> bool {
    task.name == winograd::TASK && winograd::is_discriminator(dir)
}

impl GlueTask {
    /// Columns of the texts.
    fn text_columns(&self) -> Vec<&'static str> {
        std::iter::once(self.text_a).chain(self.text_b).collect()
    }

    /// The task whose model predicts it: its own, but for the diagnostic set.
    fn model_task(&self) -> &'static str {
        match self.training {
            Training::Files { .. } => self.name,
            Training::ModelOf(other) => other,
        }
    }

    /// An answer as the leaderboard takes it: the label word, or the number within its range.
    pub(super) fn submitted(&self, answers: &Answers, answer: Target) -> String {
        match (&self.answers, answer) {
            (GlueAnswers::Range(min, max), Target::Value(value)) => {
                format!("{:.3}", value.clamp(*min, *max))
            }
            _ => answers.text(answer),
        }
    }
}
