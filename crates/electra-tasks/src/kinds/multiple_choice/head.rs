//! The head of multiple choice.

use crate::{
    config::HeadKind,
    head::{HeadInput, HeadNet, HeadSite, RowLosses},
    texts::layers::{SequenceLayers, rows},
};
use electra_model::init::{self, Dense};
use electra_torch::upload;
use electra_train::metrics::Observations;
use tch::{Reduction, Tensor, nn, nn::Module};

/// A logit for each choice, from its input alone; the loss of a row is the softmax cross-entropy over its choices.
///
/// Source: transformers' `ElectraForMultipleChoice`; the reference has no multiple choice.
#[derive(Debug)]
pub struct ChoiceNet {
    layers: Layers,
    choices: usize,
}

#[derive(Debug)]
enum Layers {
    /// One dense layer over the pooled input.
    Reference(SequenceLayers),
    /// Dense, gelu, dropout, dense on `[CLS]`.
    Hf { summary: nn::Linear, classifier: nn::Linear, dropout: f64 },
}

/// The prediction for a row.
#[derive(Clone, Debug, PartialEq)]
pub struct ChoicePrediction {
    /// The number of the most probable choice, the first one if there is a tie.
    pub choice: usize,
    /// The probabilities of the choices.
    pub probabilities: Vec<f32>,
}

impl ChoiceNet {
    /// The head for rows with this number of choices. Its variables are those of [`SequenceLayers::new`], or with
    /// Hugging Face's head `sequence_summary.summary.{weight,bias}` and `classifier.{weight,bias}`.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    pub fn new(site: &HeadSite<'_>, choices: usize) -> electra_model::Result<Self> {
        let HeadSite { path, encoder, config } = *site;
        let dense = |path: &nn::Path<'_>, outputs| {
            init::dense(path, encoder.hidden, outputs, Dense::Normal, &encoder.initializer)
        };
        let layers = match config.kind {
            HeadKind::Reference => Layers::Reference(SequenceLayers::new(site, 1)?),
            HeadKind::Hf => Layers::Hf {
                summary: dense(&(path / "sequence_summary" / "summary"), encoder.hidden)?,
                classifier: dense(&(path / "classifier"), 1)?,
                dropout: config.dropout,
            },
        };
        Ok(Self { layers, choices })
    }

    /// Logits `[b, 1]`, one for each input.
    fn logits(&self, x: &HeadInput<'_>) -> Tensor {
        match &self.layers {
            Layers::Reference(layers) => layers.logits(x),
            Layers::Hf { summary, classifier, dropout } => {
                let summary_bh = summary.forward(&x.hidden_bsh.select(1, 0)).gelu("none");
                classifier.forward(&summary_bh.dropout(*dropout, x.train))
            }
        }
    }
}

impl HeadNet for ChoiceNet {
    /// The number of the right choice.
    type Label = usize;
    /// The logit of a choice.
    type Output = f32;

    /// # Shapes
    /// - Outputs: the logits `[r, c]` of the choices of each row.
    fn losses(&self, x: &HeadInput<'_>, labels: &[&usize]) -> RowLosses {
        let logits_rc = self.logits(x).view([-1, self.choices as i64]);
        let labels_r = upload(&numbers(labels), logits_rc.device());
        let losses_b =
            logits_rc.cross_entropy_loss(&labels_r, None::<&Tensor>, Reduction::None, -100, 0.0);
        RowLosses { losses_b, outputs: vec![logits_rc] }
    }

    /// The accuracy.
    fn observe(&self, labels: &[&usize], outputs: &[Tensor], seen: &mut Observations) {
        if let [logits_rc] = outputs {
            let labels_r = upload(&numbers(labels), logits_rc.device());
            seen.mean("accuracy", &logits_rc.argmax(-1, false).eq_tensor(&labels_r));
        }
    }

    fn predict(&self, x: &HeadInput<'_>) -> Vec<f32> {
        rows(&self.logits(x)).concat()
    }
}

fn numbers(labels: &[&usize]) -> Tensor {
    Tensor::from_slice(&labels.iter().map(|&&label| label as i64).collect::<Vec<_>>())
}

impl ChoicePrediction {
    /// The softmax over the logits of a row's choices.
    pub fn new(logits: &[f32]) -> Self {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
        let sum: f32 = powers.iter().sum();
        let probabilities: Vec<f32> = powers.iter().map(|power| power / sum).collect();
        let numbers = (0..probabilities.len()).rev();
        let best = numbers.max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
        Self { choice: best.unwrap_or(0), probabilities }
    }
}
