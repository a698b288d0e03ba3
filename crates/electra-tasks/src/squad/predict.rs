//! Answers of a fine-tuned model: to a question at hand, and to a file of them.

use super::{
    Version,
    answer::{Answered, ById, decode},
    encode::{Encoding, Passage, Teaching},
    file::{Article, SquadFile},
    head::SpanHead,
    read,
    task::{SquadInfo, answer, head_of},
    window::Context,
};
use crate::{
    Result,
    model::{self, Kind, Model},
};
use std::path::{Path, PathBuf};

/// A fine-tuned model that answers questions from texts.
///
/// It may be moved to another thread; several threads share it through a `Mutex`, or open one each.
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
    /// The threshold in place of the model's; infinity takes no answer back.
    pub threshold: Option<f64>,
}

impl SquadPredictor {
    /// Opens the `model` folder that fine-tuning wrote; `device` is `"auto"`, `"cpu"` or `"cuda:N"`.
    ///
    /// # Errors
    /// Naming the file that is missing or not whole.
    pub fn open(dir: &Path, device: &str) -> Result<Self> {
        let (device, class) = (electra_torch::device(device)?, SquadInfo::class);
        Ok(Self { model: model::read(dir, device, None, Kind::Squad, class, head_of)? })
    }

    /// What the model was trained for.
    pub fn info(&self) -> &SquadInfo {
        &self.model.info
    }

    fn encoding(&self) -> Result<Encoding<'_>> {
        let info = &self.model.info;
        Encoding::new(&self.model.tokenizer, info.header.max_length, &info.squad)
    }

    /// The answer to one question from one text.
    ///
    /// # Errors
    /// If the tokenizer cannot read a text.
    pub fn answer(&self, question: &str, context: &str) -> Result<Answered> {
        let Model { info, network, tokenizer } = &self.model;
        let context = Context::new(tokenizer, context)?;
        let asked = self.encoding()?.question(&context, question, &Teaching::Nothing)?;
        let predictions = network.predict(&asked.features, asked.features.len());
        Ok(decode(&context, &asked, &predictions, &info.squad, info.header.head.kind))
    }

    /// The answers to the questions of a file with their ids, in its order; `batch_size` windows at a time.
    /// `on_questions` is told how many are done.
    ///
    /// # Errors
    /// If the tokenizer cannot read a text.
    pub fn answer_file(
        &self,
        file: &SquadFile,
        batch_size: usize,
        on_questions: &mut dyn FnMut(u64),
    ) -> Result<Vec<(String, Answered)>> {
        let (info, mut answers) = (&self.model.info, Vec::new());
        // An article at a time: inputs of a whole file need not be held at once.
        for article in &file.articles {
            let article = SquadFile { version: None, articles: vec![Article::clone(article)] };
            let passages: Vec<Passage> =
                self.encoding()?.passages(&article, |_, _| Some(Teaching::Nothing))?;
            let asked = passages.iter().flat_map(|passage| &passage.questions);
            let features: Vec<_> = asked.flat_map(|asked| asked.features.iter().cloned()).collect();
            let (network, head) = (self.model.network.answering(), info.header.head.kind);
            answers.extend(answer(
                network,
                &article,
                &passages,
                &features,
                &info.squad,
                head,
                batch_size.max(1),
            ));
            on_questions(answers.len() as u64);
        }
        Ok(answers)
    }

    /// Answers the questions of the file `input` (SQuAD's JSON, or MRQA's JSON lines) and writes the files. Returns
    /// how many there are.
    ///
    /// # Errors
    /// Naming the file that cannot be read or written.
    pub fn predict(
        &self,
        input: &Path,
        outputs: &SquadOutputs,
        batch_size: usize,
        on_questions: &mut dyn FnMut(u64),
    ) -> Result<u64> {
        let answers = self.answer_file(&read(input)?, batch_size, on_questions)?;
        let threshold = match self.info().version {
            Version::V1 => f64::INFINITY,
            Version::V2 => outputs.threshold.unwrap_or(self.info().squad.null_threshold),
        };
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
