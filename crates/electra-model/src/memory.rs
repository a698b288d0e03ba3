//! Memory of a training step, by arithmetic: what the forward pass keeps for the backward pass, and the rest.
//!
//! Bytes of one block and one token, for width `h`, feed-forward width `f`, `n` heads and sequences of `s` tokens, with
//! dropout:
//!
//! | kept | fused, f32 | fused, bf16 | plain, f32 | plain, bf16 |
//! |---|---|---|---|---|
//! | input of the projections (in bfloat16 rounded for each in the plain form) | 4h | 2h | 4h | 6h |
//! | queries, keys, values | 12h | 6h | 12h | 12h |
//! | softmax: logarithms of its sums, or weights, mask and product | 4n | 4n | 12ns | 12ns |
//! | input of the output projection | 4h | 2h | 4h | 2h |
//! | mask of dropout | | | 4h | 4h |
//! | before LayerNorm; mean and deviation | 4h + 8 | 4h + 8 | 4h + 8 | 4h + 8 |
//! | input of the feed-forward layer | 4h | 2h | 4h | 2h |
//! | before gelu, and after it | 8f | 4f | 8f | 6f |
//! | mask of dropout | | | 4h | 4h |
//! | before LayerNorm; mean and deviation | 4h + 8 | 4h + 8 | 4h + 8 | 4h + 8 |
//! | **sum** | **32h + 8f + 4n + 16** | **20h + 4f + 4n + 16** | **40h + 8f + 12ns + 16** | **38h + 6f + 12ns + 16** |
//!
//! Recomputed blocks ([`Activations::Recompute`]) keep 4h and, while the backward pass is in one of them, the sum of
//! that one. A block also keeps copies of weights: the joined matrix of queries, keys and values in the fused form (12h^2
//! bytes), and all of its matrices in bfloat16.
//!
//! A test measures it. In the form for GPUs a block keeps 8h + 2f numbers in the precision of the products, 2h bytes of
//! masks and 4n + 16 bytes; that is derived in the same way and was not measured on one.

use crate::{
    config::{Activations, EncoderConfig},
    cost::{Cost, FLOAT, Work},
    heads::{HeadKind, NetworkSpec},
    parts::Parts,
};

/// The batch's three integers, the ids with replacements, places of tokens, logits, labels and losses.
const PER_TOKEN: f64 = 52.0;

/// The batch's two integers, a label, mean and deviation of the head's LayerNorm, logarithm; sample, guess and loss.
const PER_PREDICTION: f64 = 56.0;

/// Blocks whose memory an allocator holds free between tensors, where what is freed and what is kept take turns.
/// Measured, not derived: from 32 to 64 sequences of 128, resident memory of a step of Small grows by 2.3 blocks more
/// than what else is counted here.
const HOLES: f64 = 2.0;

/// The state of libtorch's generator on a CPU, which a recomputed block keeps.
const GENERATOR: f64 = 5056.0;

/// Bytes of a training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Weights.
    pub parameters: f64,
    /// As large as the weights.
    pub gradients: f64,
    /// Adam's two.
    pub moments: f64,
    /// What the forward pass keeps, of whatever batch.
    pub fixed: f64,
    /// What the forward pass keeps for each of the batch's tokens, masked positions and pairs, in all.
    pub activations: f64,
    /// What the backward pass needs besides: of the widest block, and the gradients of the word table, which come
    /// when activations are gone.
    pub working: f64,
    /// What an allocator holds beyond what it has given out.
    pub holes: f64,
}

impl Memory {
    /// Of a forward and backward pass over `work` with `networks` of `parameters` numbers in all.
    pub fn new(parts: &Parts, networks: &[NetworkSpec<'_>], parameters: u64, work: &Work) -> Self {
        let weights = FLOAT * parameters as f64;
        let layer = |network: &NetworkSpec<'_>| parts.layer_cost(network.config);
        let sum = |of: &dyn Fn(&NetworkSpec<'_>) -> f64| networks.iter().map(of).sum::<f64>();
        let most =
            |of: &dyn Fn(&NetworkSpec<'_>) -> f64| networks.iter().map(of).fold(0.0, f64::max);
        let activations = work.tokens * PER_TOKEN
            + work.predictions * PER_PREDICTION
            + sum(&|network| encoder(parts, network.config, work))
            + sum(&|network| network.head.positions(work) * network.head.cost(network.config).kept);
        // Gradients of the word table: as inputs of each network, and as an output layer.
        let tables = networks.iter().map(|network| {
            let uses = if network.head == HeadKind::MaskedLm { 2.0 } else { 1.0 };
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
            working: most(&|network| working(&layer(network), network.config, work))
                .max(tables - activations),
            holes: HOLES * most(&|network| layer(network).kept.of(work.tokens, work.pairs)),
        }
    }

    /// All of it.
    pub fn step(&self) -> f64 {
        self.parameters
            + self.gradients
            + self.moments
            + self.fixed
            + self.activations
            + self.working
            + self.holes
    }

    /// The most sequences like the one in `sequence` that a pass can have in `bytes` of memory; 0 where there is no
    /// room for one.
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
        // It grows with the batch: doubled until it does not fit, then halved.
        let mut beyond = 1;
        while fits(beyond) && beyond < 1 << 40 {
            beyond *= 2;
        }
        let mut below = beyond / 2;
        while beyond - below > 1 {
            let middle = (below + beyond) / 2;
            if fits(middle) {
                below = middle;
            } else {
                beyond = middle;
            }
        }
        below
    }
}

/// Bytes of an encoder: embeddings and layers.
fn encoder(parts: &Parts, c: &EncoderConfig, work: &Work) -> f64 {
    let embeddings = parts.embeddings_cost(c).kept.of(work.tokens, work.pairs);
    let layer = match c.activations {
        Activations::Keep => parts.layer_cost(c).kept.of(work.tokens, work.pairs),
        Activations::Recompute => work.tokens * FLOAT * c.hidden as f64,
    };
    embeddings + c.layers as f64 * layer
}

/// Bytes of copies of an encoder's weights that the graph keeps; of recomputed layers the states of the generator.
fn fixed(parts: &Parts, c: &EncoderConfig) -> f64 {
    let layer = match c.activations {
        Activations::Keep => parts.layer_cost(c).copies,
        Activations::Recompute => GENERATOR,
    };
    parts.embeddings_cost(c).copies + c.layers as f64 * layer
}

/// Bytes that the backward pass of one layer needs besides what is kept.
fn working(layer: &Cost, c: &EncoderConfig, work: &Work) -> f64 {
    let gradients = layer.working.of(work.tokens, work.pairs);
    match c.activations {
        Activations::Keep => gradients,
        Activations::Recompute => gradients + layer.kept.of(work.tokens, work.pairs) + layer.copies,
    }
}
