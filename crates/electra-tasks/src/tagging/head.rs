//! The head of tagging: one dense layer on every token.

use super::encode::TagTarget;
use crate::{
    batch::Inputs,
    config::{HeadConfig, HeadKind},
    heads::{Head, RowLosses, rows},
};
use electra_model::{
    EncoderConfig,
    init::{self, Dense},
};
use electra_torch::upload;
use electra_train::metrics::Observations;
use tch::{Kind, Reduction, Tensor, nn, nn::Module};

/// Dropout and one dense layer on every token: the reference's head (which has no dropout) and that of transformers'
/// `ElectraForTokenClassification`, which loads either; they differ in how fresh weights are drawn.
///
/// The loss of a row is the sum of the softmax cross-entropies of its words, each on its first piece.
///
/// Source: reference `finetune/tagging/tagging_tasks.py`, `get_prediction_module`. Departures: dropout as a choice.
#[derive(Debug)]
pub struct TagHead {
    output: nn::Linear,
    dropout: f64,
}

/// What is said of a row, token by token; of padding too.
#[derive(Clone, Debug, PartialEq)]
pub struct TagPrediction {
    /// The most probable class of each token.
    pub classes: Vec<usize>,
    /// Its probability.
    pub probabilities: Vec<f32>,
}

impl TagHead {
    /// Variables `weight` and `bias` under `path`.
    ///
    /// # Errors
    /// If libtorch refuses the sizes.
    pub fn new(
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &HeadConfig,
        classes: usize,
    ) -> electra_model::Result<Self> {
        let kind = match config.kind {
            HeadKind::Reference => Dense::Glorot,
            HeadKind::Hf => Dense::Normal,
        };
        let output = init::dense(path, encoder.hidden, classes as i64, kind, &encoder.initializer)?;
        Ok(Self { output, dropout: config.dropout })
    }
}

impl Head for TagHead {
    type Target = TagTarget;
    type Prediction = TagPrediction;

    fn name(&self) -> &'static str {
        "tagging"
    }

    fn losses(
        &self,
        hidden_bsh: &Tensor,
        _inputs: &Inputs,
        targets: &[&TagTarget],
        train: bool,
    ) -> RowLosses {
        let (b, s, _) = hidden_bsh.size3().expect("hidden states have three axes");
        let (mut places, mut rows, mut classes) = (Vec::new(), Vec::new(), Vec::new());
        for (row, target) in (0i64..).zip(targets) {
            for (&place, &class) in target.places.iter().zip(&target.classes) {
                places.push(row * s + place as i64);
                rows.push(row);
                classes.push(class as i64);
            }
        }
        let device = hidden_bsh.device();
        let tensor = |values: &[i64]| upload(&Tensor::from_slice(values), device);
        let words_wh = hidden_bsh.flatten(0, 1).index_select(0, &tensor(&places));
        let logits_wc = self.output.forward(&words_wh.dropout(self.dropout, train));
        let classes_w = tensor(&classes);
        let losses_w =
            logits_wc.cross_entropy_loss(&classes_w, None::<&Tensor>, Reduction::None, -100, 0.0);
        let losses_b = Tensor::zeros([b], (losses_w.kind(), device));
        let losses_b = losses_b.index_add(0, &tensor(&rows), &losses_w);
        let right_w = logits_wc.argmax(-1, false).eq_tensor(&classes_w);
        RowLosses { losses_b, outputs: vec![right_w] }
    }

    fn predict(&self, hidden_bsh: &Tensor, _inputs: &Inputs) -> Vec<TagPrediction> {
        let logits_bsc = self.output.forward(hidden_bsh);
        let (best_bs, classes_bs) = logits_bsc.softmax(-1, Kind::Float).max_dim(-1, false);
        let classes = rows(&classes_bs.to_kind(Kind::Float));
        classes
            .into_iter()
            .zip(rows(&best_bs))
            .map(|(classes, probabilities)| {
                let classes = classes.into_iter().map(|class| class as usize).collect();
                TagPrediction { classes, probabilities }
            })
            .collect()
    }

    fn observe(&self, _targets: &[&TagTarget], outputs: &[Tensor], seen: &mut Observations) {
        if let [right_w] = outputs {
            seen.mean("accuracy", right_w);
        }
    }
}
