//! The objective: what is trained on a batch and what is measured of it.
//!
//! The training loop knows this trait and nothing of ELECTRA; replaced token detection, the paper's
//! ablations and fine-tuning tasks are objectives.

mod cloze;
mod inputs;
mod replaced_token;
mod sampling;
mod shown;

pub use replaced_token::{Outputs, ReplacedToken, ReplacedTokenConfig};
pub use sampling::sample;
pub use shown::Shown;

use crate::metrics::Observations;
use electra_data::MaskedBatch;
use electra_model::Parts;
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

/// A loss with the tensors that metrics are made from.
#[derive(Debug)]
pub struct Loss<O> {
    /// Scalar; its gradient trains the networks.
    pub total: Tensor,
    /// Whatever [`Objective::observe`] needs.
    pub outputs: O,
}

/// What is trained on a batch. Owns its networks.
pub trait Objective: Debug {
    /// What a source makes for it.
    type Batch: Batch;
    /// What a forward pass leaves for the metrics.
    type Outputs;

    /// The name that goes into manifests and checkpoints.
    fn name(&self) -> &'static str;

    /// The loss of `part`, normalised over `whole`, the step's batch that it is a part of: the
    /// gradients of the parts add up to the gradient of the whole.
    fn loss(&self, part: &Self::Batch, whole: &Normaliser, train: bool) -> Loss<Self::Outputs>;

    /// Counts that losses over `batch` are divided by.
    fn normaliser(&self, batch: &Self::Batch) -> Normaliser;

    /// Sums for the metrics of one forward pass.
    fn observe(&self, part: &Self::Batch, outputs: &Self::Outputs) -> Observations;

    /// The sequences of one forward pass, without padding, for people to look at; none by default.
    fn show(&self, _part: &Self::Batch, _outputs: &Self::Outputs) -> Vec<Vec<Shown>> {
        Vec::new()
    }
}

/// How many predictions of each kind a whole batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normaliser {
    /// Masked positions, or examples of a task.
    pub predictions: usize,
    /// Tokens that are not padding.
    pub tokens: usize,
}

/// Where an objective is being built.
#[derive(Debug)]
#[non_exhaustive]
pub struct ObjectiveSite<'a> {
    /// Root of the variables.
    pub path: nn::Path<'a>,
    /// The run's config.
    pub config: &'a crate::RunConfig,
    /// The parts that networks are built from.
    pub parts: &'a Parts,
    /// How often each token stands in the training split, by id.
    pub unigram_counts: &'a [u64],
}

impl<'a> ObjectiveSite<'a> {
    /// A place below `path`.
    pub fn new(
        path: nn::Path<'a>,
        config: &'a crate::RunConfig,
        parts: &'a Parts,
        unigram_counts: &'a [u64],
    ) -> Self {
        Self { path, config, parts, unigram_counts }
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
