//! The discriminator's head on the tokens of candidates, and a model that answers with it.

use crate::schema::Schema;
use electra_model::{
    ReplacedTokenHead,
    hf::{self, Architecture},
};
use electra_scores::Metric;
use electra_tasks::{
    Result,
    answer::{Answer, CandidateScores, Request, RequestForm},
    batch::Input,
    head::{HeadInput, HeadNet, HeadSite, RowLosses},
    model::{HeadClass, Header},
    model_kind::{Inference, ModelKind},
    texts::layers::rows,
};
use electra_tokenize::{Tokenizer, WordPiece};
use electra_torch::upload;
use electra_train::metrics::Observations;
use serde::{Deserialize, Serialize};
use std::{ops::Range, path::Path};
use tch::{Kind, Reduction, Tensor};

/// The name of the pre-training head in `transformers`.
pub(crate) const PRETRAINED: &str = "discriminator_predictions";
/// The reason why a row has no candidates.
pub(crate) const NOT_A_SCHEMA: &str =
    "not a clause of sentence1 with a candidate in a pronoun's place";
/// The columns of the texts.
pub(crate) const TEXTS: [&str; 2] = ["sentence1", "sentence2"];

/// A candidate in an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its tokens; at least one.
    pub(crate) tokens: Range<usize>,
    /// Whether it is the antecedent.
    pub(crate) antecedent: bool,
}

/// The pre-training head, used on a candidate's tokens alone.
///
/// The loss of a row is the mean over these tokens of the sigmoid cross-entropy of "was replaced": the target is 0 for
/// the antecedent and 1 for every other candidate.
#[derive(Debug)]
pub(crate) struct CandidateNet(ReplacedTokenHead);

impl CandidateNet {
    pub(crate) fn new(site: &HeadSite<'_>) -> electra_model::Result<Self> {
        Ok(Self(ReplacedTokenHead::at(site.path, site.encoder)?))
    }
}

impl HeadNet for CandidateNet {
    type Label = Candidate;
    /// The log-probability of being original, token by token.
    type Output = Vec<f32>;

    /// # Shapes
    /// - Outputs: the logits `[b, s]`.
    fn losses(&self, x: &HeadInput<'_>, candidates: &[&Candidate]) -> RowLosses {
        let logits_bs = self.0.forward(x.hidden_bsh);
        let replaced: Vec<f32> = candidates.iter().map(|c| (!c.antecedent).into()).collect();
        let replaced_b1 = upload(&Tensor::from_slice(&replaced), logits_bs.device()).unsqueeze(-1);
        let losses_bs = logits_bs.binary_cross_entropy_with_logits::<Tensor>(
            &replaced_b1.expand_as(&logits_bs),
            None,
            None,
            Reduction::None,
        );
        let losses_b = mean_over_tokens(&losses_bs, candidates);
        RowLosses { losses_b, outputs: vec![logits_bs] }
    }

    /// The accuracy of the mean logits of candidates.
    fn observe(&self, candidates: &[&Candidate], outputs: &[Tensor], seen: &mut Observations) {
        let [logits_bs] = outputs else { return };
        let antecedents: Vec<bool> = candidates.iter().map(|c| c.antecedent).collect();
        let antecedents_b = upload(&Tensor::from_slice(&antecedents), logits_bs.device());
        let original_b = mean_over_tokens(logits_bs, candidates).lt(0.0);
        seen.mean("candidate_accuracy", &original_b.eq_tensor(&antecedents_b));
    }

    fn predict(&self, x: &HeadInput<'_>) -> Vec<Vec<f32>> {
        rows(&(-self.0.forward(x.hidden_bsh)).log_sigmoid())
    }
}

/// Means `[b]` over the candidates' tokens of values `[b, s]`.
fn mean_over_tokens(values_bs: &Tensor, candidates: &[&Candidate]) -> Tensor {
    let width = values_bs.size()[1] as usize;
    let mut weights = vec![0.0f32; candidates.len() * width];
    for (row, candidate) in weights.chunks_mut(width.max(1)).zip(candidates) {
        row[candidate.tokens.clone()].fill(1.0 / candidate.tokens.len() as f32);
    }
    let weights_bs = upload(&Tensor::from_slice(&weights), values_bs.device()).view_as(values_bs);
    (values_bs * weights_bs).sum_dim_intlist(1, false, Kind::Float)
}

/// The candidates of rows, encoded.
#[derive(Debug, Default)]
pub(crate) struct EncodedRows {
    pub(crate) inputs: Vec<Input>,
    pub(crate) candidates: Vec<Candidate>,
    /// For each row the numbers of its candidates, its own first; empty if the row is not a schema.
    pub(crate) rows: Vec<Range<usize>>,
}

