//! The input and the options of a stream.

use crate::{
    answer::{RequestForm, TaskModel},
    error::{Error, Result},
    summary::Truncated,
};
use electra_scores::table::{Delimiter, Format, Layout, Quoting};
use std::{
    fmt,
    io::{Read, Write},
    path::{Path, PathBuf},
};

/// The input of a stream.
pub struct StreamInput {
    pub(super) reader: Box<dyn Read + Send>,
    /// Its name in errors; for questions, the extensions `.jsonl` and `.jsonl.gz` are MRQA's.
    pub(super) name: PathBuf,
    /// The format of a table; by default that of the name's extension.
    pub(super) format: Option<Format>,
    /// The delimiter of a table, if it is not the format's.
    delimiter: Option<Delimiter>,
    /// The quoting of a table, if it is not the format's.
    quoting: Option<Quoting>,
}

impl StreamInput {
    /// A file.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file = electra_files::open(path)?;
        let (reader, name) = (Box::new(file), path.to_owned());
        Ok(Self { reader, name, format: None, delimiter: None, quoting: None })
    }

    /// Any reader; `name` is its name in errors.
    pub fn new(reader: impl Read + Send + 'static, name: &str, format: Format) -> Self {
        let (reader, name) = (Box::new(reader), name.into());
        Self { reader, name, format: Some(format), delimiter: None, quoting: None }
    }

    /// The input with another format of tables, if one is given.
    #[must_use]
    pub fn with_format(self, format: Option<Format>) -> Self {
        Self { format: format.or(self.format), ..self }
    }

    /// The input with another delimiter and quoting of tables than the format's, if they are given.
    #[must_use]
    pub fn with_delimiter(self, delimiter: Option<Delimiter>, quoting: Option<Quoting>) -> Self {
        Self { delimiter, quoting, ..self }
    }

    /// How a table is divided into rows and columns.
    pub(super) fn layout(&self) -> Result<Layout<'static>> {
        let format = self.format.map_or_else(|| Format::of(&self.name), Ok)?;
        Ok(Layout { delimiter: self.delimiter, quoting: self.quoting, ..format.into() })
    }
}

impl fmt::Debug for StreamInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamInput").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A stream that is predicted.
pub(super) struct Stream<'a> {
    pub(super) model: &'a dyn TaskModel,
    pub(super) input: StreamInput,
    pub(super) writer: &'a mut dyn Write,
    /// The writer's name in errors.
    pub(super) name: &'a Path,
    pub(super) options: &'a StreamOptions,
    /// Counts the texts that are truncated.
    pub(super) truncated: &'a mut Truncated,
    /// Gets the number of finished rows, words or questions.
    pub(super) on_done: &'a mut dyn FnMut(u64),
}

/// The options of a stream.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// The number of inputs in a forward pass.
    pub batch_size: usize,
    /// The number of rows or sentences that are read, sorted by length and predicted together; only these and their
    /// answers are in memory. A window ends early at 16 MiB of text, or 65,536 words.
    pub window: usize,
    /// Whether probabilities are written.
    pub probabilities: Probabilities,
    /// The output format of rows; by default that of the input.
    pub format: Option<Format>,
    /// For questions: a file for the null odds, `{id: number}`.
    pub null_odds: Option<PathBuf>,
    /// For questions: a file for the best answers, `{id: [{text, answer_start, score, probability}]}`.
    pub n_best: Option<PathBuf>,
    /// For questions of version 2.0: the null odds above which "no answer" is predicted, instead of the model's;
    /// infinity keeps every answer.
    pub threshold: Option<f64>,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            batch_size: 64,
            window: 8192,
            probabilities: Probabilities::Omit,
            format: None,
            null_odds: None,
            n_best: None,
            threshold: None,
        }
    }
}

impl StreamOptions {
    /// Checks that a model with this form of requests takes the options.
    pub(super) fn check(&self, form: &RequestForm) -> Result<()> {
        let refuse = |option: &str, value: &str, expected: &str| {
            Err(Error::value(
                option,
                value,
                format!("is an option for models of {expected}; this model is of another kind"),
            ))
        };
        match form {
            RequestForm::Questions { null_threshold } => {
                if self.probabilities == Probabilities::Write {
                    return refuse(
                        "probabilities",
                        "write",
                        "classes or tags (n_best has the probabilities of spans)",
                    );
                }
                match (self.threshold, null_threshold) {
                    (Some(threshold), _) if threshold.is_nan() => {
                        let expected = "must be a number, or infinity to keep every answer";
                        Err(Error::value("threshold", threshold, expected))
                    }
                    (Some(threshold), None) => {
                        let expected =
                            "does not apply to models of version 1.1, which answer every question";
                        Err(Error::value("threshold", threshold, expected))
                    }
                    _ => Ok(()),
                }
            }
            _ => {
                let questions = "questions";
                match (&self.null_odds, &self.n_best, self.threshold) {
                    (Some(path), ..) => refuse("null_odds", &path.to_string_lossy(), questions),
                    (_, Some(path), _) => refuse("n_best", &path.to_string_lossy(), questions),
                    (.., Some(x)) => refuse("threshold", &x.to_string(), questions),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Whether probabilities are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probabilities {
    /// Only the prediction is written.
    Omit,
    /// A column for each class or label follows, with its name; in JSON lines an object `probabilities`.
    Write,
}

/// The result of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamReport {
    /// The number of rows, words or questions.
    pub done: u64,
    /// `"rows"`, `"words"` or `"questions"`.
    pub unit: &'static str,
    /// The texts that were truncated.
    pub truncated: Truncated,
    /// The duration in seconds, without loading the model.
    pub seconds: f64,
}

/// The error about an answer that is not finite.
pub(crate) const NOT_FINITE: &str =
    "the model returned NaN or infinity; its weights may be corrupt";
