//! What stands on the encoder for a task: the seam, and the head of sentence tasks.

use crate::{
    batch::Inputs,
    config::{HeadConfig, HeadKind, Pooling},
    task::{Answers, Target, classes, values},
};
use electra_model::{
    EncoderConfig, PaddingMask,
    init::{self, Dense},
};
use electra_torch::upload;
use electra_train::metrics::Observations;
use std::fmt::Debug;
use tch::{Kind, Reduction, Tensor, nn, nn::Module};

/// The losses of a batch, row by row, with what metrics are made from.
#[derive(Debug)]
pub struct RowLosses {
    /// `[b]` float.
    pub losses_b: Tensor,
    /// Whatever [`Head::observe`] needs.
    pub outputs: Vec<Tensor>,
}

/// Turns hidden states into losses and predictions. Classes, spans and tags are heads.
pub trait Head: Debug + Send {
    /// What it learns from, for one row.
    type Target: Debug;
    /// What it says of one row.
    type Prediction;

    /// The name that goes into manifests and checkpoints.
    fn name(&self) -> &'static str;

    /// # Shapes
    /// - `hidden_bsh`: `[b, s, h]`, zeros or anything at padding; `targets`: `b` of them. Losses: `[b]`.
    fn losses(
        &self,
        hidden_bsh: &Tensor,
        inputs: &Inputs,
        targets: &[&Self::Target],
        train: bool,
    ) -> RowLosses;

    /// # Shapes
    /// - `hidden_bsh`: `[b, s, h]`. Result: `b` predictions.
    fn predict(&self, hidden_bsh: &Tensor, inputs: &Inputs) -> Vec<Self::Prediction>;

    /// Adds the head's own metrics to those of a pass; the loss is there already.
    fn observe(&self, targets: &[&Self::Target], outputs: &[Tensor], seen: &mut Observations);
}

/// One dense layer over the vector of the whole input, or Hugging Face's two.
///
/// Classes: softmax cross-entropy. A number: squared error on `(y - min) / (max - min)`, not clamped.
///
/// Source: reference `finetune/classification/classification_tasks.py`; transformers'
/// `ElectraClassificationHead`. Departures: mean pooling as a choice.
#[derive(Debug)]
pub struct SentenceHead {
    layers: SentenceLayers,
    answers: Answers,
}

/// The layers of heads on the whole input, whatever their logits mean.
#[derive(Debug)]
pub(crate) struct SentenceLayers {
    hidden: Option<nn::Linear>,
    output: nn::Linear,
    config: HeadConfig,
}

/// What a [`SentenceHead`] says of one input.
#[derive(Clone, Debug, PartialEq)]
pub struct SentencePrediction {
    /// The most probable class, or the number in the labels' own units.
    pub answer: Target,
    /// Probabilities of the classes; empty for a number.
    pub probabilities: Vec<f32>,
}

impl SentenceHead {
    /// Variables `weight` and `bias` under `path`; for Hugging Face's `{dense,out_proj}.{weight,bias}`.
    ///
    /// # Errors
    /// If libtorch refuses the sizes.
    pub fn new(
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &HeadConfig,
        answers: &Answers,
    ) -> electra_model::Result<Self> {
        let layers = SentenceLayers::new(path, encoder, config, answers.outputs())?;
        Ok(Self { layers, answers: answers.clone() })
    }
}

impl SentenceLayers {
    /// Layers to so many logits, with the variables of [`SentenceHead::new`].
    pub(crate) fn new(
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &HeadConfig,
        outputs: usize,
    ) -> electra_model::Result<Self> {
        let (h, outputs) = (encoder.hidden, outputs as i64);
        let dense = |path: &nn::Path<'_>, outputs, kind| {
            init::dense(path, h, outputs, kind, &encoder.initializer)
        };
        let (hidden, output) = match config.kind {
            HeadKind::Reference => (None, dense(path, outputs, Dense::Glorot)?),
            HeadKind::Hf => {
                let hidden = dense(&(path / "dense"), h, Dense::Normal)?;
                (Some(hidden), dense(&(path / "out_proj"), outputs, Dense::Normal)?)
            }
        };
        Ok(Self { hidden, output, config: config.clone() })
    }

    /// Logits `[b, c]` of hidden states `[b, s, h]`.
    pub(crate) fn logits(&self, hidden_bsh: &Tensor, mask: &PaddingMask, train: bool) -> Tensor {
        let sentence_bh = match self.config.pooling {
            Pooling::First => hidden_bsh.select(1, 0),
            Pooling::Mean => {
                let keep_bs1 = mask.keep_bs().unsqueeze(-1);
                let sum_bh = (hidden_bsh * &keep_bs1).sum_dim_intlist(1, false, Kind::Float);
                sum_bh / keep_bs1.sum_dim_intlist(1, false, Kind::Float)
            }
        };
        let mut x_bh = sentence_bh.dropout(self.config.dropout, train);
        if let Some(hidden) = &self.hidden {
            x_bh = hidden.forward(&x_bh).gelu("none").dropout(self.config.dropout, train);
        }
        self.output.forward(&x_bh)
    }
}

