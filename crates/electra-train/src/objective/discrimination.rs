//! The discriminator's loss on a corrupted batch, and its metrics.

use super::{
    corruption::Corruption,
    inputs::{Inputs, Shapes},
    seam::LossCounts,
    spans::mark_backward,
    token_prediction::TokenPrediction,
};
use crate::metrics::{Observations, Scores, fetch};
use electra_model::{Discriminator, EncoderInput};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use tch::{Kind, Reduction, Tensor};
use tracing::trace_span;

/// Which tokens the discriminator's loss covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LossPositions {
    /// All tokens except padding, `[CLS]` and `[SEP]` included.
    #[default]
    All,
    /// The masked positions only: "ELECTRA 15%" in the paper.
    Masked,
}

impl LossPositions {
    /// The number of positions.
    pub(super) fn count(self, whole: &LossCounts) -> usize {
        match self {
            Self::All => whole.tokens,
            Self::Masked => whole.predictions,
        }
    }
}

/// Selects the positions of a batch that a loss covers: `t` of them, or all `b * s` with weight 0 or 1.
pub(super) struct Selection {
    /// Indices into the flattened batch, for exact shapes.
    indices_t: Option<Tensor>,
    /// Weights, for fixed shapes.
    weights_t: Option<Tensor>,
}

impl Selection {
    pub(super) fn new(positions: LossPositions, inputs: &Inputs, shapes: Shapes) -> Self {
        let mask = inputs.masked.mask();
        match (positions, shapes) {
            (LossPositions::All, Shapes::Exact) => {
                let indices_t = mask.keep_bs().flatten(0, 1).nonzero().squeeze_dim(-1);
                Self { indices_t: Some(indices_t), weights_t: None }
            }
            (LossPositions::All, Shapes::Fixed) => {
                Self { indices_t: None, weights_t: Some(mask.keep_bs().flatten(0, 1)) }
            }
            (LossPositions::Masked, Shapes::Exact) => {
                let indices_t = inputs.positions_p.shallow_clone();
                Self { indices_t: Some(indices_t), weights_t: None }
            }
            (LossPositions::Masked, Shapes::Fixed) => {
                Self { indices_t: None, weights_t: Some(inputs.chosen_bs().flatten(0, 1)) }
            }
        }
    }

    /// `[t]` of `[b, s]`.
    pub(super) fn select(&self, x_bs: &Tensor) -> Tensor {
        match &self.indices_t {
            Some(indices_t) => x_bs.flatten(0, 1).index_select(0, indices_t),
            None => x_bs.flatten(0, 1),
        }
    }

    /// The weights of the positions; `None` if all count.
    pub(super) fn weights_t(&self) -> Option<&Tensor> {
        self.weights_t.as_ref()
    }

    /// Drops the positions with weight 0.
    fn without_padding(&self, x_t: &Tensor) -> Tensor {
        match &self.weights_t {
            Some(weights_t) => x_t.masked_select(&weights_t.ne(0.0)),
            None => x_t.shallow_clone(),
        }
    }
}

/// A forward pass of the discriminator.
pub(super) struct Discrimination {
    /// The mean loss.
    pub(super) loss: Tensor,
    selection: Selection,
    logits_bs: Tensor,
    logits_t: Tensor,
    losses_t: Tensor,
    labels_t: Tensor,
}

impl Discrimination {
    /// Binary cross-entropy of `labels_bs`, 1 for replaced tokens, over the selected positions of `corrupted`, the input
    /// with replacements, divided by `count`. `offset_bs` is added to the discriminator's logits.
    pub(super) fn new(
        discriminator: &Discriminator,
        corrupted: &EncoderInput,
        selection: Selection,
        labels_bs: &Tensor,
        offset_bs: Option<&Tensor>,
        count: usize,
        train: bool,
    ) -> Self {
        let logits_bs =
            trace_span!("discriminator").in_scope(|| discriminator.forward_t(corrupted, train));
        let logits_bs = offset_bs.map_or_else(|| logits_bs.shallow_clone(), |x| &logits_bs + x);
        // `t` counts the selected positions.
        let (logits_t, labels_t) = (selection.select(&logits_bs), selection.select(labels_bs));
        let losses_t = logits_t.binary_cross_entropy_with_logits(
            &labels_t,
            selection.weights_t(),
            None::<&Tensor>,
            Reduction::None,
        );
        let loss = losses_t.sum(Kind::Float) / (count as f64 + 1e-6);
        Self {
            loss: mark_backward(loss, trace_span!("discriminator_backward")),
            selection,
            logits_bs: logits_bs.detach(),
            logits_t: logits_t.detach(),
            losses_t: losses_t.detach(),
            labels_t,
        }
    }

    /// The loss at the masked positions, `[p]`, without a gradient.
    pub(super) fn masked_losses_p(&self, corruption: &Corruption<'_>) -> Tensor {
        let positions_p = corruption.inputs.predicted_p();
        let at_p = |x_bs: &Tensor| x_bs.flatten(0, 1).index_select(0, &positions_p);
        let none = None::<&Tensor>;
        at_p(&self.logits_bs).binary_cross_entropy_with_logits(
            &at_p(&corruption.replaced_bs()),
            none,
            none,
            Reduction::None,
        )
    }

    /// The discriminator's metrics. Recall is the accuracy on replaced tokens.
    pub(super) fn observe(&self, observations: &mut Observations) {
        let [logits_t, losses_t, replaced_t] = [&self.logits_t, &self.losses_t, &self.labels_t]
            .map(|x_t| self.selection.without_padding(x_t));
        let predicted_t = logits_t.gt(0.0).to_kind(Kind::Float);
        let correct_t = predicted_t.eq_tensor(&replaced_t).to_kind(Kind::Float);
        let true_positives_t = &predicted_t * &replaced_t;
        let original_t = 1.0 - &replaced_t;
        let true_negatives_t = &correct_t * &original_t;
        observations.mean("discriminator_loss", &losses_t);
        observations.mean("replaced_fraction", &replaced_t);
        observations.mean("discriminator_accuracy", &correct_t);
        observations.ratio("discriminator_precision", &true_positives_t, &predicted_t);
        observations.ratio("discriminator_recall", &true_positives_t, &replaced_t);
        observations.ratio("discriminator_recall_original", &true_negatives_t, &original_t);
        let (logits, labels) = (logits_t, replaced_t);
        observations.scores(Scores { name: "discriminator_auc", logits, labels });
    }

    /// The tokens of each row, with the outputs of both networks.
    pub(super) fn token_predictions(
        &self,
        corruption: &Corruption<'_>,
    ) -> Vec<Vec<TokenPrediction>> {
        let part = corruption.part;
        // `zip` drops the fillers, which come last and have no position.
        let sampled: HashMap<i64, i64> =
            part.masked_positions.iter().copied().zip(corruption.sampled()).collect();
        let probabilities = fetch(&self.logits_bs.sigmoid());
        let prediction = |position: usize| TokenPrediction {
            original: part.input_ids[position],
            sampled: sampled.get(&(position as i64)).copied(),
            replaced_probability: probabilities[position],
        };
        let row = |row: usize| {
            let positions = row * part.length..(row + 1) * part.length;
            positions.filter(|&at| part.attention_mask[at] == 1).map(prediction).collect()
        };
        (0..part.batch).map(row).collect()
    }
}
