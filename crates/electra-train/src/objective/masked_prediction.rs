//! Masked language modeling at the masked positions: loss, sampled replacements, most likely tokens.

use super::sampling::sample;
use crate::metrics::Observations;
use electra_data::MaskedBatch;
use electra_model::Compute;
use electra_torch::{ops, upload};
use tch::{Kind, Reduction, Tensor, no_grad};

/// The predictions at the masked positions of a batch.
#[derive(Debug)]
pub(super) struct MaskedPrediction {
    /// Sum of the losses, with a gradient.
    pub(super) loss: Tensor,
    /// Cross-entropy of each position, `[p]`, without a gradient.
    pub(super) losses_p: Tensor,
    /// A token sampled from each softmax, `[p]` int64.
    pub(super) sampled_p: Tensor,
    /// The most likely token, `[p]` int64.
    pub(super) best_p: Tensor,
}

/// The output layer, with the settings of sampling.
pub(super) struct OutputLayer {
    /// Weight `[v, e]`.
    pub(super) table_ve: Tensor,
    /// Bias `[v]`.
    pub(super) bias_v: Tensor,
    /// Logits are divided by the temperature before sampling.
    pub(super) temperature: f64,
    /// Whether the label is never sampled.
    pub(super) disallow_correct: bool,
    /// Fused or plain kernels.
    pub(super) compute: Compute,
}

/// Logits that give the label of each row a probability of 0.
fn without_labels(logits_pv: &Tensor, labels_p: &Tensor) -> Tensor {
    // The rows of fillers lose token 0, but their samples are dropped.
    logits_pv.scatter_value(-1, &labels_p.clamp_min(0).unsqueeze(-1), f64::NEG_INFINITY)
}

impl MaskedPrediction {
    /// Adds mean loss and accuracy over all positions, and over those replaced by `[MASK]`, under the names in `all` and
    /// `masked`.
    pub(super) fn observe(
        &self,
        all: [&'static str; 2],
        masked: [&'static str; 2],
        part: &MaskedBatch,
        labels_p: &Tensor,
        observations: &mut Observations,
    ) {
        let is_mask: Vec<f32> = part.masked_is_mask.iter().map(|&m| f32::from(m)).collect();
        let is_mask_p = upload(&Tensor::from_slice(&is_mask), labels_p.device());
        // Fillers come last.
        let p = is_mask.len() as i64;
        let [best_p, labels_p, losses_p] =
            [&self.best_p, labels_p, &self.losses_p].map(|x| x.narrow(0, 0, p));
        let correct_p = best_p.eq_tensor(&labels_p).to_kind(Kind::Float);
        for (values_p, name, masked) in
            [(&losses_p, all[0], masked[0]), (&correct_p, all[1], masked[1])]
        {
            observations.mean(name, values_p);
            observations.ratio(masked, &(values_p * &is_mask_p), &is_mask_p);
        }
    }
}

impl OutputLayer {
    /// # Shapes
    /// - `features_pe`: `[p, e]`; `labels_p`: `[p]` int64, -100 for positions without a loss; `uniforms_p`: `[p]` in [0, 1).
    pub(super) fn predict(
        &self,
        features_pe: &Tensor,
        labels_p: &Tensor,
        uniforms_p: &Tensor,
    ) -> MaskedPrediction {
        let (table_ve, bias_v) = (&self.table_ve, &self.bias_v);
        let fuses = self.compute.fuses(features_pe);
        if fuses && self.temperature == 1.0 && !self.disallow_correct {
            let features_pe = self.compute.cast(features_pe);
            let ops::Prediction { loss, losses_p, sampled_p, best_p } =
                ops::predict_tokens(&features_pe, table_ve, bias_v, labels_p, uniforms_p);
            return MaskedPrediction { loss, losses_p, sampled_p, best_p };
        }
        let logits_pv = self.compute.logits(features_pe, table_ve, bias_v);
        let losses_p =
            logits_pv.cross_entropy_loss(labels_p, None::<&Tensor>, Reduction::None, -100, 0.0);
        let logits_pv = logits_pv.detach();
        let best_p = logits_pv.argmax(-1, false);
        let logits_pv = match self.disallow_correct {
            true => without_labels(&logits_pv, labels_p),
            false => logits_pv,
        };
        MaskedPrediction {
            loss: losses_p.sum(Kind::Float),
            losses_p: losses_p.detach(),
            sampled_p: no_grad(|| sample(&logits_pv, uniforms_p, self.temperature)),
            best_p,
        }
    }
}
