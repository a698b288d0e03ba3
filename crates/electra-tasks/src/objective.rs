//! Fine-tuning as an objective: an encoder, a head, and the rates of their layers.

use crate::{
    Result,
    batch::{Feature, TaskBatch, chunks},
    config::LossReduction,
    heads::{Head, RowLosses},
};
use electra_model::{Encoder, EncoderConfig, Parts};
use electra_train::{
    metrics::Observations,
    objective::{Batch, Normaliser, Objective, Pass},
    optim::{Decay, Rule},
};
use std::sync::{Arc, Mutex, PoisonError};
use tch::{Device, Kind, Tensor, nn, no_grad};

/// Where an encoder's variables are, as in Hugging Face's folders.
const ENCODER: &str = "electra";
/// Where a head's variables are.
pub const HEAD: &str = "task_head";

/// An encoder with a task's head. Variables: `electra.*` and `task_head.*`.
#[derive(Debug)]
pub struct TaskNetwork<H> {
    body: Body,
    head: H,
}

/// An encoder, whatever stands on it.
#[derive(Debug)]
pub struct Body {
    encoder: Encoder,
    pad: u32,
    device: Device,
}

/// An encoder and a head on it that answers: a network's own, or one of several.
#[derive(Debug)]
pub struct Answering<'a, H> {
    /// The encoder.
    pub body: &'a Body,
    /// The head.
    pub head: &'a H,
}

impl<H: Head> TaskNetwork<H> {
    /// A network with fresh weights; `pad` is the vocabulary's `[PAD]`.
    ///
    /// # Errors
    /// If a part or the head cannot be built.
    pub fn new(
        root: &nn::Path<'_>,
        config: &EncoderConfig,
        parts: &Parts,
        pad: u32,
        head: impl FnOnce(&nn::Path<'_>) -> electra_model::Result<H>,
    ) -> Result<Self> {
        let path = root / ENCODER;
        let encoder = Encoder::alone(&path, config, parts)?;
        let head = head(&(root / HEAD))?;
        Ok(Self { body: Body { encoder, pad, device: root.device() }, head })
    }

    /// The head.
    pub fn head(&self) -> &H {
        &self.head
    }

    /// The network as it answers.
    pub fn answering(&self) -> Answering<'_, H> {
        Answering { body: &self.body, head: &self.head }
    }

    /// [`Answering::predict`].
    pub fn predict<T>(
        &self,
        features: &[Arc<Feature<T>>],
        batch_size: usize,
    ) -> Vec<H::Prediction> {
        self.answering().predict(features, batch_size)
    }
}

impl<H: Head> Answering<'_, H> {
    /// What the head says of each feature, in their order; batches are made by length.
    pub fn predict<T>(
        &self,
        features: &[Arc<Feature<T>>],
        batch_size: usize,
    ) -> Vec<H::Prediction> {
        let Body { encoder, pad, device } = self.body;
        let mut order: Vec<usize> = (0..features.len()).collect();
        order.sort_by_key(|&i| features[i].ids.len());
        let mut predictions: Vec<Option<H::Prediction>> = features.iter().map(|_| None).collect();
        for places in chunks(order.len(), batch_size) {
            let places = &order[places];
            let rows = places.iter().map(|&i| Arc::clone(&features[i])).collect();
            let inputs = TaskBatch::new(rows).inputs(*pad, *device);
            let answers = no_grad(|| {
                let hidden_bsh = encoder.forward_t(&inputs.encoder, false);
                self.head.predict(&hidden_bsh, &inputs)
            });
            for (&place, answer) in places.iter().zip(answers) {
                predictions[place] = Some(answer);
            }
        }
        predictions.into_iter().flatten().collect()
    }
}

/// A network that threads share: it uses all of libtorch's threads and computes for one caller at a time.
///
/// libtorch's tensors may be handed from thread to thread, not looked at by several; parts from outside may hold anything.
#[derive(Debug)]
pub(crate) struct SharedNetwork<H>(Mutex<TaskNetwork<H>>);

