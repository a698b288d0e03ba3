//! The cost of a part of a network: FLOPs and memory, as functions of the work.
//!
//! Each built-in part reports its cost in its own file; `flops.rs` and `memory.rs` only add them up.

use crate::config::{EncoderConfig, Precision};
use std::ops::{Add, Mul};

/// Bytes of a 32-bit float.
pub const FLOAT: f64 = 4.0;

/// The amount of work in a batch.
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
    /// One token of full sequences of `length`, a fraction `rate` of which is masked.
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
    /// Per token.
    pub token: f64,
    /// Per pair of positions of one sequence.
    pub pair: f64,
}

impl Amount {
    /// An amount per token.
    pub fn token(token: f64) -> Self {
        Self { token, pair: 0.0 }
    }

    /// The total for `tokens` tokens with `pairs` pairs.
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

/// The cost of one part in a forward pass, and what it saves for the backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// FLOPs by the conventions of the reference's `flops_computation.py` ([`crate::flops`]).
    pub reference: Amount,
    /// FLOPs of matrix products and attention only: `2mkn` for an `m x k` by a `k x n` matrix.
    pub products: Amount,
    /// Bytes saved for the backward pass.
    pub saved: Amount,
    /// Bytes of saved weight copies, independent of the batch.
    pub copies: f64,
    /// Bytes of temporaries in the backward pass.
    pub working: Amount,
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            reference: self.reference + other.reference,
            products: self.products + other.products,
            saved: self.saved + other.saved,
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
            saved: self.saved * n,
            copies: self.copies * n,
            working: self.working * n,
        }
    }
}

/// Bytes of an operand's element in a matrix product.
pub fn operand_bytes(config: &EncoderConfig) -> f64 {
    match config.precision {
        Precision::F32 => FLOAT,
        Precision::Bf16 => FLOAT / 2.0,
    }
}
