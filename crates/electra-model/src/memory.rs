//! Memory estimate of a training step: activations saved for the backward pass, weights, gradients, optimizer state.
//!
//! Parts report what they save ([`crate::cost`]). For ELECTRA's own, bytes saved by one block for one token, for width `h`, feed-forward width `f`, `n` heads and sequences of `s` tokens,
//! with dropout:
//!
//! | saved | fused, f32 | fused, bf16 | plain, f32 | plain, bf16 |
//! |---|---|---|---|---|
//! | input of the projections (plain bf16: one cast each) | 4h | 2h | 4h | 6h |
//! | queries, keys, values | 12h | 6h | 12h | 12h |
//! | softmax: log-sum-exp, or weights, dropout mask and their product | 4n | 4n | 12ns | 12ns |
//! | input of the output projection | 4h | 2h | 4h | 2h |
//! | dropout mask | | | 4h | 4h |
//! | LayerNorm: input; mean and deviation | 4h + 8 | 4h + 8 | 4h + 8 | 4h + 8 |
//! | input of the feed-forward layer | 4h | 2h | 4h | 2h |
//! | before and after gelu | 8f | 4f | 8f | 6f |
//! | dropout mask | | | 4h | 4h |
//! | LayerNorm: input; mean and deviation | 4h + 8 | 4h + 8 | 4h + 8 | 4h + 8 |
//! | **sum** | **32h + 8f + 4n + 16** | **20h + 4f + 4n + 16** | **40h + 8f + 12ns + 16** | **38h + 6f + 12ns + 16** |
//!
//! Recomputed blocks ([`Activations::Recompute`]) save 4h, plus the sum for one block while the backward pass is in it. A
//! block also saves copies of weights: the concatenated query, key and value matrix in the fused implementation (12h^2
//! bytes), and all of its matrices in bfloat16.
//!
//! A test measures it. In the implementation for GPUs a block saves 8h + 2f elements in the precision of the products, 2h
//! bytes of masks and 4n + 16 bytes; this is derived the same way and not measured on a GPU.

use crate::{
    config::{Activations, EncoderConfig},
    cost::{Cost, FLOAT, Work},
    heads::{HeadKind, NetworkSpec},
    parts::Parts,
};

/// Bytes per token: the batch's three integers, the ids with replacements, token indices, logits, labels and losses.
const PER_TOKEN: f64 = 52.0;

/// Bytes per masked position: the batch's two integers, a label, mean and deviation of the head's LayerNorm, logarithm;
/// sample, prediction and loss.
const PER_PREDICTION: f64 = 56.0;

/// Allocator fragmentation, in units of one block's activations, from interleaved freed and saved tensors.
/// Measured, not derived: from 32 to 64 sequences of 128, resident memory of a step of Small grows by 2.3 blocks more
/// than the rest of this estimate.
const FRAGMENTATION: f64 = 2.0;

/// Bytes of the state of libtorch's CPU generator, which a recomputed block saves.
const GENERATOR: f64 = 5056.0;

/// Memory of a training step, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Weights.
    pub parameters: f64,
    /// Gradients: as large as the weights.
    pub gradients: f64,
    /// Adam's two moments.
    pub moments: f64,
    /// Saved by the forward pass, independent of the batch.
    pub fixed: f64,
    /// Saved by the forward pass for the tokens, masked positions and pairs of the batch.
    pub activations: f64,
    /// Temporaries of the backward pass: those of the largest block, or the gradients of the word embeddings, which come
    /// after the activations are freed.
    pub working: f64,
    /// Free memory held by the allocator.
    pub fragmentation: f64,
}

