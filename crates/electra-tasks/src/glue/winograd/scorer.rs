//! A discriminator's word on the candidates of a schema.

use super::{Schema, head::original};
use crate::{
    Error, Result,
    batch::{Feature, TaskBatch},
    heads::rows,
    model::{self, Header},
    predict::in_place,
    table::Rows,
};
use electra_model::{
    Discriminator, Parts, PretrainedNetwork,
    hf::{self, Architecture, Pretrained},
};
use electra_tokenize::{Tokenizer, WordPiece};
use std::{
    io::Write,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tch::{Device, no_grad};

/// A discriminator that answers WNLI: as pre-training left it, or fine-tuned on WNLI's candidates.
///
/// Threads share it; the network computes for one of them at a time.
///
/// ```no_run
/// use electra_tasks::glue::winograd::WinogradPredictor;
///
/// let predictor = WinogradPredictor::open("exported/base".as_ref(), "auto")?;
/// let schema = "The trophy does not fit into the suitcase because it is too big.";
/// println!("{:?}", predictor.judge(schema, "The trophy is too big.")?);
/// # Ok::<(), electra_tasks::Error>(())
/// ```
#[derive(Debug)]
pub struct WinogradPredictor {
    discriminator: Mutex<Discriminator>,
    tokenizer: WordPiece,
    max_length: usize,
    device: Device,
}

/// What is said of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Judged {
    /// A schema: how original the candidates look in the pronoun's place, as means over their tokens of the logarithm
    /// of the probability of being original.
    Scored {
        /// The row's candidate.
        own: f64,
        /// The others.
        others: Vec<f64>,
    },
    /// No schema.
    NotParsed,
}

/// What was predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WinogradReport {
    /// Rows.
    pub rows: u64,
    /// Those that are no schema; 0 is answered.
    pub not_parsed: u64,
    /// Schemas whose candidate has no rival: it is the antecedent if it looks more original than not.
    pub alone: u64,
}

/// Whether a folder holds a discriminator with its head, pre-trained or fine-tuned on candidates.
pub fn is_discriminator(dir: &Path) -> bool {
    let architecture = hf::read_config(dir).map(|config| config.architecture);
    matches!(architecture, Ok(Architecture::ElectraForPreTraining))
}

impl Judged {
    /// From how original the candidates look, the row's own first; none where the row is no schema.
    pub(super) fn of(scores: &[f64]) -> Self {
        match scores {
            [] => Self::NotParsed,
            [own, others @ ..] => Self::Scored { own: *own, others: others.to_vec() },
        }
    }

    /// Whether the row's candidate is the antecedent: no other looks more original, and one without rivals is at least as
    /// likely original as not. That of a row that is no schema is not.
    pub fn is_antecedent(&self) -> bool {
        match self {
            Self::Scored { own, others } => {
                *own >= others.iter().copied().reduce(f64::max).unwrap_or(0.5f64.ln())
            }
            Self::NotParsed => false,
        }
    }

    /// The label in WNLI's own words.
    pub fn label(&self) -> &'static str {
        if self.is_antecedent() { "1" } else { "0" }
    }
}

/// How schemas become inputs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoding<'a> {
    pub(super) tokenizer: &'a WordPiece,
    pub(super) max_length: usize,
}

impl Encoding<'_> {
    /// An input for each candidate of a schema that has tokens, the row's own first, with the places of its tokens; none
    /// where the row's own has none.
    pub(super) fn inputs(&self, schema: &Schema) -> Result<Vec<Feature<Range<usize>>>> {
        let own = self.input(schema, &schema.candidate)?;
        if own.target.is_empty() {
            return Ok(Vec::new());
        }
        let others = schema.others.iter().map(|other| self.input(schema, other));
        let others: Vec<_> = others.collect::<Result<_>>()?;
        let known = others.into_iter().filter(|input| !input.target.is_empty());
        Ok(std::iter::once(own).chain(known).collect())
    }

    /// `[CLS] before candidate after [SEP]`. What does not fit is cut from the end, then from the beginning.
    fn input(&self, schema: &Schema, candidate: &str) -> Result<Feature<Range<usize>>> {
        let special = self.tokenizer.vocab().special();
        let mut before = self.tokenizer.encode(&schema.before)?;
        let mut own = self.tokenizer.encode(candidate)?;
        let mut after = self.tokenizer.encode(&schema.after)?;
        let room = self.max_length - 2;
        own.truncate(room);
        after.truncate(room.saturating_sub(before.len() + own.len()));
        before.drain(..(before.len() + own.len()).saturating_sub(room));
        let start = 1 + before.len();
        let target = start..start + own.len();
        let ids = [vec![special.cls], before, own, after, vec![special.sep]].concat();
        let segment_b_start = ids.len();
        Ok(Feature { ids, segment_b_start, target })
    }
}

