//! What is streamed, and how.

use crate::{
    answer::RequestForm,
    error::{Error, Result},
};
use electra_scores::table::Format;
use std::{
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// A stream that is predicted.
pub struct StreamInput {
    pub(super) reader: Box<dyn Read + Send>,
    /// What errors call it; for questions, its ending says whether it is MRQA's (`.jsonl`, `.jsonl.gz`).
    pub(super) name: PathBuf,
    /// The format of a table; by default the one of the name's extension.
    pub(super) format: Option<Format>,
}

impl StreamInput {
    /// A file.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        Ok(Self { reader: Box::new(file), name: path.to_owned(), format: None })
    }

    /// Any bytes; `name` is what errors call them.
    pub fn new(reader: impl Read + Send + 'static, name: &str, format: Format) -> Self {
        Self { reader: Box::new(reader), name: name.into(), format: Some(format) }
    }

    /// The same as a table of this format.
    #[must_use]
    pub fn with_format(self, format: Option<Format>) -> Self {
        Self { format: format.or(self.format), ..self }
    }
}

impl fmt::Debug for StreamInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamInput").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a stream is predicted.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// Inputs of one forward pass.
    pub batch_size: usize,
    /// Rows (or sentences of words) that are read, sorted by length and predicted together; they and their answers are
    /// all that is held. Fewer where their texts have more than 16 MiB, or sentences more than 65,536 words.
    pub window: usize,
    /// Whether probabilities are written.
    pub probabilities: Probabilities,
    /// How the answers to rows are written; by default as the input.
    pub format: Option<Format>,
    /// For questions: a file for `{id: number}`, the null odds.
    pub null_odds: Option<PathBuf>,
    /// For questions: a file for `{id: [{text, answer_start, score, probability}]}`, the best answers.
    pub n_best: Option<PathBuf>,
    /// For questions of version 2.0: the null odds above which there is no answer, instead of the model's; infinity keeps
    /// every answer.
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
    /// Checks that a model of the form takes the options.
    pub(super) fn check(&self, form: &RequestForm) -> Result<()> {
        let refuse = |option: &str, value: &str, expected: &str| {
            Err(Error::value(
                option,
                value,
                format!("is for {expected}, which the model is not of"),
            ))
        };
        match form {
            RequestForm::Questions { null_threshold } => {
                if self.probabilities == Probabilities::Write {
                    return refuse("probabilities", "asked for", "classes (n_best has a span's)");
                }
                match (self.threshold, null_threshold) {
                    (Some(threshold), _) if threshold.is_nan() => {
                        let expected = "must be a number, or infinity to keep every answer";
                        Err(Error::value("threshold", threshold, expected))
                    }
                    (Some(threshold), None) => {
                        let expected = "a model of version 1.1 has an answer to every question and takes no threshold";
                        Err(Error::value("threshold", threshold, expected))
                    }
                    _ => Ok(()),
                }
            }
            _ => {
                let questions = "questions (null_odds, n_best, threshold)";
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
    /// The prediction alone.
    Omit,
    /// A column for each class or label after it, with its name; in JSON lines an object `probabilities`.
    Write,
}

/// What was predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamReport {
    /// How many rows, words or questions.
    pub done: u64,
    /// Which of them.
    pub unit: &'static str,
    /// Seconds, without loading the model.
    pub seconds: f64,
}

/// The error about an answer that is not finite.
pub(super) const NOT_FINITE: &str =
    "the model returned NaN or infinity; its weights may be corrupt";
