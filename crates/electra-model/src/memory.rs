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

use crate::{Activations, ElectraConfig, EncoderConfig, Kernels, Precision, flops::Work};

/// Of a 32-bit float.
const FLOAT: f64 = 4.0;

/// The batch's four integers, the ids with replacements, places of tokens, logits, labels and losses.
const PER_TOKEN: f64 = 60.0;

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
    /// Of a forward and backward pass over `work` with networks of `parameters` numbers.
    pub fn new(config: &ElectraConfig, parameters: u64, work: &Work) -> Self {
        let weights = FLOAT * parameters as f64;
        let (g, d) = (config.generator(), config.discriminator());
        let activations = encoder(&g, work) + encoder(&d, work) + heads(config, work);
        // Of the word table: of its rows as inputs of either network, and as the output layer.
        let tables = 3.0 * FLOAT * (g.vocab_size * g.embedding_size) as f64;
        Self {
            parameters: weights,
            gradients: weights,
            moments: 2.0 * weights,
            fixed: fixed(&g) + fixed(&d) + head_copies(config),
            activations,
            working: working(&g, work).max(working(&d, work)).max(tables - activations),
            holes: HOLES * block(&g, work).max(block(&d, work)),
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
        config: &ElectraConfig,
        parameters: u64,
        sequence: &Work,
        bytes: f64,
    ) -> u64 {
        let fits = |batch: u64| {
            Self::new(config, parameters, &sequence.times(batch as f64)).step() <= bytes
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

/// Bytes of a factor of a dense layer's product.
fn factor(c: &EncoderConfig) -> f64 {
    match c.precision {
        Precision::F32 => FLOAT,
        Precision::Bf16 => FLOAT / 2.0,
    }
}

/// Bytes that one block keeps: the table above.
fn block(c: &EncoderConfig, work: &Work) -> f64 {
    let (h, f, n) = (c.hidden as f64, c.intermediate as f64, c.heads as f64);
    let factor = factor(c);
    let norms = 2.0 * (FLOAT * h + 8.0);
    match c.kernels {
        Kernels::Fused => work.tokens * (factor * (6.0 * h + 2.0 * f) + FLOAT * n + norms),
        Kernels::Gpu => {
            let masks = if c.dropout > 0.0 { 2.0 * h } else { 0.0 };
            work.tokens * (factor * (8.0 * h + 2.0 * f) + masks + FLOAT * n + 16.0)
        }
        Kernels::Plain => {
            // Weights of the softmax; with dropout also its mask and their product.
            let scores = if c.attention_dropout > 0.0 { 3.0 } else { 1.0 };
            let masks = if c.dropout > 0.0 { 2.0 * FLOAT * h } else { 0.0 };
            // Each projection rounds its input for itself.
            let inputs = if c.precision == Precision::Bf16 { 5.0 } else { 3.0 };
            let row = factor * (inputs * h + f) + FLOAT * (3.0 * h + f) + masks + norms;
            work.tokens * row + FLOAT * scores * n * work.pairs
        }
    }
}

/// Bytes of an encoder: embeddings and blocks.
fn encoder(c: &EncoderConfig, work: &Work) -> f64 {
    let (e, h) = (c.embedding_size as f64, c.hidden as f64);
    let mask = if c.kernels == Kernels::Plain && c.dropout > 0.0 { FLOAT * e } else { 0.0 };
    let project = if c.embedding_size == c.hidden { 0.0 } else { factor(c) * e };
    let embeddings = work.tokens * (FLOAT * e + 8.0 + mask + project);
    let kept = match c.activations {
        Activations::Keep => block(c, work),
        Activations::Recompute => work.tokens * FLOAT * h,
    };
    embeddings + c.layers as f64 * kept
}

/// Bytes of both heads and what the objective holds.
fn heads(config: &ElectraConfig, work: &Work) -> f64 {
    let (g, d) = (config.generator(), config.discriminator());
    let (e, factor) = (g.embedding_size as f64, factor(&g));
    // Before gelu, and all logits.
    let (gelu, logits) = match g.kernels {
        Kernels::Fused => (factor, 0.0),
        Kernels::Plain => (FLOAT, FLOAT * g.vocab_size as f64),
        // All logits in the products' precision, and their logarithms in 32 bits.
        Kernels::Gpu => (factor, FLOAT * g.vocab_size as f64),
    };
    // The head's input; before gelu, before LayerNorm and after it.
    let generator = factor * g.hidden as f64 + gelu * e + 2.0 * FLOAT * e;
    // The head's input; before gelu and after it.
    let discriminator = (factor + gelu + FLOAT) * d.hidden as f64;
    work.predictions * (generator + logits + PER_PREDICTION)
        + work.tokens * (discriminator + PER_TOKEN)
}

/// Bytes of copies of a block's matrices that the graph keeps.
fn matrices(c: &EncoderConfig) -> f64 {
    let (h, f) = (c.hidden as f64, c.intermediate as f64);
    match (c.precision, c.kernels) {
        (Precision::F32, Kernels::Plain) => 0.0,
        (Precision::F32, Kernels::Fused | Kernels::Gpu) => FLOAT * 3.0 * h * h,
        (Precision::Bf16, _) => FLOAT / 2.0 * (4.0 * h * h + 2.0 * h * f),
    }
}

/// The same of a whole encoder; of recomputed blocks the states of the generator.
fn fixed(c: &EncoderConfig) -> f64 {
    let project = match (c.precision, c.embedding_size == c.hidden) {
        (Precision::Bf16, false) => FLOAT / 2.0 * (c.embedding_size * c.hidden) as f64,
        _ => 0.0,
    };
    match c.activations {
        Activations::Keep => project + c.layers as f64 * matrices(c),
        Activations::Recompute => project + c.layers as f64 * GENERATOR,
    }
}

/// The same of both heads.
fn head_copies(config: &ElectraConfig) -> f64 {
    let (g, d) = (config.generator(), config.discriminator());
    match g.precision {
        Precision::F32 => 0.0,
        Precision::Bf16 => FLOAT / 2.0 * (g.hidden * g.embedding_size + d.hidden * d.hidden) as f64,
    }
}

/// Bytes that the backward pass of one block needs besides what is kept.
fn working(c: &EncoderConfig, work: &Work) -> f64 {
    // Gradients before LayerNorm, with and without dropout, and after gelu.
    let gradients = work.tokens * FLOAT * (2 * c.hidden + c.intermediate) as f64;
    match c.activations {
        Activations::Keep => gradients,
        Activations::Recompute => gradients + block(c, work) + matrices(c),
    }
}