impl Memory {
    /// The memory of a training step over `work` with `networks` of `parameters` parameters in total.
    pub fn new(parts: &Parts, networks: &[NetworkSpec<'_>], parameters: u64, work: &Work) -> Self {
        let weights = FLOAT * parameters as f64;
        let layer = |network: &NetworkSpec<'_>| parts.layer_cost(network.config);
        let sum = |of: &dyn Fn(&NetworkSpec<'_>) -> f64| networks.iter().map(of).sum::<f64>();
        let max =
            |of: &dyn Fn(&NetworkSpec<'_>) -> f64| networks.iter().map(of).fold(0.0, f64::max);
        let activations = work.tokens * PER_TOKEN
            + work.predictions * PER_PREDICTION
            + sum(&|network| encoder(parts, network.config, work))
            + sum(&|network| {
                network.head.positions(work) * network.head.cost(network.config).saved
            });
        // Gradients of the word embeddings: as the input of each network, and as an output layer.
        let tables = networks.iter().map(|network| {
            let uses = match network.head {
                HeadKind::MaskedLm | HeadKind::AllTokensMlm | HeadKind::Cloze => 2.0,
                HeadKind::ReplacedToken | HeadKind::None => 1.0,
            };
            uses * FLOAT * (network.config.vocab_size * network.config.embedding_size) as f64
        });
        let tables: f64 = tables.sum();
        Self {
            parameters: weights,
            gradients: weights,
            moments: 2.0 * weights,
            fixed: sum(&|network| fixed(parts, network.config))
                + sum(&|network| network.head.cost(network.config).copies),
            activations,
            working: max(&|network| working(&layer(network), network.config, work))
                .max(tables - activations),
            fragmentation: FRAGMENTATION
                * max(&|network| layer(network).saved.of(work.tokens, work.pairs)),
        }
    }

    /// The total.
    pub fn step(&self) -> f64 {
        self.parameters
            + self.gradients
            + self.moments
            + self.fixed
            + self.activations
            + self.working
            + self.fragmentation
    }

    /// The largest batch of sequences like `sequence` whose step fits in `bytes` of memory; 0 if none fits.
    pub fn largest_batch(
        parts: &Parts,
        networks: &[NetworkSpec<'_>],
        parameters: u64,
        sequence: &Work,
        bytes: f64,
    ) -> u64 {
        let fits = |batch: u64| {
            Self::new(parts, networks, parameters, &sequence.times(batch as f64)).step() <= bytes
        };
        // Memory grows with the batch: double until it does not fit, then bisect.
        let mut too_large = 1;
        while fits(too_large) && too_large < 1 << 40 {
            too_large *= 2;
        }
        let mut largest = too_large / 2;
        while too_large - largest > 1 {
            let middle = (largest + too_large) / 2;
            if fits(middle) {
                largest = middle;
            } else {
                too_large = middle;
            }
        }
        largest
    }
}

/// Bytes that the embeddings and layers of an encoder save for the backward pass.
fn encoder(parts: &Parts, c: &EncoderConfig, work: &Work) -> f64 {
    let input = parts.input_cost(c).saved.of(work.tokens, work.pairs);
    let layer = match c.activations {
        Activations::Keep => parts.layer_cost(c).saved.of(work.tokens, work.pairs),
        Activations::Recompute => work.tokens * FLOAT * c.hidden as f64,
    };
    input + c.layers as f64 * layer
}

/// Bytes of weight copies that the graph of an encoder holds; for recomputed layers, of generator states.
fn fixed(parts: &Parts, c: &EncoderConfig) -> f64 {
    let layer = match c.activations {
        Activations::Keep => parts.layer_cost(c).copies,
        Activations::Recompute => GENERATOR,
    };
    parts.input_cost(c).copies + c.layers as f64 * layer
}

/// Bytes of temporaries in the backward pass of one layer.
fn working(layer: &Cost, c: &EncoderConfig, work: &Work) -> f64 {
    let gradients = layer.working.of(work.tokens, work.pairs);
    match c.activations {
        Activations::Keep => gradients,
        Activations::Recompute => {
            gradients + layer.saved.of(work.tokens, work.pairs) + layer.copies
        }
    }
}
