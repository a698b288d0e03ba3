//! Predictions: of texts at hand, and of files of any size in constant memory.

mod window;
mod writer;

use crate::{
    Error, Result,
    batch::{Feature, encode},
    heads::Head,
    model::{self, Header, Kind, Model},
    objective::SharedNetwork,
    problem::HeadClass,
    sentence::SentenceInfo,
    table::{Format, Row, Rows},
    task::Target,
};
use electra_model::{EncoderConfig, Parts};
use electra_tokenize::WordPiece;
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use std::{fmt::Debug, io::Write, path::Path, sync::Arc, time::Instant};
use tch::nn;
use window::{Filled, Window};

pub use electra_files::write_file_with as in_place;
use writer::AnswerWriter;

/// Inputs of one forward pass of [`Predictor::predict`].
pub(crate) const BATCH: usize = 64;
/// Rows that are read, sorted by length and predicted together, if nothing else is asked for.
const WINDOW: usize = 8192;

/// A fine-tuned model that answers to texts or pairs of texts; what the answers are, its kind says.
///
/// Threads share it: each makes the tokens of its own texts, and the network, which uses all of libtorch's threads,
/// computes for one of them at a time. An answer depends on its text and the model, and not on who else asks (on other
/// texts of the same call only by rounding).
///
/// ```no_run
/// use electra_tasks::Predictor;
///
/// let predictor = Predictor::open("runs/mine/model".as_ref(), "auto")?;
/// for prediction in predictor.predict(&[("What a film!", None), ("I left early.", None)])? {
///     println!("{} {:?}", prediction.label, prediction.probabilities);
/// }
/// # Ok::<(), electra_tasks::Error>(())
/// ```
#[derive(Debug)]
pub struct TextPredictor<I: TextInfo> {
    info: I,
    tokenizer: WordPiece,
    network: SharedNetwork<I::Head>,
}

/// Predicts classes or numbers.
pub type Predictor = TextPredictor<SentenceInfo>;

/// What the folder of a model of texts says of itself, in `task.json`, and what follows from it.
pub trait TextInfo: DeserializeOwned + Debug {
    /// What stands on the encoder.
    type Head: Head;
    /// One answer.
    type Prediction;
    /// The kind of task that the folder must be of.
    const KIND: Kind;

    /// What every kind has.
    fn header(&self) -> &Header;

    /// Columns of the text and, for pairs, of the second one.
    fn texts(&self) -> (&str, Option<&str>);

    /// The class of `transformers` that the folder is for.
    fn class(&self) -> HeadClass;

    /// The head with fresh weights under `path`.
    ///
    /// # Errors
    /// If libtorch refuses the sizes.
    fn head(
        &self,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
    ) -> electra_model::Result<Self::Head>;

    /// What probabilities are of, in their order; none for numbers.
    fn classes(&self) -> &[String];

    /// The answer that the head gave.
    fn prediction(&self, said: <Self::Head as Head>::Prediction) -> Self::Prediction;

    /// The answer as a field of a table.
    fn text(&self, prediction: &Self::Prediction) -> String;

    /// The answer in a line of JSON.
    fn json(&self, prediction: &Self::Prediction) -> serde_json::Value;

    /// The probabilities of the classes.
    fn probabilities<'a>(&self, prediction: &'a Self::Prediction) -> &'a [f32];

    /// Whether its numbers are such.
    fn is_finite(&self, prediction: &Self::Prediction) -> bool;
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The class's name, or the number.
    pub label: String,
    /// The class or the number.
    pub answer: Target,
    /// Probabilities of the classes in the order of [`Predictor::info`]; empty for a number.
    pub probabilities: Vec<f32>,
}

/// How rows are predicted.
#[derive(Clone, Debug)]
pub struct PredictOptions {
    /// Inputs of one forward pass.
    pub batch_size: usize,
    /// Rows (or sentences of words) that are read, sorted by length and predicted together; they and their answers are
    /// all that is held, and answers appear when so many rows were read. Fewer where their texts have more than 16 MiB,
    /// or sentences more than 65,536 words.
    pub window: usize,
    /// Whether probabilities are written.
    pub probabilities: Probabilities,
    /// How answers are written.
    pub format: Format,
}

