//! Answers of a fine-tuned model: to a question at hand, and to a file of them.

use super::{
    Version,
    answer::{Answered, ById, PARAGRAPHS, decode, decode_all},
    encode::{Encoding, Teaching, features},
    file::{Paragraph, SquadFile},
    head::SpanHead,
    read,
    task::{SquadInfo, head_of},
    window::Context,
};
use crate::{
    Error, Result,
    model::{self, Kind, Model},
    predict::{BATCH, NOT_FINITE, check_output},
};
use std::path::{Path, PathBuf};

/// A fine-tuned model that answers questions from texts.
///
/// Threads share it: each makes the tokens of its own texts, and the network, which uses all of libtorch's threads,
/// computes for one of them at a time.
///
/// ```no_run
/// use electra_tasks::SquadPredictor;
///
/// let predictor = SquadPredictor::open("runs/squad/model".as_ref(), "auto")?;
/// let answer = predictor.answer("What is baked?", "Bakers bake bread.")?;
/// println!("{} (for no answer: {})", answer.text, answer.null_odds);
/// # Ok::<(), electra_tasks::Error>(())
/// ```
#[derive(Debug)]
pub struct SquadPredictor {
    model: Model<SquadInfo, SpanHead>,
}

/// Where the answers to a file are written.
#[derive(Clone, Debug, PartialEq)]
pub struct SquadOutputs {
    /// `{id: text}`. Of a model of version 2.0 the text is empty where the null odds are above the threshold.
    pub predictions: PathBuf,
    /// `{id: number}`.
    pub null_odds: Option<PathBuf>,
    /// `{id: [{text, answer_start, score, probability}]}`, best first.
    pub n_best: Option<PathBuf>,
    /// The threshold in place of the model's; infinity takes no answer back. NaN is an error, and any for a model of
    /// version 1.1, which takes none back.
    pub threshold: Option<f64>,
}

impl SquadPredictor {
    /// Opens the `model` folder that fine-tuning wrote; `device` is `"auto"`, `"cpu"` or `"cuda:N"`.
    ///
    /// # Errors
    /// Naming the file that is missing or not whole, or the key of `task.json` that nothing can be answered with.
    pub fn open(dir: &Path, device: &str) -> Result<Self> {
        let (device, class) = (electra_torch::device(device)?, SquadInfo::class);
        let model = model::read(dir, device, None, Kind::Squad, class, head_of)?;
        model.info.squad.validate().map_err(model::invalid(dir))?;
        let predictor = Self { model };
        predictor.encoding().map(drop).map_err(model::invalid(dir))?;
        Ok(predictor)
    }

    /// What the model was trained for.
    pub fn info(&self) -> &SquadInfo {
        &self.model.info
    }

    fn encoding(&self) -> Result<Encoding<'_>> {
        let info = &self.model.info;
        Encoding::new(&self.model.tokenizer, info.header.max_length, &info.squad)
    }

    /// The answer to one question from one text, however long: 64 windows of it are computed at once.
    ///
    /// # Errors
    /// If the tokenizer cannot read a text, or the answer is no finite number.
    pub fn answer(&self, question: &str, context: &str) -> Result<Answered> {
        let Model { info, network, tokenizer } = &self.model;
        let context = Context::new(tokenizer, context)?;
        let asked = self.encoding()?.question(&context, question, &Teaching::Nothing)?;
        let predictions = network.predict(&asked.features, BATCH);
        let answered = decode(&context, &asked, &predictions, &info.squad, info.header.head.kind);
        finite(question, &answered)?;
        Ok(answered)
    }

    /// The answers to the questions of a file with their ids, in its order; `batch_size` windows at a time. The windows
    /// of 64 paragraphs are held at once, in whatever articles these are. `on_questions` is told how many are done.
    ///
    /// # Errors
    /// If the tokenizer cannot read a text, or an answer is no finite number.
    pub fn answer_file(
        &self,
        file: &SquadFile,
        batch_size: usize,
        on_questions: &mut dyn FnMut(u64),
    ) -> Result<Vec<(String, Answered)>> {
        let (Model { info, network, .. }, encoding) = (&self.model, self.encoding()?);
        let paragraphs: Vec<&Paragraph> = file.paragraphs().collect();
        let mut answers = Vec::new();
        for paragraphs in paragraphs.chunks(PARAGRAPHS) {
            let passages = encoding.passages(paragraphs, |_, _| Some(Teaching::Nothing))?;
            let predictions = network.predict(&features(&passages), batch_size);
            let head = info.header.head.kind;
            let found = decode_all(paragraphs, &passages, &predictions, &info.squad, head);
            found.iter().try_for_each(|(id, answered)| finite(id, answered))?;
            answers.extend(found);
            on_questions(answers.len() as u64);
        }
        Ok(answers)
    }

    /// Answers the questions of the file `input` (SQuAD's JSON, or MRQA's JSON lines) and writes the files, each when all
    /// questions are answered. Returns how many there are.
    ///
    /// # Errors
    /// Naming the file that cannot be read or written, or the question whose answer is no finite number.
    pub fn predict(
        &self,
        input: &Path,
        outputs: &SquadOutputs,
        batch_size: usize,
        on_questions: &mut dyn FnMut(u64),
    ) -> Result<u64> {
        if outputs.threshold.is_some_and(f64::is_nan) {
            let expected = "must be a number, or infinity to take no answer back";
            return Err(Error::value("threshold", f64::NAN, expected));
        }
        let threshold = match (self.info().version, outputs.threshold) {
            (Version::V1, Some(given)) => {
                let expected =
                    "a model of version 1.1 has an answer to every question and takes no threshold";
                return Err(Error::value("threshold", given, expected));
            }
            (Version::V1, None) => f64::INFINITY,
            (Version::V2, given) => given.unwrap_or(self.info().squad.null_threshold),
        };
        let files =
            [Some(&outputs.predictions), outputs.null_odds.as_ref(), outputs.n_best.as_ref()];
        files.into_iter().flatten().try_for_each(|output| check_output(output))?;
        let answers = self.answer_file(&read(input)?, batch_size, on_questions)?;
        let given = |answer: &Answered| match answer.null_odds > threshold {
            true => String::new(),
            false => answer.text.clone(),
        };
        ById::of(&answers, given).write(&outputs.predictions)?;
        if let Some(path) = &outputs.null_odds {
            ById::of(&answers, |answer| answer.null_odds).write(path)?;
        }
        if let Some(path) = &outputs.n_best {
            ById::of(&answers, |answer| &answer.n_best).write(path)?;
        }
        Ok(answers.len() as u64)
    }
}

/// Refuses an answer of a broken network.
fn finite(question: &str, answered: &Answered) -> Result<()> {
    match answered.null_odds.is_finite() {
        true => Ok(()),
        false => Err(Error::value("question", format!("{question:?}"), NOT_FINITE)),
    }
}
