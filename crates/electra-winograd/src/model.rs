//! The discriminator's head on the tokens of candidates, and a model that answers with it.

use crate::schema::Schema;
use electra_model::{
    EncoderConfig, ReplacedTokenHead,
    hf::{self, Architecture},
};
use electra_scores::Metric;
use electra_tasks::{
    Result,
    answer::{Answer, CandidateScores, Request, RequestForm, TaskModel},
    batch::Input,
    model::Header,
    pool::{ModelSite, NetworkPool},
    task::RowLosses,
    texts::layers::rows,
};
use electra_tokenize::{Tokenizer, WordPiece};
use electra_torch::upload;
use electra_train::metrics::Observations;
use std::{ops::Range, path::Path};
use tch::{Kind, Reduction, Tensor, nn};

/// The kind in `task.json`.
pub(crate) const KIND: &str = "winograd";
/// `transformers`' name of the head of pre-training.
pub(crate) const PRETRAINED: &str = "discriminator_predictions";
/// Why a row has no candidates.
pub(crate) const NOT_A_SCHEMA: &str =
    "are not a clause of sentence1 with a candidate in a pronoun's place";
/// The columns of a row.
pub(crate) const TEXTS: [&str; 2] = ["sentence1", "sentence2"];

/// A candidate in an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its tokens; at least one.
    pub(crate) tokens: Range<usize>,
    /// Whether it is the antecedent.
    pub(crate) antecedent: bool,
}

/// The head of pre-training, used on a candidate's tokens alone.
///
/// The loss of a row is the mean over these tokens of the sigmoid cross-entropy of "was replaced", which the tokens of
/// every candidate but the antecedent are to be.
pub(crate) type CandidateNet = ReplacedTokenHead;

/// # Shapes
/// - `hidden_bsh`: `[b, s, h]`; `candidates`: `b` of them. Losses: `[b]`; outputs: the logits `[b, s]`.
pub(crate) fn losses(
    net: &CandidateNet,
    hidden_bsh: &Tensor,
    candidates: &[&Candidate],
) -> RowLosses {
    let logits_bs = net.forward(hidden_bsh);
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
pub(crate) fn observe(candidates: &[&Candidate], logits_bs: &Tensor, seen: &mut Observations) {
    let antecedents: Vec<bool> = candidates.iter().map(|c| c.antecedent).collect();
    let antecedents_b = upload(&Tensor::from_slice(&antecedents), logits_bs.device());
    let original_b = mean_over_tokens(logits_bs, candidates).lt(0.0);
    seen.mean("candidate_accuracy", &original_b.eq_tensor(&antecedents_b));
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

/// The log-probability of being original, token by token.
pub(crate) fn original(net: &CandidateNet, hidden_bsh: &Tensor) -> Vec<Vec<f32>> {
    rows(&(-net.forward(hidden_bsh)).log_sigmoid())
}

/// The scores of candidates: means over their tokens.
pub(crate) fn scores(original: &[Vec<f32>], candidates: &[Candidate]) -> CandidateScores {
    let mean = |(logarithms, candidate): (&Vec<f32>, &Candidate)| {
        let own = &logarithms[candidate.tokens.clone()];
        own.iter().map(|&x| f64::from(x)).sum::<f64>() / own.len() as f64
    };
    CandidateScores { scores: original.iter().zip(candidates).map(mean).collect() }
}

/// An input for each candidate of a row that has tokens, the row's own first; `antecedent` is whether that is the
/// antecedent. None if the row is not a schema, or its own candidate has no token.
pub(crate) fn encode(
    tokenizer: &WordPiece,
    [sentence1, sentence2]: [&str; 2],
    antecedent: bool,
    max_length: usize,
) -> Result<Vec<(Input, Candidate)>> {
    let Some(schema) = Schema::parse(sentence1, sentence2) else { return Ok(Vec::new()) };
    let own = input(tokenizer, &schema, &schema.candidate, antecedent, max_length)?;
    if own.1.tokens.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = vec![own];
    for other in &schema.others {
        let other = input(tokenizer, &schema, other, false, max_length)?;
        all.extend(Some(other).filter(|(_, candidate)| !candidate.tokens.is_empty()));
    }
    Ok(all)
}

/// `[CLS] before candidate after [SEP]`. What does not fit is cut from the end, then from the beginning.
fn input(
    tokenizer: &WordPiece,
    schema: &Schema,
    candidate: &str,
    antecedent: bool,
    max_length: usize,
) -> Result<(Input, Candidate)> {
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
    Ok((Input { segment_b_start: ids.len(), ids }, Candidate { tokens, antecedent }))
}

/// A discriminator that answers WNLI.
#[derive(Debug)]
struct WinogradModel {
    max_length: usize,
    tokenizer: WordPiece,
    network: NetworkPool<CandidateNet>,
}

/// The header of a folder with a discriminator as it was pre-trained, which has none of its own; `None` for another
/// folder.
pub(crate) fn pretrained(dir: &Path) -> Result<Option<Header>> {
    let config = hf::read_config(dir)?;
    Ok((config.architecture == Architecture::ElectraForPreTraining)
        .then(|| Header::foreign("wnli", Metric::Accuracy, &config).of_kind(KIND)))
}

/// Opens a model of the kind.
pub(crate) fn open(site: &ModelSite<'_>) -> Result<Box<dyn TaskModel>> {
    let build = |path: &nn::Path<'_>, encoder: &EncoderConfig| CandidateNet::at(path, encoder);
    let (network, tokenizer) = NetworkPool::read(site, PRETRAINED, build)?;
    Ok(Box::new(WinogradModel { max_length: site.header.max_length, tokenizer, network }))
}

impl TaskModel for WinogradModel {
    fn form(&self) -> RequestForm {
        RequestForm::Rows {
            columns: TEXTS.map(str::to_owned).to_vec(),
            classes: Vec::new(),
            separator: String::new(),
        }
    }

    fn answer(&self, requests: &[Request], batch_size: usize) -> Result<Vec<Answer>> {
        let (mut inputs, mut candidates, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (sentence1, sentence2) in Request::texts(requests, true)? {
            let sentences = [sentence1, sentence2.unwrap_or_default()];
            let first = inputs.len();
            for (input, candidate) in encode(&self.tokenizer, sentences, false, self.max_length)? {
                inputs.push(input);
                candidates.push(candidate);
            }
            rows.push(first..inputs.len());
        }
        let unparsed = rows.iter().filter(|row| row.is_empty()).count();
        if unparsed > 0 {
            tracing::warn!("{unparsed} of {} rows {NOT_A_SCHEMA}: 0 is predicted", rows.len());
        }
        let original =
            self.network.predict(&inputs, batch_size, |net, hidden, _| original(net, hidden))?;
        let answer = |row: Range<usize>| {
            Answer::Antecedent(scores(&original[row.clone()], &candidates[row]))
        };
        Ok(rows.into_iter().map(answer).collect())
    }
}