impl Default for PredictOptions {
    fn default() -> Self {
        Self {
            batch_size: BATCH,
            window: WINDOW,
            probabilities: Probabilities::Omit,
            format: Format::Tsv,
        }
    }
}

/// Whether probabilities are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probabilities {
    /// The prediction alone.
    Omit,
    /// A column per class or label after it, named as it; in JSON lines an object `probabilities`.
    Write,
}

/// What was predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictReport {
    /// Rows.
    pub rows: u64,
    /// Seconds, the model's loading left out.
    pub seconds: f64,
}

impl<I: TextInfo> TextPredictor<I> {
    /// Opens the `model` folder that fine-tuning wrote; `device` is `"auto"`, `"cpu"` or `"cuda:N"`.
    ///
    /// # Errors
    /// Naming the file that is missing or not whole, or the key of `task.json` that nothing can be predicted with.
    pub fn open(dir: &Path, device: &str) -> Result<Self> {
        Self::read(dir, device, None)
    }

    /// [`Predictor::open`] for an encoder of other parts than the shipped ones.
    ///
    /// # Errors
    /// As [`Predictor::open`].
    pub fn open_with(dir: &Path, device: &str, parts: &Parts) -> Result<Self> {
        Self::read(dir, device, Some(parts))
    }

    fn read(dir: &Path, device: &str, parts: Option<&Parts>) -> Result<Self> {
        let device = electra_torch::device(device)?;
        let head =
            |path: &nn::Path<'_>, encoder: &EncoderConfig, info: &I| info.head(path, encoder);
        let Model { info, network, tokenizer } =
            model::read(dir, device, parts, I::KIND, I::class, head)?;
        Ok(Self { info, tokenizer, network })
    }

    /// What the model was trained for.
    pub fn info(&self) -> &I {
        &self.info
    }

    /// The columns that rows must have, as in training.
    pub fn text_columns(&self) -> Vec<&str> {
        let (a, b) = self.info.texts();
        std::iter::once(a).chain(b).collect()
    }

    /// An answer for each text or pair, in their order. An empty text is answered too.
    ///
    /// # Errors
    /// If a pair is given to a task of single texts or the other way round, or an answer is no finite number.
    pub fn predict(&self, texts: &[(&str, Option<&str>)]) -> Result<Vec<I::Prediction>> {
        let pair = self.info.texts().1.is_some();
        if let Some(place) = texts.iter().position(|(_, b)| b.is_some() != pair) {
            let wanted = match pair {
                true => "the task is of pairs: a second text must be given",
                false => "the task is of single texts: no second text may be given",
            };
            return Err(Error::value("input", format!("number {place}"), wanted));
        }
        let predictions = self.answers(texts, BATCH)?;
        match predictions.iter().position(|prediction| !self.info.is_finite(prediction)) {
            None => Ok(predictions),
            Some(place) => Err(Error::value("input", format!("number {place}"), NOT_FINITE)),
        }
    }

    /// Answers to texts that are of the task's kind; they may be of a broken network.
    fn answers(
        &self,
        texts: &[(&str, Option<&str>)],
        batch_size: usize,
    ) -> Result<Vec<I::Prediction>> {
        let (tokenizer, max_length) = (&self.tokenizer, self.info.header().max_length);
        let encode =
            |(a, b): &(&str, Option<&str>)| encode(tokenizer, a, *b, max_length, ()).map(Arc::new);
        let features: Vec<Arc<Feature<()>>> =
            texts.par_iter().map(encode).collect::<Result<_>>()?;
        let predictions = self.network.predict(&features, batch_size);
        Ok(predictions.into_iter().map(|said| self.info.prediction(said)).collect())
    }

