//! The head of multi-label classification: a logit for each label.

use crate::{
    batch::Inputs,
    config::HeadConfig,
    heads::{Head, RowLosses, SentenceLayers, rows},
};
use electra_model::EncoderConfig;
use electra_torch::upload;
use electra_train::metrics::Observations;
use tch::{Kind, Reduction, Tensor, nn};

/// A logit for each label over the layers of [`crate::heads::SentenceHead`].
///
/// The loss of a row is the mean over labels of the sigmoid cross-entropy: of all labels alike, whether they hold or not.
///
/// Source: transformers' `ElectraForSequenceClassification` with `problem_type = "multi_label_classification"`; the
/// reference has no such task.
#[derive(Debug)]
pub struct MultiLabelHead {
    layers: SentenceLayers,
}

impl MultiLabelHead {
    /// Variables as [`crate::heads::SentenceHead::new`] has them, for so many labels.
    ///
    /// # Errors
    /// If libtorch refuses the sizes.
    pub fn new(
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &HeadConfig,
        labels: usize,
    ) -> electra_model::Result<Self> {
        Ok(Self { layers: SentenceLayers::new(path, encoder, config, labels)? })
    }
}

impl Head for MultiLabelHead {
    /// Whether each label holds.
    type Target = Vec<bool>;
    /// The probability of each label.
    type Prediction = Vec<f32>;

    fn name(&self) -> &'static str {
        "multi-label"
    }

    fn losses(
        &self,
        hidden_bsh: &Tensor,
        inputs: &Inputs,
        targets: &[&Vec<bool>],
        train: bool,
    ) -> RowLosses {
        let logits_bc = self.layers.logits(hidden_bsh, inputs.encoder.mask(), train);
        let wanted_bc = wanted(targets, &logits_bc);
        let losses_bc = logits_bc.binary_cross_entropy_with_logits::<Tensor>(
            &wanted_bc,
            None,
            None,
            Reduction::None,
        );
        let losses_b = losses_bc.mean_dim(-1, false, Kind::Float);
        RowLosses { losses_b, outputs: vec![logits_bc] }
    }

    fn predict(&self, hidden_bsh: &Tensor, inputs: &Inputs) -> Vec<Vec<f32>> {
        rows(&self.layers.logits(hidden_bsh, inputs.encoder.mask(), false).sigmoid())
    }

    /// The share of labels of which it is said right whether they hold, at a threshold of 0.5.
    fn observe(&self, targets: &[&Vec<bool>], outputs: &[Tensor], seen: &mut Observations) {
        if let [logits_bc] = outputs {
            let held_bc = wanted(targets, logits_bc).gt(0.5);
            seen.mean("label_accuracy", &logits_bc.ge(0.0).eq_tensor(&held_bc));
        }
    }
}

/// `[b, c]` float, where the logits are: 1 where a label holds, else 0.
fn wanted(targets: &[&Vec<bool>], logits_bc: &Tensor) -> Tensor {
    let flags: Vec<f32> = targets.iter().copied().flatten().map(|&held| held.into()).collect();
    upload(&Tensor::from_slice(&flags), logits_bc.device()).view_as(logits_bc)
}
