//! The generator's output at masked positions: its loss, the replacements that are drawn from it, its best guesses.

use super::sampling::sample;
use electra_model::Compute;
use electra_torch::ops;
use tch::{Kind, Reduction, Tensor, no_grad};

/// What comes of the masked positions of a batch.
#[derive(Debug)]
pub(super) struct Cloze {
    /// Sum of the losses; its gradient trains the generator.
    pub(super) loss: Tensor,
    /// Cross-entropy of each position, `[p]`, without a gradient.
    pub(super) losses_p: Tensor,
    /// A token drawn from each softmax, `[p]` int64.
    pub(super) sampled_p: Tensor,
    /// The likeliest token, `[p]` int64.
    pub(super) best_p: Tensor,
}

/// The output layer and how its softmax is drawn from.
pub(super) struct Output<'a> {
    /// `[v, e]`.
    pub(super) table_ve: Tensor,
    /// `[v]`.
    pub(super) bias_v: &'a Tensor,
    /// Logits are divided by it before sampling.
    pub(super) temperature: f64,
    /// In one pass or as a chain of functions.
    pub(super) compute: Compute,
}

impl Output<'_> {
    /// # Shapes
    /// - `features_pe`: `[p, e]`; `labels_p`: `[p]` int64, -100 where there is no loss; `uniforms_p`: `[p]` in [0, 1).
    pub(super) fn cloze(
        &self,
        features_pe: &Tensor,
        labels_p: &Tensor,
        uniforms_p: &Tensor,
    ) -> Cloze {
        let (table_ve, bias_v) = (&self.table_ve, self.bias_v);
        if self.compute.fuses(features_pe) && self.temperature == 1.0 {
            let features_pe = self.compute.cast(features_pe);
            let ops::Prediction { loss, losses_p, sampled_p, best_p } =
                ops::predict_tokens(&features_pe, table_ve, bias_v, labels_p, uniforms_p);
            return Cloze { loss, losses_p, sampled_p, best_p };
        }
        let logits_pv = self.compute.logits(features_pe, table_ve, bias_v);
        let losses_p =
            logits_pv.cross_entropy_loss(labels_p, None::<&Tensor>, Reduction::None, -100, 0.0);
        let logits_pv = logits_pv.detach();
        Cloze {
            loss: losses_p.sum(Kind::Float),
            losses_p: losses_p.detach(),
            sampled_p: no_grad(|| sample(&logits_pv, uniforms_p, self.temperature)),
            best_p: logits_pv.argmax(-1, false),
        }
    }
}