    /// Predicts `rows` (the task's text columns) and writes an answer for each, in the rows' order, holding a window of
    /// them at a time; each window is flushed. `on_rows` is told how many are done; `name` is what errors call the
    /// writer.
    ///
    /// # Errors
    /// The first row that cannot be read or answered, with its line; the answers to all rows before it are written. Or
    /// whatever `writer` says.
    pub fn predict_rows(
        &self,
        rows: Rows,
        writer: impl Write,
        name: &Path,
        options: &PredictOptions,
        on_rows: &mut dyn FnMut(u64),
    ) -> Result<PredictReport> {
        let clock = Instant::now();
        let mut writer = AnswerWriter::new(writer, name, &self.info, options)?;
        let mut rows_done = 0;
        self.answer_rows(rows, options, &mut |said| match said {
            Said::Answer(index, prediction) => writer.write(index, prediction),
            Said::Window(done) => {
                writer.flush()?;
                rows_done = done;
                on_rows(done);
                Ok(())
            }
        })?;
        Ok(PredictReport { rows: rows_done, seconds: clock.elapsed().as_secs_f64() })
    }

    /// Says the answer to each of `rows` in their order, a window of them at a time.
    ///
    /// # Errors
    /// The first row that cannot be read or answered, with its line, after the answers to all rows before it were said;
    /// or whatever `on_said` says.
    pub(crate) fn answer_rows(
        &self,
        mut rows: Rows,
        options: &PredictOptions,
        on_said: &mut dyn FnMut(Said<'_, I::Prediction>) -> Result<()>,
    ) -> Result<()> {
        let mut window = Window::new(options.window);
        let mut done = 0;
        loop {
            let filled = window.fill(&mut rows);
            let texts: Vec<_> = window.rows().iter().map(texts).collect();
            for (prediction, row) in
                self.answers(&texts, options.batch_size)?.iter().zip(window.rows())
            {
                if !self.info.is_finite(prediction) {
                    on_said(Said::Window(done))?;
                    return Err(Error::row(rows.file(), row.line, NOT_FINITE));
                }
                on_said(Said::Answer(done, prediction))?;
                done += 1;
            }
            on_said(Said::Window(done))?;
            if let Filled::Ended = filled? {
                return Ok(());
            }
        }
    }

    /// [`Predictor::predict_rows`] into a file, which appears when it is whole. An output that is no file (a pipe, a
    /// device) is written into as it stands.
    ///
    /// # Errors
    /// Naming the file that cannot be read or written, and the line.
    pub fn predict_file(
        &self,
        rows: Rows,
        output: &Path,
        options: &PredictOptions,
        on_rows: &mut dyn FnMut(u64),
    ) -> Result<PredictReport> {
        in_place(output, |writer| self.predict_rows(rows, writer, output, options, on_rows))
    }
}

/// What is said of rows.
pub(crate) enum Said<'a, A> {
    /// The answer to the row of this number, from 0.
    Answer(u64, &'a A),
    /// So many are done, at the end of each window.
    Window(u64),
}

/// What is said of numbers that are none.
pub(crate) const NOT_FINITE: &str = "the model's answer is no finite number: are its weights?";

fn texts(row: &Row) -> (&str, Option<&str>) {
    let text = |i: usize| row.fields.get(i).map(String::as_str);
    (text(0).unwrap_or_default(), text(1))
}

/// Predicts a TSV, CSV or JSON lines file into another; see [`Predictor::predict_file`]. `device` is `"auto"`, `"cpu"`
/// or `"cuda:N"`.
///
/// The input needs the task's text columns; others are not looked at.
///
/// # Errors
/// Naming the file that cannot be read or written, and the line.
pub fn predict(
    model: &Path,
    device: &str,
    input: &Path,
    output: &Path,
    options: &PredictOptions,
    on_rows: &mut dyn FnMut(u64),
) -> Result<PredictReport> {
    let predictor = Predictor::open(model, device)?;
    let rows = Rows::open(input, &predictor.text_columns())?;
    predictor.predict_file(rows, output, options, on_rows)
}

/// Checks that a file can stand at `output`, before the work whose result it is.
pub(crate) fn check_output(output: &Path) -> Result<()> {
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    if output.is_dir() {
        return Err(Error::file(output, "is a folder: name a file"));
    }
    match parent {
        Some(parent) if !parent.is_dir() => Err(Error::file(parent, "there is no such folder")),
        _ => Ok(()),
    }
}
