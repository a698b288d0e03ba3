//! Prediction with models of every kind: requests in memory, streams and files of any size.

mod options;
mod questions;
mod rows;
mod words;

use crate::{
    answer::{Answer, Request, RequestForm, TaskModel},
    error::{Error, Result},
    kinds::Kinds,
    model::{Header, folder_of},
    pool::ModelSite,
    summary::Truncated,
};
use electra_files::write_file_with;
use electra_model::Parts;
use electra_scores::table::Rows;
use std::{io::Write, path::Path, time::Instant};

pub(crate) use options::NOT_FINITE;
use options::Stream;
pub use options::{Probabilities, StreamInput, StreamOptions, StreamReport};
pub(crate) use rows::RowEvent;

/// A fine-tuned model of any kind.
///
/// Threads can share it and predict at the same time. The other requests of a call change an answer by rounding only.
///
/// ```no_run
/// use electra_tasks::{Predictor, Request};
///
/// let predictor = Predictor::open("runs/mine".as_ref(), "auto")?;
/// for answer in predictor.answer(&[Request::text("What a film!"), Request::text("I left early.")])? {
///     println!("{} {:?}", answer.text(), answer.probabilities());
/// }
/// # Ok::<(), electra_tasks::Error>(())
/// ```
#[derive(Debug)]
pub struct Predictor {
    header: Header,
    model: Box<dyn TaskModel>,
}

/// The threads of a server share it.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Predictor>();
};

impl Predictor {
    /// Opens a model folder, or the one in the folder of a fine-tuning run; `device` is `"auto"`, `"cpu"` or
    /// `"cuda:N"`.
    ///
    /// # Errors
    /// Naming the file that is missing or incomplete, or the invalid key of `task.json`.
    pub fn open(dir: &Path, device: &str) -> Result<Self> {
        Self::open_with(dir, device, &Kinds::default(), &Parts::shipped())
    }

    /// [`Predictor::open`] with other kinds of models and other parts of encoders than the shipped ones.
    ///
    /// # Errors
    /// As [`Predictor::open`].
    pub fn open_with(dir: &Path, device: &str, kinds: &Kinds, parts: &Parts) -> Result<Self> {
        let dir = &folder_of(dir);
        let device = electra_torch::device(device)?;
        let header = kinds.header(dir)?;
        let parts = parts.clone();
        let model = kinds.open(&ModelSite { dir, device, parts, header: &header })?;
        Ok(Self { header, model })
    }

    /// The keys of `task.json` that every kind has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The requests that the model takes.
    pub fn form(&self) -> RequestForm {
        self.model.form()
    }

    /// The answers to requests, in order.
    ///
    /// # Errors
    /// Naming the request that has the wrong form, or whose answer is NaN or infinite.
    pub fn answer(&self, requests: &[Request]) -> Result<Vec<Answer>> {
        let answers = self.model.answer(requests, StreamOptions::default().batch_size)?.answers;
        match answers.iter().position(|answer| !answer.is_finite()) {
            None => Ok(answers),
            Some(i) => Err(Error::value("request", format!("number {i}"), NOT_FINITE)),
        }
    }

    /// Answers the rows of a table in order, a window of rows at a time.
    ///
    /// # Errors
    /// The first row that cannot be read or answered, with its line; or the error of `on_event`.
    pub(crate) fn answer_rows(
        &self,
        rows: Rows,
        options: &StreamOptions,
        on_event: &mut dyn FnMut(RowEvent<'_>) -> Result<()>,
    ) -> Result<()> {
        rows::answer_rows(&*self.model, rows, options, &mut Truncated::default(), on_event)
    }

    /// Predicts a stream of any length: the rows of a table, the words of a CoNLL file, or the questions of a SQuAD or
    /// MRQA file, depending on the model. `name` is the writer's name in errors.
    ///
    /// - Rows: the columns `index` and `prediction`, and optionally probabilities, as a table or JSON lines. A window
    ///   of rows is in memory at a time; the output is flushed after each.
    /// - Words: the input's lines with another column for the tag (and one for its probability), likewise.
    /// - Questions: `{id: text}` when all are answered. If the null odds are above the threshold, the text is empty.
    ///
    /// `on_done` gets the number of finished rows, words or questions.
    ///
    /// # Errors
    /// An option that the model does not take; the first row, sentence or question that cannot be read or answered,
    /// with its line (answers to rows and words before it are written); or the writer's error.
    pub fn stream(
        &self,
        input: StreamInput,
        mut writer: impl Write,
        name: &Path,
        options: &StreamOptions,
        on_done: &mut dyn FnMut(u64),
    ) -> Result<StreamReport> {
        let (clock, form) = (Instant::now(), self.form());
        options.check(&form)?;
        let model = &*self.model;
        let mut truncated = Truncated::default();
        let stream = Stream {
            model,
            input,
            writer: &mut writer,
            name,
            options,
            truncated: &mut truncated,
            on_done,
        };
        let (done, unit) = match form {
            RequestForm::Rows { columns, classes, separator } => {
                (rows::stream(stream, &columns, &classes, &separator)?, "rows")
            }
            RequestForm::Words { columns } => (words::stream(stream, columns)?, "words"),
            RequestForm::Questions { null_threshold } => {
                (questions::stream(stream, options.threshold.or(null_threshold))?, "questions")
            }
        };
        Ok(StreamReport { done, unit, truncated, seconds: clock.elapsed().as_secs_f64() })
    }

    /// [`Predictor::stream`] into a file, which is written atomically. An output that is not a regular file (a pipe, a
    /// device) is written directly.
    ///
    /// # Errors
    /// Naming the file that cannot be read or written, and the line.
    pub fn stream_to_file(
        &self,
        input: StreamInput,
        output: &Path,
        options: &StreamOptions,
        on_done: &mut dyn FnMut(u64),
    ) -> Result<StreamReport> {
        write_file_with(output, |writer| self.stream(input, writer, output, options, on_done))
    }
}
