//! The discriminator's own head, on the tokens of a candidate.

use crate::{
    batch::Inputs,
    heads::{Head, RowLosses, rows},
};
use electra_model::{EncoderConfig, ReplacedTokenHead};
use electra_torch::upload;
use electra_train::metrics::Observations;
use std::ops::Range;
use tch::{Kind, Reduction, Tensor, nn};

/// The head of pre-training, asked about a candidate's tokens alone.
///
/// The loss of a row is the mean over these tokens of the sigmoid cross-entropy of "was replaced", which is to be said of
/// the tokens of every candidate but the antecedent.
#[derive(Debug)]
pub struct CandidateHead {
    head: ReplacedTokenHead,
}

/// A candidate in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateTarget {
    /// Its tokens; at least one.
    pub place: Range<usize>,
    /// Whether it is the antecedent.
    pub antecedent: bool,
}

impl CandidateHead {
    /// Variables `dense` and `dense_prediction` under `path`.
    ///
    /// # Errors
    /// If libtorch refuses the sizes.
    pub fn new(path: &nn::Path<'_>, encoder: &EncoderConfig) -> electra_model::Result<Self> {
        Ok(Self { head: ReplacedTokenHead::at(path, encoder)? })
    }
}

impl Head for CandidateHead {
    type Target = CandidateTarget;
    /// The logarithm of the probability of being original, token by token.
    type Prediction = Vec<f32>;

    fn name(&self) -> &'static str {
        "candidates"
    }

    fn losses(
        &self,
        hidden_bsh: &Tensor,
        _inputs: &Inputs,
        targets: &[&CandidateTarget],
        _train: bool,
    ) -> RowLosses {
        let logits_bs = self.head.forward(hidden_bsh);
        let shares_bs = shares(targets, &logits_bs);
        let replaced: Vec<f32> = targets.iter().map(|t| (!t.antecedent).into()).collect();
        let replaced_b1 = upload(&Tensor::from_slice(&replaced), logits_bs.device()).unsqueeze(-1);
        let losses_bs = logits_bs.binary_cross_entropy_with_logits::<Tensor>(
            &replaced_b1.expand_as(&logits_bs),
            None,
            None,
            Reduction::None,
        );
        let losses_b = (losses_bs * shares_bs).sum_dim_intlist(1, false, Kind::Float);
        RowLosses { losses_b, outputs: vec![logits_bs] }
    }

    fn predict(&self, hidden_bsh: &Tensor, _inputs: &Inputs) -> Vec<Vec<f32>> {
        rows(&original(&self.head.forward(hidden_bsh)))
    }

    /// The share of candidates whose mean logit is on the right side.
    fn observe(&self, targets: &[&CandidateTarget], outputs: &[Tensor], seen: &mut Observations) {
        if let [logits_bs] = outputs {
            let sums_b =
                (logits_bs * shares(targets, logits_bs)).sum_dim_intlist(1, false, Kind::Float);
            let antecedents: Vec<bool> = targets.iter().map(|target| target.antecedent).collect();
            let antecedents_b = upload(&Tensor::from_slice(&antecedents), logits_bs.device());
            seen.mean("candidate_accuracy", &sums_b.lt(0.0).eq_tensor(&antecedents_b));
        }
    }
}

/// Logarithms of the probability of being original, of logits of "was replaced".
pub(super) fn original(logits_bs: &Tensor) -> Tensor {
    (-logits_bs).log_sigmoid()
}

/// `[b, s]`: at a candidate's tokens one divided by their number, else 0.
fn shares(targets: &[&CandidateTarget], logits_bs: &Tensor) -> Tensor {
    let width = logits_bs.size()[1] as usize;
    let mut shares = vec![0.0f32; targets.len() * width];
    for (row, target) in shares.chunks_mut(width.max(1)).zip(targets) {
        row[target.place.clone()].fill(1.0 / target.place.len() as f32);
    }
    upload(&Tensor::from_slice(&shares), logits_bs.device()).view_as(logits_bs)
}
