//! The objective of fine-tuning: an encoder, a task's head, and the learning rates of their layers.

use crate::{
    batch::TaskBatch,
    body::{Body, HEAD},
    config::LossReduction,
    head::{HeadInput, RowLosses},
    split::Split,
    task::{Answers, TaskHead},
};
use electra_model::{EncoderConfig, Parts};
use electra_train::{
    metrics::Observations,
    objective::{LossCounts, Objective, Pass},
    optim::{Decay, Rule},
};
use tch::{Kind, Tensor, nn};

/// An encoder with a task's head. Variables: `electra.*` and `task_head.*`.
#[derive(Debug)]
pub struct Finetuning {
    body: Body,
    head: Box<dyn TaskHead>,
    reduction: LossReduction,
}

/// A forward pass with its loss and the tensors for the metrics.
struct TaskPass<'a> {
    head: &'a dyn TaskHead,
    part: &'a TaskBatch,
    loss: Tensor,
    losses_b: Tensor,
    outputs: Vec<Tensor>,
}

impl Finetuning {
    /// A network with fresh weights; `pad` is the vocabulary's `[PAD]`.
    ///
    /// # Errors
    /// If a part or the head cannot be built.
    pub fn new(
        root: &nn::Path<'_>,
        config: &EncoderConfig,
        parts: &Parts,
        pad: u32,
        reduction: LossReduction,
        head: impl FnOnce(&nn::Path<'_>) -> electra_model::Result<Box<dyn TaskHead>>,
    ) -> electra_model::Result<Self> {
        let body = Body::new(root, config, parts, pad)?;
        Ok(Self { body, head: head(&(root / HEAD))?, reduction })
    }

    /// The answers for a split.
    pub fn answers(&self, split: &Split, batch_size: usize) -> Box<dyn Answers> {
        self.head.answers(&self.body, split, batch_size)
    }
}

impl Objective for Finetuning {
    type Batch = TaskBatch;

    fn name(&self) -> &str {
        self.head.name()
    }

    fn pass<'a>(
        &'a self,
        part: &'a TaskBatch,
        whole: &LossCounts,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let batch = self.body.tensors(&part.inputs());
        let hidden_bsh = self.body.forward_t(&batch, train);
        let x = HeadInput { hidden_bsh: &hidden_bsh, batch: &batch, train };
        let RowLosses { losses_b, outputs } = self.head.losses(&x, part.examples());
        let sum = losses_b.sum(Kind::Float);
        let loss = match self.reduction {
            LossReduction::Sum => sum,
            LossReduction::Mean => sum / whole.predictions as f64,
        };
        Box::new(TaskPass { head: &*self.head, part, loss, losses_b, outputs })
    }
}

impl Pass for TaskPass<'_> {
    fn loss(&mut self, _phase: usize) -> Tensor {
        self.loss.shallow_clone()
    }

    fn observe(&self) -> Observations {
        let mut seen = Observations::default();
        seen.mean("loss", &self.losses_b);
        self.head.observe(self.part.examples(), &self.outputs, &mut seen);
        seen
    }
}

/// The update rule of a variable: its learning rate is multiplied by `layer_decay^(L + 2 - depth)`, where the
/// embeddings and their projection have depth 0, layer `i` (from 0) has depth `i + 1`, and the head `L + 2`.
///
/// The head's factor is 1 and the top layer's `layer_decay^2`: no variable has depth `L + 1`, as in the reference.
///
/// Source: reference `model/optimization.py`, `_get_layer_lrs`. Departures: none.
pub fn layer_rule(name: &str, layers: i64, layer_decay: f64) -> Rule {
    let exponent = layers + 2 - depth(name, layers);
    Rule { decay: Decay::of(name), rate: layer_decay.powi(exponent as i32) }
}

/// The depth of a variable in [`layer_rule`].
fn depth(name: &str, layers: i64) -> i64 {
    let Some(rest) = name.strip_prefix("electra.") else {
        return layers + 2;
    };
    let layer = rest
        .strip_prefix("encoder.layer.")
        .and_then(|rest| rest.split('.').next()?.parse::<i64>().ok());
    layer.map_or(0, |layer| layer + 1)
}
