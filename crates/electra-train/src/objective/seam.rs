//! The traits between objectives and the training loop.

use super::token_prediction::TokenPrediction;
use crate::{
    error::{Error, Result},
    metrics::Observations,
};
use electra_data::MaskedBatch;
use electra_files::Settings;
use electra_model::{
    Discriminator, ElectraConfig, Encoder, Generator, HeadKind, Network, NetworkSpec, Parts,
    PretrainingHead, flops::Products, tensors::Named,
};
use serde::de::DeserializeOwned;
use std::{fmt::Debug, ops::Range};
use tch::{Tensor, nn};

/// A batch that can be split for gradient accumulation.
pub trait Batch: Sized {
    /// Number of sequences.
    fn sequences(&self) -> usize;

    /// Number of tokens without padding.
    fn tokens(&self) -> usize;

    /// The counts that losses are divided by.
    fn loss_counts(&self) -> LossCounts;

    /// Splits into `parts` batches of whole sequences, in order, as even as possible.
    fn split(self, parts: usize) -> Vec<Self>;
}

/// A training objective. Owns its networks.
pub trait Objective: Debug {
    /// Its input, produced by a [`crate::trainer::Source`].
    type Batch: Batch;

    /// The name recorded in manifests and checkpoints.
    fn name(&self) -> &str;

    /// Its networks by role; the first is the one to fine-tune. Export, `init.from`, FLOPs, memory and the model card use
    /// them. Empty by default, for fine-tuned models, which have their own files.
    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        Vec::new()
    }

    /// The network that detects replaced tokens, for `evaluate.reference`; none by default. Its logits are those of
    /// "replaced".
    fn discriminator(&self) -> Option<&Discriminator> {
        None
    }

    /// The optimizer steps of one update, in order; by default one for all variables.
    fn phases(&self) -> Vec<Phase> {
        vec![Phase::of_all()]
    }

    /// Called before the first update of a phase that does not start with the run; `variables` are all variables.
    ///
    /// # Errors
    /// If the phase cannot start.
    fn begin_phase(&self, _phase: usize, _variables: &Named) -> Result<()> {
        Ok(())
    }

    /// The counts that losses over `batch` are divided by.
    fn loss_counts(&self, batch: &Self::Batch) -> LossCounts {
        batch.loss_counts()
    }

    /// A pass over `part`, with losses normalized by `whole`, the counts of the update's batch, so that the gradients of
    /// the parts add up to the gradient of the batch. A pass may keep results of one phase for the next.
    fn pass<'a>(
        &'a self,
        part: &'a Self::Batch,
        whole: &LossCounts,
        train: bool,
    ) -> Box<dyn Pass + 'a>;

    /// The stages of an update that a profile times, in execution order; none by default.
    fn stages(&self) -> &'static [Stage] {
        &[]
    }
}

/// A pass over a batch through all phases, without dropout and optimizer steps, for evaluation.
pub fn evaluation_pass<'a, B: Batch>(
    objective: &'a dyn Objective<Batch = B>,
    batch: &'a B,
    whole: &LossCounts,
) -> Box<dyn Pass + 'a> {
    let mut pass = objective.pass(batch, whole, false);
    (0..objective.phases().len()).for_each(|phase| drop(pass.loss(phase)));
    pass
}

/// A pass over one part of a batch.
pub trait Pass {
    /// The scalar loss of a phase, counted from 0; its gradient trains the phase's variables. Called once for each phase that
    /// is active, in order, with optimizer steps in between.
    fn loss(&mut self, phase: usize) -> Tensor;

    /// The parts that the loss is a weighted sum of, by name, after the last phase; none by default.
    fn parts(&self) -> Vec<(&'static str, Tensor)> {
        Vec::new()
    }

    /// The contribution to the metrics, after the last phase.
    fn observe(&self) -> Observations;

    /// The sequences of the part, without padding, for the report; none by default.
    fn token_predictions(&self) -> Vec<Vec<TokenPrediction>> {
        Vec::new()
    }
}

/// One optimizer step of an update: a loss, the variables that it trains, and their gradient norm for clipping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    /// Name for messages.
    pub name: &'static str,
    /// Name prefixes of the variables that it trains; all variables if empty. Every variable belongs to exactly one phase.
    pub variables: &'static [&'static str],
    /// The start and the end of its share of the run, as fractions of the number of updates. Outside of it the loss is not
    /// computed and the variables do not change. Within it the learning rate goes through the whole schedule.
    pub share: (f64, f64),
}

impl Phase {
    /// A phase of every update that trains all variables.
    pub fn of_all() -> Self {
        Self { name: "update", variables: &[], share: (0.0, 1.0) }
    }

