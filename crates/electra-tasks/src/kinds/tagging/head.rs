//! The head of tagging.

use super::encode::WordPositions;
use crate::{
    config::HeadKind,
    head::{HeadInput, HeadNet, HeadSite, RowLosses},
    texts::layers::rows,
};
use electra_model::init::{self, Dense};
use electra_torch::upload;
use electra_train::metrics::Observations;
use tch::{Kind, Reduction, Tensor, nn, nn::Module};

/// Dropout and one dense layer on every token: the reference's head (which has no dropout) and that of transformers'
/// `ElectraForTokenClassification`, which loads either; they differ in the initialization only.
///
/// The loss of a row is the sum of the softmax cross-entropies of its words, each on its first piece.
///
/// Source: reference `finetune/tagging/tagging_tasks.py`, `get_prediction_module`. Departures: optional dropout.
#[derive(Debug)]
pub struct TagNet {
    output: nn::Linear,
    dropout: f64,
}

/// The output for a row, token by token, padding included.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenPredictions {
    /// The most probable class of each token.
    pub classes: Vec<usize>,
    /// Its probability.
    pub probabilities: Vec<f32>,
}

impl TagNet {
    /// Variables `weight` and `bias`.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    pub fn new(site: &HeadSite<'_>, classes: usize) -> electra_model::Result<Self> {
        let HeadSite { path, encoder, config } = *site;
        let kind = match config.kind {
            HeadKind::Reference => Dense::Glorot,
            HeadKind::Hf => Dense::Normal,
        };
        let output = init::dense(path, encoder.hidden, classes as i64, kind, &encoder.initializer)?;
        Ok(Self { output, dropout: config.dropout })
    }
}

impl HeadNet for TagNet {
    type Label = WordPositions;
    type Output = TokenPredictions;

    /// # Shapes
    /// - Outputs: whether the prediction for each word is correct, `[w]`.
    fn losses(&self, x: &HeadInput<'_>, words: &[&WordPositions]) -> RowLosses {
        let HeadInput { hidden_bsh, train, .. } = *x;
        let (b, s, _) = hidden_bsh.size3().expect("hidden states have three axes");
        let (mut positions, mut rows, mut classes) = (Vec::new(), Vec::new(), Vec::new());
        for (row, words) in (0i64..).zip(words) {
            for (&position, &class) in words.positions.iter().zip(&words.classes) {
                positions.push(row * s + position as i64);
                rows.push(row);
                classes.push(class as i64);
            }
        }
        let device = hidden_bsh.device();
        let tensor = |values: &[i64]| upload(&Tensor::from_slice(values), device);
        let words_wh = hidden_bsh.flatten(0, 1).index_select(0, &tensor(&positions));
        let logits_wc = self.output.forward(&words_wh.dropout(self.dropout, train));
        let classes_w = tensor(&classes);
        let losses_w =
            logits_wc.cross_entropy_loss(&classes_w, None::<&Tensor>, Reduction::None, -100, 0.0);
        let losses_b = Tensor::zeros([b], (losses_w.kind(), device));
        let losses_b = losses_b.index_add(0, &tensor(&rows), &losses_w);
        let correct_w = logits_wc.argmax(-1, false).eq_tensor(&classes_w);
        RowLosses { losses_b, outputs: vec![correct_w] }
    }

    fn observe(&self, _words: &[&WordPositions], outputs: &[Tensor], seen: &mut Observations) {
        if let [correct_w] = outputs {
            seen.mean("accuracy", correct_w);
        }
    }

    fn predict(&self, x: &HeadInput<'_>) -> Vec<TokenPredictions> {
        let logits_bsc = self.output.forward(x.hidden_bsh);
        let (best_bs, classes_bs) = logits_bsc.softmax(-1, Kind::Float).max_dim(-1, false);
        let classes = rows(&classes_bs.to_kind(Kind::Float));
        classes
            .into_iter()
            .zip(rows(&best_bs))
            .map(|(classes, probabilities)| {
                let classes = classes.into_iter().map(|class| class as usize).collect();
                TokenPredictions { classes, probabilities }
            })
            .collect()
    }
}
