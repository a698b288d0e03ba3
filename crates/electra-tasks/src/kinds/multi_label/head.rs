//! The head of multi-label classification.

use crate::{
    head::{HeadInput, HeadNet, HeadSite, RowLosses},
    texts::layers::{SequenceLayers, rows},
};
use electra_torch::upload;
use electra_train::metrics::Observations;
use tch::{Kind, Reduction, Tensor};

/// A logit for each label, over [`SequenceLayers`].
///
/// The loss of a row is the mean over all labels of the sigmoid cross-entropy.
///
/// Source: transformers' `ElectraForSequenceClassification` with `problem_type = "multi_label_classification"`; the
/// reference has no multi-label tasks.
#[derive(Debug)]
pub struct MultiLabelNet {
    layers: SequenceLayers,
}

impl MultiLabelNet {
    /// The variables are those of [`SequenceLayers::new`].
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    pub fn new(site: &HeadSite<'_>, labels: usize) -> electra_model::Result<Self> {
        Ok(Self { layers: SequenceLayers::new(site, labels)? })
    }
}

impl HeadNet for MultiLabelNet {
    /// For each label, whether it holds.
    type Label = Vec<bool>;
    /// The probability of each label.
    type Output = Vec<f32>;

    /// # Shapes
    /// - Outputs: the logits `[b, c]`.
    fn losses(&self, x: &HeadInput<'_>, labels: &[&Vec<bool>]) -> RowLosses {
        let logits_bc = self.layers.logits(x);
        let targets_bc = targets(labels, &logits_bc);
        let losses_bc = logits_bc.binary_cross_entropy_with_logits::<Tensor>(
            &targets_bc,
            None,
            None,
            Reduction::None,
        );
        let losses_b = losses_bc.mean_dim(-1, false, Kind::Float);
        RowLosses { losses_b, outputs: vec![logits_bc] }
    }

    fn predict(&self, x: &HeadInput<'_>) -> Vec<Vec<f32>> {
        rows(&self.layers.logits(x).sigmoid())
    }

    /// The accuracy of single labels, at a threshold of 0.5.
    fn observe(&self, labels: &[&Vec<bool>], outputs: &[Tensor], seen: &mut Observations) {
        if let [logits_bc] = outputs {
            let labels_bc = targets(labels, logits_bc).gt(0.5);
            seen.mean("label_accuracy", &logits_bc.ge(0.0).eq_tensor(&labels_bc));
        }
    }
}

/// `[b, c]` float on the device of the logits: 1 for a label of the set, else 0.
fn targets(labels: &[&Vec<bool>], logits_bc: &Tensor) -> Tensor {
    let flags: Vec<f32> = labels.iter().copied().flatten().map(|&held| held.into()).collect();
    upload(&Tensor::from_slice(&flags), logits_bc.device()).view_as(logits_bc)
}
