//! The head of sentence tasks.

use crate::{
    head::{HeadInput, HeadNet, HeadSite, RowLosses},
    texts::layers::{SequenceLayers, rows},
};
use electra_scores::{
    Label, LabelSpace,
    sentence::{classes, values},
};
use electra_torch::upload;
use electra_train::metrics::Observations;
use tch::{Kind, Reduction, Tensor};

/// Logits of classes, or a number, over [`SequenceLayers`].
///
/// Classes: softmax cross-entropy, times the weight of the class if there are weights. A number: squared error on `(y - min) / (max - min)`, not clamped.
///
/// Source: reference `finetune/classification/classification_tasks.py`.
#[derive(Debug)]
pub struct SentenceNet {
    layers: SequenceLayers,
    space: LabelSpace,
    /// The weight of each class in the loss, `[c]`.
    weights_c: Option<Tensor>,
}

/// The prediction for one input.
#[derive(Clone, Debug, PartialEq)]
pub struct SentencePrediction {
    /// The most probable class, or the number in the units of the labels.
    pub label: Label,
    /// The probabilities of the classes; empty for a number.
    pub probabilities: Vec<f32>,
}

impl SentenceNet {
    /// The variables are those of [`SequenceLayers::new`].
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    pub fn new(site: &HeadSite<'_>, space: &LabelSpace) -> electra_model::Result<Self> {
        let layers = SequenceLayers::new(site, space.outputs())?;
        Ok(Self { layers, space: space.clone(), weights_c: None })
    }

    /// The net with a weight for each class: the loss of a row is multiplied by that of its class.
    #[must_use]
    pub fn with_weights(self, weights: Option<&[f64]>) -> Self {
        let tensor = |weights| Tensor::from_slice(weights).to_kind(Kind::Float);
        Self { weights_c: weights.map(tensor), ..self }
    }
}

impl HeadNet for SentenceNet {
    type Label = Label;
    type Output = SentencePrediction;

    /// # Shapes
    /// - Outputs: the logits `[b, c]`.
    fn losses(&self, x: &HeadInput<'_>, labels: &[&Label]) -> RowLosses {
        // For a number `[b, 1]`, on the scale from 0 to 1.
        let logits_bc = self.layers.logits(x);
        let losses_b = match self.space {
            LabelSpace::Range { min, max } => {
                let scale = |y: &f64| ((y - min) / (max - min)) as f32;
                let scaled: Vec<f32> = values(&copied(labels)).iter().map(scale).collect();
                let wanted_b = upload(&Tensor::from_slice(&scaled), logits_bc.device());
                (logits_bc.squeeze_dim(-1) - wanted_b).square()
            }
            LabelSpace::Classes(_) => {
                let labels_b = upload(&class_tensor(labels), logits_bc.device());
                let weights_c = self.weights_c.as_ref().map(|c| upload(c, logits_bc.device()));
                logits_bc.cross_entropy_loss(&labels_b, weights_c, Reduction::None, -100, 0.0)
            }
        };
        RowLosses { losses_b, outputs: vec![logits_bc] }
    }

    fn predict(&self, x: &HeadInput<'_>) -> Vec<SentencePrediction> {
        let logits_bc = self.layers.logits(x);
        match self.space {
            LabelSpace::Range { min, max } => rows(&logits_bc)
                .into_iter()
                .map(|row| {
                    let label = Label::Value(min + f64::from(row[0]) * (max - min));
                    SentencePrediction { label, probabilities: Vec::new() }
                })
                .collect(),
            LabelSpace::Classes(_) => rows(&logits_bc.softmax(-1, Kind::Float))
                .into_iter()
                .map(|probabilities| {
                    let label = Label::Class(largest(&probabilities));
                    SentencePrediction { label, probabilities }
                })
                .collect(),
        }
    }

    /// The accuracy of classes.
    fn observe(&self, labels: &[&Label], outputs: &[Tensor], seen: &mut Observations) {
        if let (LabelSpace::Classes(_), [logits_bc]) = (&self.space, outputs) {
            let labels_b = upload(&class_tensor(labels), logits_bc.device());
            seen.mean("accuracy", &logits_bc.argmax(-1, false).eq_tensor(&labels_b));
        }
    }
}

fn copied(labels: &[&Label]) -> Vec<Label> {
    labels.iter().map(|&&label| label).collect()
}

fn class_tensor(labels: &[&Label]) -> Tensor {
    let numbers: Vec<i64> = classes(&copied(labels)).iter().map(|&class| class as i64).collect();
    Tensor::from_slice(&numbers)
}

/// The index of the largest value, the first one if there is a tie.
fn largest(values: &[f32]) -> usize {
    let start = (0, f32::NEG_INFINITY);
    let better =
        |best: (usize, f32), (i, &x): (usize, &f32)| if x > best.1 { (i, x) } else { best };
    values.iter().enumerate().fold(start, better).0
}