impl<H: Head> SharedNetwork<H> {
    pub(crate) fn new(network: TaskNetwork<H>) -> Self {
        Self(Mutex::new(network))
    }

    /// [`Answering::predict`]; a batch has one feature at least.
    pub(crate) fn predict<T>(
        &self,
        features: &[Arc<Feature<T>>],
        batch_size: usize,
    ) -> Vec<H::Prediction> {
        // A thread that panicked has changed nothing in it.
        let network = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        network.predict(features, batch_size.max(1))
    }
}

/// The losses of a task over its network.
#[derive(Debug)]
pub struct Finetuning<H> {
    network: TaskNetwork<H>,
    reduction: LossReduction,
}

/// A forward pass, and what it leaves for the metrics.
struct TaskPass<'a, H: Head> {
    head: &'a H,
    part: &'a TaskBatch<H::Target>,
    loss: Tensor,
    losses_b: Tensor,
    outputs: Vec<Tensor>,
}

impl<H: Head> Finetuning<H> {
    /// The objective of training `network`.
    pub fn new(network: TaskNetwork<H>, reduction: LossReduction) -> Self {
        Self { network, reduction }
    }

    /// The network as it answers.
    pub fn network(&self) -> Answering<'_, H> {
        self.network.answering()
    }
}

impl<H: Head> Objective for Finetuning<H> {
    type Batch = TaskBatch<H::Target>;

    fn name(&self) -> &str {
        self.network.head.name()
    }

    fn normaliser(&self, batch: &Self::Batch) -> Normaliser {
        Normaliser { predictions: batch.sequences(), tokens: batch.tokens() }
    }

    fn pass<'a>(
        &'a self,
        part: &'a Self::Batch,
        whole: &Normaliser,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let TaskNetwork { body: Body { encoder, pad, device }, head } = &self.network;
        let inputs = part.inputs(*pad, *device);
        let hidden_bsh = encoder.forward_t(&inputs.encoder, train);
        let RowLosses { losses_b, outputs } =
            head.losses(&hidden_bsh, &inputs, &part.targets(), train);
        let sum = losses_b.sum(Kind::Float);
        let loss = match self.reduction {
            LossReduction::Sum => sum,
            LossReduction::Mean => sum / whole.predictions as f64,
        };
        Box::new(TaskPass { head, part, loss, losses_b, outputs })
    }
}

impl<H: Head> Pass for TaskPass<'_, H> {
    fn loss(&mut self, _phase: usize) -> Tensor {
        self.loss.shallow_clone()
    }

    fn observe(&self) -> Observations {
        let mut seen = Observations::default();
        seen.mean("loss", &self.losses_b);
        self.head.observe(&self.part.targets(), &self.outputs, &mut seen);
        seen
    }
}

/// How a variable is updated: `layer_decay^(L + 2 - depth)` times the learning rate, where the
/// embeddings and their projection have depth 0, layer `i` (from 0) `i + 1`, and the head `L + 2`.
///
/// So the head learns at the full rate and the top layer at `layer_decay^2` of it: no variable has
/// depth `L + 1`, as in the reference.
///
/// Source: reference `model/optimization.py`, `_get_layer_lrs`. Departures: none.
pub fn layer_rule(name: &str, layers: i64, layer_decay: f64) -> Rule {
    let exponent = layers + 2 - depth(name, layers);
    Rule { decay: Decay::of(name), rate: layer_decay.powi(exponent as i32) }
}

/// Depth of a variable: see [`layer_rule`].
fn depth(name: &str, layers: i64) -> i64 {
    let Some(rest) = name.strip_prefix("electra.") else {
        return layers + 2;
    };
    let layer = rest
        .strip_prefix("encoder.layer.")
        .and_then(|rest| rest.split('.').next()?.parse::<i64>().ok());
    layer.map_or(0, |layer| layer + 1)
}
