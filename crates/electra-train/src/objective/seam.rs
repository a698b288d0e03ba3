//! The seam: the traits that the training loop knows.

use super::shown::Shown;
use crate::metrics::Observations;
use electra_data::MaskedBatch;
use electra_model::{ElectraConfig, Encoder, HeadKind, NetworkSpec, Parts, flops::Products};
use std::fmt::Debug;
use tch::{Tensor, nn};

/// A batch that a step can be divided into parts of.
pub trait Batch: Sized {
    /// Sequences.
    fn sequences(&self) -> usize;

    /// Tokens that are not padding.
    fn tokens(&self) -> usize;

    /// `parts` batches of whole sequences, in order, as even as possible.
    fn split(self, parts: usize) -> Vec<Self>;
}

/// What is trained on a batch. Owns its networks.
pub trait Objective: Debug {
    /// What a source makes for it.
    type Batch: Batch;

    /// The name that goes into manifests and checkpoints.
    fn name(&self) -> &str;

    /// Its networks by role; the first is the one that is kept and fine-tuned. Export, `init.from`, FLOPs, memory and the
    /// model card go by them. None by default: fine-tuned models have files of their own.
    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        Vec::new()
    }

    /// The optimizer steps of one update, in their order; by default one, of all variables.
    fn phases(&self) -> Vec<Phase> {
        vec![Phase::of_all()]
    }

    /// Counts that losses over `batch` are divided by.
    fn normaliser(&self, batch: &Self::Batch) -> Normaliser;

    /// A pass over `part`, whose losses are normalised over `whole`, the step's batch that it is a part of: the gradients
    /// of the parts add up to the gradient of the whole. What the pass keeps of one phase for the next is its own.
    fn pass<'a>(
        &'a self,
        part: &'a Self::Batch,
        whole: &Normaliser,
        train: bool,
    ) -> Box<dyn Pass + 'a>;

    /// The parts of an update that a profile times, in the order in which they run; none by default.
    fn stages(&self) -> &'static [Stage] {
        &[]
    }
}

/// A pass over a batch of its own through all phases, without dropout and without optimizer steps, to look at.
pub fn measured<'a, B: Batch>(
    objective: &'a dyn Objective<Batch = B>,
    batch: &'a B,
    whole: &Normaliser,
) -> Box<dyn Pass + 'a> {
    let mut pass = objective.pass(batch, whole, false);
    (0..objective.phases().len()).for_each(|phase| drop(pass.loss(phase)));
    pass
}

/// A pass over one part of a batch.
pub trait Pass {
    /// The scalar loss of a phase, counted from 0; its gradient trains the phase's variables. Asked once for each phase, in
    /// order; the optimizer steps in between.
    fn loss(&mut self, phase: usize) -> Tensor;

    /// Sums for the metrics, after the last phase.
    fn observe(&self) -> Observations;

    /// The sequences of the part, without padding, for people to look at; none by default.
    fn show(&self) -> Vec<Vec<Shown>> {
        Vec::new()
    }
}

/// One optimizer step of an update: a loss, the variables that it trains, and their clipping norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// For messages.
    pub name: &'static str,
    /// Prefixes of the names of the variables that it trains; all variables where there is none. Every variable is
    /// trained by one phase.
    pub variables: &'static [&'static str],
}

impl Phase {
    /// The one phase of an objective that has one.
    pub fn of_all() -> Self {
        Self { name: "update", variables: &[] }
    }

    /// Whether it trains a variable.
    pub fn trains(&self, variable: &str) -> bool {
        self.variables.is_empty()
            || self.variables.iter().any(|prefix| variable.starts_with(prefix))
    }
}

/// A network of an objective.
#[derive(Clone, Copy, Debug)]
pub struct TrainedNetwork<'a> {
    /// Its role, which its variables' names begin with.
    pub role: &'static str,
    /// Its embeddings and transformer.
    pub encoder: &'a Encoder,
    /// Its head.
    pub head: HeadKind,
}

impl<'a> TrainedNetwork<'a> {
    /// For those who count what it costs.
    pub fn spec(&self) -> NetworkSpec<'a> {
        NetworkSpec { role: self.role, config: self.encoder.config(), head: self.head }
    }
}

/// A part of an update that a profile times.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// The name of its `tracing` span.
    pub span: &'static str,
    /// For people.
    pub label: &'static str,
    /// Its matrix products, of those of a forward pass of each of [`Objective::networks`].
    pub products: fn(&[Products]) -> f64,
}

/// How many predictions of each kind a whole batch has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Normaliser {
    /// Masked positions, or examples of a task.
    pub predictions: usize,
    /// Tokens that are not padding.
    pub tokens: usize,
}

impl std::ops::Add for Normaliser {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            predictions: self.predictions + other.predictions,
            tokens: self.tokens + other.tokens,
        }
    }
}

/// Where an objective is being built.
#[derive(Debug)]
#[non_exhaustive]
pub struct ObjectiveSite<'a> {
    /// Root of the variables.
    pub path: nn::Path<'a>,
    /// The networks to build.
    pub model: &'a ElectraConfig,
    /// The parts that they are built from.
    pub parts: &'a Parts,
    /// How often each token occurs in the training split, by id.
    pub unigram_counts: &'a [u64],
}

impl<'a> ObjectiveSite<'a> {
    /// A place below `path`.
    pub fn new(
        path: nn::Path<'a>,
        model: &'a ElectraConfig,
        parts: &'a Parts,
        unigram_counts: &'a [u64],
    ) -> Self {
        Self { path, model, parts, unigram_counts }
    }
}

impl Batch for MaskedBatch {
    fn sequences(&self) -> usize {
        self.batch
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn split(self, parts: usize) -> Vec<Self> {
        match parts {
            1 => vec![self],
            _ => Self::split(&self, parts),
        }
    }
}
