//! What a part of a network costs: operations and memory, as functions of the work that it is given.
//!
//! Each part that ships says it in its own file; `flops.rs` and `memory.rs` add them up and know no part.

use crate::config::{EncoderConfig, Precision};
use std::ops::{Add, Mul};

/// Bytes of a 32-bit float.
pub const FLOAT: f64 = 4.0;

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

/// An amount for each token and each pair of positions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amount {
    /// For each token that the part works on.
    pub token: f64,
    /// For each pair of positions of one sequence.
    pub pair: f64,
}

impl Amount {
    /// For each token.
    pub fn token(token: f64) -> Self {
        Self { token, pair: 0.0 }
    }

    /// That of `tokens` tokens with `pairs` pairs.
    pub fn of(&self, tokens: f64, pairs: f64) -> f64 {
        self.token * tokens + self.pair * pairs
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { token: self.token + other.token, pair: self.pair + other.pair }
    }
}

impl Mul<f64> for Amount {
    type Output = Self;

    fn mul(self, n: f64) -> Self {
        Self { token: n * self.token, pair: n * self.pair }
    }
}

/// What one part costs in a forward pass, and what it keeps for the backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Operations by the conventions of the reference's `flops_computation.py` ([`crate::flops`]).
    pub reference: Amount,
    /// Floating-point operations of matrix products and attention alone: `2mkn` for an `m x k` by a `k x n` matrix.
    pub products: Amount,
    /// Bytes that are kept for the backward pass.
    pub kept: Amount,
    /// Bytes of copies of weights that are kept, whatever the batch.
    pub copies: f64,
    /// Bytes that the backward pass needs besides what is kept.
    pub working: Amount,
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            reference: self.reference + other.reference,
            products: self.products + other.products,
            kept: self.kept + other.kept,
            copies: self.copies + other.copies,
            working: self.working + other.working,
        }
    }
}

impl Mul<f64> for Cost {
    type Output = Self;

    fn mul(self, n: f64) -> Self {
        Self {
            reference: self.reference * n,
            products: self.products * n,
            kept: self.kept * n,
            copies: self.copies * n,
            working: self.working * n,
        }
    }
}

/// Bytes of a number that is a factor of a dense layer's product.
pub fn factor(config: &EncoderConfig) -> f64 {
    match config.precision {
        Precision::F32 => FLOAT,
        Precision::Bf16 => FLOAT / 2.0,
    }
}
