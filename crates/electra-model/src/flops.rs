//! FLOPs: by the conventions of the reference's `flops_computation.py`, its quirks included, and of the matrix
//! products alone, which is what a machine's matrix rate is compared with ([`Products`]).
//!
//! The reference's: a product of `m x n` matrices counts 2mn; exponentials and the like 1; the backward pass as much
//! as the forward pass; input embeddings as dense one-hot products; dropout 4, activation 8, softmax
//! 5 a number; the LayerNorm behind attention 5 in all (a slip of the script's, kept so that its
//! totals are reproduced), the others 5 a number.

use crate::{
    cost::Cost,
    heads::{HeadKind, NetworkSpec},
    parts::Parts,
};

pub use crate::cost::Work;

/// Share of positions that the output softmax is counted for, whatever the masking rate: 20 / 128.
pub const OUTPUT_FRACTION: f64 = 0.15625;

/// Operations of one token in a network, forward, at sequence length `s`.
fn token(parts: &Parts, network: &NetworkSpec<'_>, s: f64) -> f64 {
    let c = network.config;
    let layer = parts.layer_cost(c).reference.of(1.0, s);
    let embeddings = parts.embeddings_cost(c).reference.of(1.0, s);
    let positions = match network.head {
        HeadKind::MaskedLm => OUTPUT_FRACTION,
        HeadKind::ReplacedToken => 1.0,
    };
    c.layers as f64 * layer + embeddings + positions * network.head.cost(c).reference
}

/// FLOPs of one pre-training step of `batch` sequences of `length` tokens, forward and backward.
pub fn train_step(parts: &Parts, networks: &[NetworkSpec<'_>], batch: u64, length: u64) -> f64 {
    let s = length as f64;
    2.0 * batch as f64 * s * networks.iter().map(|network| token(parts, network, s)).sum::<f64>()
}

/// FLOPs of one sequence of `length` tokens through a network.
pub fn inference(parts: &Parts, network: &NetworkSpec<'_>, length: u64) -> f64 {
    length as f64 * token(parts, network, length as f64)
}

/// Floating-point operations of the forward pass in matrix products and attention, and in nothing else: a product of
/// `m x k` and `k x n` matrices is 2mkn. The backward pass has twice as many. What is computed a second time (scores
/// of attention, logits, layers under `activations = "recompute"`) is not counted twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Products {
    /// The network up to an output layer over the vocabulary.
    pub network: f64,
    /// That output layer.
    pub vocabulary: f64,
}

impl Products {
    /// Those of a batch in one network.
    pub fn new(parts: &Parts, network: &NetworkSpec<'_>, work: &Work) -> Self {
        let (c, head) = (network.config, network.head.cost(network.config));
        let encoder: Cost = parts.layer_cost(c) * c.layers as f64 + parts.embeddings_cost(c);
        let positions = network.head.positions(work);
        Self {
            network: encoder.products.of(work.tokens, work.pairs) + positions * head.products,
            vocabulary: positions * head.vocabulary,
        }
    }

    /// Forward and backward pass.
    pub fn step(&self) -> f64 {
        3.0 * (self.network + self.vocabulary)
    }
}