impl Head for SentenceHead {
    type Target = Target;
    type Prediction = SentencePrediction;

    fn name(&self) -> &'static str {
        match self.answers {
            Answers::Classes(_) => "classification",
            Answers::Range { .. } => "regression",
        }
    }

    fn losses(
        &self,
        hidden_bsh: &Tensor,
        inputs: &Inputs,
        targets: &[&Target],
        train: bool,
    ) -> RowLosses {
        // Of a number `[b, 1]`, on the scale of 0 to 1.
        let logits_bc = self.layers.logits(hidden_bsh, inputs.encoder.mask(), train);
        let losses_b = match self.answers {
            Answers::Classes(_) => {
                let labels_b = upload(&class_tensor(targets), logits_bc.device());
                logits_bc.cross_entropy_loss(&labels_b, None::<&Tensor>, Reduction::None, -100, 0.0)
            }
            Answers::Range { min, max } => {
                let scaled: Vec<f32> = values(&owned(targets))
                    .iter()
                    .map(|y| ((y - min) / (max - min)) as f32)
                    .collect();
                let wanted_b = upload(&Tensor::from_slice(&scaled), logits_bc.device());
                (logits_bc.squeeze_dim(-1) - wanted_b).square()
            }
        };
        RowLosses { losses_b, outputs: vec![logits_bc] }
    }

    fn predict(&self, hidden_bsh: &Tensor, inputs: &Inputs) -> Vec<SentencePrediction> {
        let logits_bc = self.layers.logits(hidden_bsh, inputs.encoder.mask(), false);
        match self.answers {
            Answers::Classes(_) => rows(&logits_bc.softmax(-1, Kind::Float))
                .into_iter()
                .map(|probabilities| {
                    let answer = Target::Class(largest(&probabilities));
                    SentencePrediction { answer, probabilities }
                })
                .collect(),
            Answers::Range { min, max } => rows(&logits_bc)
                .into_iter()
                .map(|row| {
                    let answer = Target::Value(min + f64::from(row[0]) * (max - min));
                    SentencePrediction { answer, probabilities: Vec::new() }
                })
                .collect(),
        }
    }

    fn observe(&self, targets: &[&Target], outputs: &[Tensor], seen: &mut Observations) {
        if let (Answers::Classes(_), [logits_bc]) = (&self.answers, outputs) {
            let labels_b = upload(&class_tensor(targets), logits_bc.device());
            seen.mean("accuracy", &logits_bc.argmax(-1, false).eq_tensor(&labels_b));
        }
    }
}

fn owned(targets: &[&Target]) -> Vec<Target> {
    targets.iter().map(|&&target| target).collect()
}

fn class_tensor(targets: &[&Target]) -> Tensor {
    let numbers: Vec<i64> = classes(&owned(targets)).iter().map(|&class| class as i64).collect();
    Tensor::from_slice(&numbers)
}

/// Index of the largest value, the first of equals.
fn largest(values: &[f32]) -> usize {
    let start = (0, f32::NEG_INFINITY);
    let better =
        |best: (usize, f32), (i, &x): (usize, &f32)| if x > best.1 { (i, x) } else { best };
    values.iter().enumerate().fold(start, better).0
}

/// The rows of a `[b, c]` float tensor.
pub(crate) fn rows(tensor_bc: &Tensor) -> Vec<Vec<f32>> {
    let flat = tensor_bc.to_device(tch::Device::Cpu).contiguous().flatten(0, -1);
    let mut values = vec![0.0f32; flat.numel()];
    let count = values.len();
    flat.copy_data(&mut values, count);
    let width = tensor_bc.size()[1].max(1) as usize;
    values.chunks(width).map(<[f32]>::to_vec).collect()
}
