//! FLOPs: by the conventions of the reference's `flops_computation.py`, its quirks included, and of the matrix
//! products alone, which is what a machine's matrix rate is compared with ([`Products`]).
//!
//! The reference's: a product of `m x n` matrices counts 2mn; exponentials and the like 1; the backward pass as much
//! as the forward pass; input embeddings as dense one-hot products; dropout 4, activation 8, softmax
//! 5 a number; the LayerNorm behind attention 5 in all (a slip of the script's, kept so that its
//! totals are reproduced), the others 5 a number.

use crate::{ElectraConfig, EncoderConfig};

/// Share of positions that the output softmax is counted for, whatever the masking rate: 20 / 128.
pub const OUTPUT_FRACTION: f64 = 0.15625;

/// Operations of one token in one block, at sequence length `s`.
fn block(c: &EncoderConfig, s: f64) -> f64 {
    let (h, i, n) = (c.hidden as f64, c.intermediate as f64, c.heads as f64);
    let qkv = 6.0 * h * h + 3.0 * h;
    let scores = 2.0 * h * s + 5.0 * s * n + 4.0 * s * n + s * n;
    let mix = 2.0 * h * s;
    let output = 2.0 * h * h + h + 4.0 * h + h + 5.0;
    let feed_forward = 2.0 * h * i + 8.0 * i + i + 2.0 * h * i + h + 4.0 * h + h + 5.0 * h;
    qkv + scores + mix + output + feed_forward
}

/// Operations of one token's input embedding.
fn embedding(c: &EncoderConfig, s: f64) -> f64 {
    let (e, h, v) = (c.embedding_size as f64, c.hidden as f64, c.vocab_size as f64);
    let projection = if c.embedding_size == c.hidden { 0.0 } else { 2.0 * h * e + h };
    2.0 * e * v + 2.0 * e * (s + 2.0) + 2.0 * e + 5.0 * e + 4.0 * e + projection
}

/// Operations of one position in the generator's output layer.
fn masked_lm_head(c: &EncoderConfig) -> f64 {
    let (e, h, v) = (c.embedding_size as f64, c.hidden as f64, c.vocab_size as f64);
    2.0 * e * v + 2.0 * h * e + e + 8.0 * e + 5.0 * e + 5.0 * v + 2.0 * v
}

/// Operations of one token in the discriminator's head.
fn replaced_token_head(c: &EncoderConfig) -> f64 {
    let h = c.hidden as f64;
    2.0 * h * h + h + 8.0 * h + 2.0 * h
}

/// FLOPs of one pre-training step of `batch` sequences of `length` tokens, forward and backward.
pub fn train_step(config: &ElectraConfig, batch: u64, length: u64) -> f64 {
    let (g, d, s) = (config.generator(), config.discriminator(), length as f64);
    let generator =
        g.layers as f64 * block(&g, s) + embedding(&g, s) + OUTPUT_FRACTION * masked_lm_head(&g);
    let discriminator = d.layers as f64 * block(&d, s) + embedding(&d, s) + replaced_token_head(&d);
    2.0 * batch as f64 * s * (generator + discriminator)
}

/// FLOPs of one sequence of `length` tokens through the discriminator.
pub fn inference(config: &ElectraConfig, length: u64) -> f64 {
    let (d, s) = (config.discriminator(), length as f64);
    s * (d.layers as f64 * block(&d, s) + embedding(&d, s) + replaced_token_head(&d))
}

/// What a batch asks of the networks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Tokens that are not padding.
    pub tokens: f64,
    /// Pairs of positions that attention scores: the sum of the sequences' squared lengths.
    pub pairs: f64,
    /// Masked positions.
    pub predictions: f64,
}

impl Work {
    /// A token's share of full sequences of `length`, of which `rate` is masked.
    pub fn of_token(length: u64, rate: f64) -> Self {
        Self { tokens: 1.0, pairs: length as f64, predictions: rate }
    }

    /// `n` times as much.
    #[must_use]
    pub fn times(&self, n: f64) -> Self {
        Self { tokens: n * self.tokens, pairs: n * self.pairs, predictions: n * self.predictions }
    }
}

/// Floating-point operations of the forward pass in matrix products and attention, and in nothing else: a product of
/// `m x k` and `k x n` matrices is 2mkn. The backward pass has twice as many. What is computed a second time (scores
/// of attention, logits, layers under `activations = "recompute"`) is not counted twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Products {
    /// The generator up to its output layer.
    pub generator: f64,
    /// Its output layer over the vocabulary.
    pub vocabulary: f64,
    /// The discriminator.
    pub discriminator: f64,
}

impl Products {
    /// Those of a batch.
    pub fn new(config: &ElectraConfig, work: &Work) -> Self {
        let (g, d) = (config.generator(), config.discriminator());
        let (e, h) = (g.embedding_size as f64, d.hidden as f64);
        Self {
            generator: encoder_products(&g, work) + 2.0 * work.predictions * g.hidden as f64 * e,
            vocabulary: 2.0 * work.predictions * e * g.vocab_size as f64,
            discriminator: encoder_products(&d, work) + 2.0 * work.tokens * (h * h + h),
        }
    }

    /// Forward and backward pass of both networks.
    pub fn step(&self) -> f64 {
        3.0 * (self.generator + self.vocabulary + self.discriminator)
    }
}

fn encoder_products(c: &EncoderConfig, work: &Work) -> f64 {
    let (e, h, f) = (c.embedding_size as f64, c.hidden as f64, c.intermediate as f64);
    let project = if c.embedding_size == c.hidden { 0.0 } else { e * h };
    let dense = c.layers as f64 * (4.0 * h * h + 2.0 * h * f) + project;
    let attention = c.layers as f64 * 2.0 * h;
    2.0 * (work.tokens * dense + work.pairs * attention)
}