    /// The updates of its share, of `total`.
    pub fn steps(&self, total: u64) -> Range<u64> {
        let step = |share: f64| (share * total as f64).round() as u64;
        step(self.share.0)..step(self.share.1)
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
    /// Its role, which is the prefix of its variables' names.
    pub role: &'static str,
    /// The encoder.
    pub encoder: &'a Encoder,
    /// The kind of its head.
    pub head: HeadKind,
    /// Its FLOPs as a share of those of training in every update.
    pub share: f64,
    /// A sentence about it for the model card.
    pub about: &'static str,
}

impl<'a> TrainedNetwork<'a> {
    /// The sentence about a network that is exported without its head.
    pub(crate) const WITHOUT_HEAD: &'static str =
        "An encoder for fine-tuning, without its pre-training head.";

    /// A network with a pre-training head.
    pub fn of<H: PretrainingHead>(role: &'static str, network: &'a Network<H>) -> Self {
        Self::with_head(role, network.encoder(), network.head_kind())
    }

    /// The generator of an objective.
    pub fn generator(network: &'a Generator) -> Self {
        Self::of("generator", network).described(
            "An ELECTRA generator: the small masked language model that sampled the replacements.",
        )
    }

    /// A network whose head is not its own part, or used otherwise than [`Self::of`] says.
    pub fn with_head(role: &'static str, encoder: &'a Encoder, head: HeadKind) -> Self {
        let about = match head {
            HeadKind::ReplacedToken => {
                "An ELECTRA discriminator: an encoder for fine-tuning, with the head that detects replaced tokens."
            }
            HeadKind::MaskedLm | HeadKind::AllTokensMlm => {
                "A masked language model: an encoder for fine-tuning, with the head that predicts tokens."
            }
            _ => Self::WITHOUT_HEAD,
        };
        Self { role, encoder, head, share: 1.0, about }
    }

    /// The same network with another sentence about it.
    #[must_use]
    pub fn described(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// The same network, trained for a share of the updates.
    #[must_use]
    pub fn during(self, share: f64) -> Self {
        Self { share, ..self }
    }

    /// Its description for computing FLOPs and memory.
    pub fn spec(&self) -> NetworkSpec<'a> {
        NetworkSpec {
            role: self.role,
            config: self.encoder.config(),
            head: self.head,
            share: self.share,
        }
    }
}

/// A stage of an update that a profile times.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// The name of its `tracing` span.
    pub span: &'static str,
    /// Its label in reports.
    pub label: &'static str,
    /// FLOPs of its matrix products, given those of a forward pass of each of [`Objective::networks`].
    pub products: fn(&[Products]) -> f64,
}

/// The number of predictions and tokens in a batch, by which losses are normalized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossCounts {
    /// Masked positions, or examples of a task.
    pub predictions: usize,
    /// Tokens that are not padding.
    pub tokens: usize,
    /// Tokens that may be masked.
    pub maskable: usize,
}

impl std::ops::Add for LossCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            predictions: self.predictions + other.predictions,
            tokens: self.tokens + other.tokens,
            maskable: self.maskable + other.maskable,
        }
    }
}

/// The arguments for building an objective.
#[derive(Debug)]
#[non_exhaustive]
pub struct ObjectiveSite<'a> {
    /// Root path of the variables.
    pub path: nn::Path<'a>,
    /// Config of the networks.
    pub model: &'a ElectraConfig,
    /// Parts for the networks.
    pub parts: &'a Parts,
    /// Number of occurrences of each token id in the training split.
    pub unigram_counts: &'a [u64],
    /// The keys of a custom objective.
    settings: Option<&'a Settings>,
}

impl<'a> ObjectiveSite<'a> {
    /// A site at `path`.
    pub fn new(
        path: nn::Path<'a>,
        model: &'a ElectraConfig,
        parts: &'a Parts,
        unigram_counts: &'a [u64],
    ) -> Self {
        Self { path, model, parts, unigram_counts, settings: None }
    }

    /// The same site for an objective with `settings`.
    pub(super) fn with_settings<'b>(&self, settings: &'b Settings) -> ObjectiveSite<'b>
    where
        'a: 'b,
    {
        let Self { model, parts, unigram_counts, .. } = *self;
        let path = self.path.clone();
        ObjectiveSite { path, model, parts, unigram_counts, settings: Some(settings) }
    }

    /// The settings of a custom objective: the keys of the section `[objective]` without `kind` and `masking`. `T` decides
    /// which keys there are, and which have a default.
    ///
    /// # Errors
    /// [`Error::Value`] naming the key that is missing, unknown or of the wrong type.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T> {
        let none = Settings::default();
        let settings = self.settings.unwrap_or(&none);
        settings.read().map_err(|expected| Error::value("objective", settings, expected))
    }
}

impl Batch for MaskedBatch {
    fn sequences(&self) -> usize {
        self.batch
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn loss_counts(&self) -> LossCounts {
        let maskable = self.special_tokens_mask.iter().filter(|&&special| !special).count();
        LossCounts { predictions: self.masked_labels.len(), tokens: self.tokens, maskable }
    }

    fn split(self, parts: usize) -> Vec<Self> {
        match parts {
            1 => vec![self],
            _ => Self::split(&self, parts),
        }
    }
}
