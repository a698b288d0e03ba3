//! Masked language modelling at the masked positions: loss, sampled replacements, most likely tokens.

use super::sampling::sample;
use electra_model::Compute;
use electra_torch::ops;
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
pub(super) struct OutputLayer<'a> {
    /// Weight `[v, e]`.
    pub(super) table_ve: Tensor,
    /// Bias `[v]`.
    pub(super) bias_v: &'a Tensor,
    /// Logits are divided by the temperature before sampling.
    pub(super) temperature: f64,
    /// Fused or plain kernels.
    pub(super) compute: Compute,
}

impl OutputLayer<'_> {
    /// # Shapes
    /// - `features_pe`: `[p, e]`; `labels_p`: `[p]` int64, -100 for positions without a loss; `uniforms_p`: `[p]` in [0, 1).
    pub(super) fn predict(
        &self,
        features_pe: &Tensor,
        labels_p: &Tensor,
        uniforms_p: &Tensor,
    ) -> MaskedPrediction {
        let (table_ve, bias_v) = (&self.table_ve, self.bias_v);
        if self.compute.fuses(features_pe) && self.temperature == 1.0 {
            let features_pe = self.compute.cast(features_pe);
            let ops::Prediction { loss, losses_p, sampled_p, best_p } =
                ops::predict_tokens(&features_pe, table_ve, bias_v, labels_p, uniforms_p);
            return MaskedPrediction { loss, losses_p, sampled_p, best_p };
        }
        let logits_pv = self.compute.logits(features_pe, table_ve, bias_v);
        let losses_p =
            logits_pv.cross_entropy_loss(labels_p, None::<&Tensor>, Reduction::None, -100, 0.0);
        let logits_pv = logits_pv.detach();
        MaskedPrediction {
            loss: losses_p.sum(Kind::Float),
            losses_p: losses_p.detach(),
            sampled_p: no_grad(|| sample(&logits_pv, uniforms_p, self.temperature)),
            best_p: logits_pv.argmax(-1, false),
        }
    }
}