impl EncodedRows {
    /// Adds a row, with an input for each of its candidates that has tokens; `antecedent` is whether its own candidate
    /// is the antecedent. Returns the number of inputs: 0 if the row is not a schema, or its own candidate has no
    /// tokens.
    pub(crate) fn push(
        &mut self,
        tokenizer: &WordPiece,
        [sentence1, sentence2]: [&str; 2],
        antecedent: bool,
        max_length: usize,
    ) -> Result<usize> {
        let first = self.inputs.len();
        if let Some(schema) = Schema::parse(sentence1, sentence2) {
            let own = [(&schema.candidate, antecedent)].into_iter();
            for (candidate, antecedent) in own.chain(schema.others.iter().map(|o| (o, false))) {
                let (input, tokens) = input(tokenizer, &schema, candidate, max_length)?;
                if !tokens.is_empty() {
                    self.inputs.push(input);
                    self.candidates.push(Candidate { tokens, antecedent });
                } else if self.inputs.len() == first {
                    break;
                }
            }
        }
        self.rows.push(first..self.inputs.len());
        Ok(self.inputs.len() - first)
    }

    /// Logs how many rows of `file` are not schemas.
    pub(crate) fn warn(&self, file: &str) {
        let unparsed = self.rows.iter().filter(|row| row.is_empty()).count();
        if unparsed > 0 {
            let all = self.rows.len();
            tracing::warn!("{file}: {unparsed} of {all} rows are {NOT_A_SCHEMA}: 0 is predicted");
        }
    }

    /// The scores of each row's candidates: means over their tokens of the log-probabilities in `outputs`.
    pub(crate) fn scores(&self, outputs: &[Vec<f32>]) -> Vec<CandidateScores> {
        let mean = |i: usize| {
            let own = &outputs[i][self.candidates[i].tokens.clone()];
            own.iter().map(|&x| f64::from(x)).sum::<f64>() / own.len() as f64
        };
        let scores =
            |row: &Range<usize>| CandidateScores { scores: row.clone().map(mean).collect() };
        self.rows.iter().map(scores).collect()
    }
}

/// `[CLS] before candidate after [SEP]`, and the tokens of the candidate. Inputs that are too long are truncated at the end,
/// then at the beginning.
fn input(
    tokenizer: &WordPiece,
    schema: &Schema,
    candidate: &str,
    max_length: usize,
) -> Result<(Input, Range<usize>)> {
    let special = tokenizer.vocab().special();
    let mut before = tokenizer.encode(&schema.before)?;
    let mut own = tokenizer.encode(candidate)?;
    let mut after = tokenizer.encode(&schema.after)?;
    let room = max_length - 2;
    own.truncate(room);
    after.truncate(room.saturating_sub(before.len() + own.len()));
    before.drain(..(before.len() + own.len()).saturating_sub(room));
    let start = 1 + before.len();
    let tokens = start..start + own.len();
    let ids = [vec![special.cls], before, own, after, vec![special.sep]].concat();
    Ok((Input { segment_b_start: ids.len(), ids }, tokens))
}

/// The `task.json` of the task: the keys of every kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct WinogradInfo(pub(crate) Header);

/// The header of a folder with a discriminator as it was pre-trained, which has no `task.json`; `None` for another
/// folder.
pub(crate) fn pretrained(dir: &Path) -> Result<Option<Header>> {
    let config = hf::read_config(dir)?;
    Ok((config.architecture == Architecture::ElectraForPreTraining)
        .then(|| Header::foreign("wnli", Metric::Accuracy, &config).of_kind(WinogradInfo::KIND)))
}

impl ModelKind for WinogradInfo {
    const KIND: &'static str = "winograd";
    type Net = CandidateNet;

    fn class(&self) -> HeadClass {
        HeadClass {
            architecture: Architecture::ElectraForPreTraining,
            labels: None,
            dropout: None,
            head: PRETRAINED,
        }
    }

    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<CandidateNet> {
        CandidateNet::new(site)
    }

    fn form(&self) -> RequestForm {
        RequestForm::Rows {
            columns: TEXTS.map(str::to_owned).to_vec(),
            classes: Vec::new(),
            separator: String::new(),
        }
    }

    fn answer(&self, requests: &[Request], model: &Inference<'_, Self>) -> Result<Vec<Answer>> {
        let mut rows = EncodedRows::default();
        for (sentence1, sentence2) in Request::texts(requests, true)? {
            let texts = [sentence1, sentence2.unwrap_or_default()];
            rows.push(model.tokenizer, texts, false, self.0.max_length)?;
        }
        rows.warn("requests");
        let scores = rows.scores(&model.predict(&rows.inputs)?);
        Ok(scores.into_iter().map(Answer::Antecedent).collect())
    }
}
