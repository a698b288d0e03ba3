//! FLOPs in two conventions: those of the reference's `flops_computation.py`, quirks included, and those of matrix products
//! only ([`Products`]), for comparison with a machine's peak rate.
//!
//! The reference counts 2mn for a product of `m x n` matrices; 1 for exponentials and the like; as much for the backward
//! pass as for the forward pass; input embeddings as dense one-hot products; per element 4 for dropout, 8 for the
//! activation, 5 for softmax and 5 for LayerNorm, except 5 in total for the LayerNorm after attention (a bug of the script,
//! saved to reproduce its totals).

use crate::{
    config::EncoderConfig,
    cost::Cost,
    heads::{HeadKind, NetworkSpec},
    parts::Parts,
};

pub use crate::cost::Work;

/// The fraction of positions that the reference counts the output softmax for, at any masking rate: 20 / 128.
pub const OUTPUT_FRACTION: f64 = 0.15625;

/// FLOPs of the forward pass for one token at sequence length `s`, by the reference's conventions.
fn token(parts: &Parts, network: &NetworkSpec<'_>, s: f64) -> f64 {
    let positions = match network.head {
        HeadKind::MaskedLm => OUTPUT_FRACTION,
        HeadKind::ReplacedToken | HeadKind::AllTokensMlm | HeadKind::Cloze | HeadKind::None => 1.0,
    };
    token_with_head(parts, network, positions, s)
}

/// The same with the head at a fraction `positions` of the tokens.
fn token_with_head(parts: &Parts, network: &NetworkSpec<'_>, positions: f64, s: f64) -> f64 {
    let c = network.config;
    let layer = parts.layer_cost(c).reference.of(1.0, s);
    let input = parts.input_cost(c).reference.of(1.0, s);
    c.layers as f64 * layer + input + positions * network.head.cost(c).reference
}

/// FLOPs of one pre-training step of `batch` sequences of `length` tokens, forward and backward; the mean over a run if a
/// network is not trained in every step.
pub fn train_step(parts: &Parts, networks: &[NetworkSpec<'_>], batch: u64, length: u64) -> f64 {
    let s = length as f64;
    2.0 * batch as f64
        * s
        * networks.iter().map(|network| network.share * token(parts, network, s)).sum::<f64>()
}

/// FLOPs of one step of a language model: one network, whose output layer is counted at a fraction `predicted` of the
/// positions. That is [`OUTPUT_FRACTION`] for masked language modeling and 1 from left to right.
pub fn language_model_step(
    parts: &Parts,
    config: &EncoderConfig,
    predicted: f64,
    batch: u64,
    length: u64,
) -> f64 {
    let network = NetworkSpec::new("encoder", config, HeadKind::MaskedLm);
    let s = length as f64;
    2.0 * batch as f64 * s * token_with_head(parts, &network, predicted, s)
}

/// FLOPs of one forward pass over a sequence of `length` tokens.
pub fn inference(parts: &Parts, network: &NetworkSpec<'_>, length: u64) -> f64 {
    length as f64 * token(parts, network, length as f64)
}

/// FLOPs of the forward pass in matrix products and attention only: 2mkn for a product of `m x k` and `k x n` matrices.
/// The backward pass has twice as many. Recomputation (attention scores, logits, layers under
/// `activations = "recompute"`) is not counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Products {
    /// The network without the output layer over the vocabulary.
    pub network: f64,
    /// The output layer over the vocabulary.
    pub vocabulary: f64,
}

impl Products {
    /// FLOPs of one network for a batch.
    pub fn new(parts: &Parts, network: &NetworkSpec<'_>, work: &Work) -> Self {
        let (c, head) = (network.config, network.head.cost(network.config));
        let encoder: Cost = parts.layer_cost(c) * c.layers as f64 + parts.input_cost(c);
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