/// The mean of some tokens' logarithms.
pub(super) fn mean(logarithms: &[f32], place: &Range<usize>) -> f64 {
    let own = &logarithms[place.clone()];
    own.iter().map(|&x| f64::from(x)).sum::<f64>() / own.len() as f64
}

impl WinogradPredictor {
    /// Opens a folder of a discriminator; `device` is `"auto"`, `"cpu"` or `"cuda:N"`.
    ///
    /// # Errors
    /// If it holds another model, naming the file that is missing or not whole.
    pub fn open(dir: &Path, device: &str) -> Result<Self> {
        let device = electra_torch::device(device)?;
        let pretrained = Pretrained::read(dir)?;
        let max_length = match model::is_fine_tuned(dir) {
            true => {
                let header = Header::read(dir)?;
                header.check(dir, &pretrained.config.encoder)?;
                header.max_length
            }
            false => pretrained.config.encoder.max_positions as usize,
        };
        let architecture = pretrained.config.architecture;
        let PretrainedNetwork::Discriminator(discriminator) =
            PretrainedNetwork::new(&pretrained, &Parts::shipped(), device)?
        else {
            let message = format!("{architecture:?} judges no tokens, a discriminator does");
            return Err(Error::file(dir, message));
        };
        let tokenizer = WordPiece::from_pretrained_dir(dir)?;
        model::check_vocabulary(dir, &tokenizer, &pretrained.config.encoder)?;
        Ok(Self { discriminator: Mutex::new(discriminator), tokenizer, max_length, device })
    }

    /// Says of a row how original its candidates look.
    ///
    /// # Errors
    /// If the tokenizer cannot read a text, or a score is no finite number.
    pub fn judge(&self, sentence1: &str, sentence2: &str) -> Result<Judged> {
        let Some(schema) = Schema::parse(sentence1, sentence2) else {
            return Ok(Judged::NotParsed);
        };
        let encoding = Encoding { tokenizer: &self.tokenizer, max_length: self.max_length };
        let inputs: Vec<_> = encoding.inputs(&schema)?.into_iter().map(Arc::new).collect();
        if inputs.is_empty() {
            return Ok(Judged::NotParsed);
        }
        let pad = self.tokenizer.vocab().special().pad;
        let batch = TaskBatch::new(inputs.clone()).inputs(pad, self.device);
        let logarithms = {
            // A thread that panicked has changed nothing in it.
            let network = self.discriminator.lock().unwrap_or_else(PoisonError::into_inner);
            let logits_bs = no_grad(|| network.forward_t(&batch.encoder, false));
            rows(&original(&logits_bs))
        };
        let scores = inputs.iter().zip(&logarithms).map(|(input, row)| mean(row, &input.target));
        let scores: Vec<f64> = scores.collect();
        if scores.iter().any(|score| !score.is_finite()) {
            let expected = "the discriminator's word is no finite number: are its weights?";
            return Err(Error::value("sentence2", format!("{sentence2:?}"), expected));
        }
        Ok(Judged::of(&scores))
    }

    /// Predicts the rows of a file of WNLI, with or without labels, and writes `index<TAB>prediction` for each in their
    /// order into `output`, which appears when it is whole. `on_rows` is told how many are done.
    ///
    /// # Errors
    /// Naming the file that cannot be read or written, and the line.
    pub fn predict(
        &self,
        input: &Path,
        output: &Path,
        on_rows: &mut dyn FnMut(u64),
    ) -> Result<WinogradReport> {
        let rows = Rows::open(input, &super::TEXTS)?;
        let file = input.display().to_string();
        let mut report = WinogradReport { rows: 0, not_parsed: 0, alone: 0 };
        in_place(output, |writer| {
            writeln!(writer, "index\tprediction").map_err(Error::io(output))?;
            for row in rows {
                let row = row?;
                let judged = self.judge(&row.fields[0], &row.fields[1]);
                let judged = judged.map_err(|error| Error::row(&file, row.line, error))?;
                match &judged {
                    Judged::NotParsed => report.not_parsed += 1,
                    Judged::Scored { others, .. } if others.is_empty() => report.alone += 1,
                    Judged::Scored { .. } => {}
                }
                writeln!(writer, "{}\t{}", report.rows, judged.label())
                    .map_err(Error::io(output))?;
                report.rows += 1;
                on_rows(report.rows);
            }
            Ok(report)
        })
    }
}
