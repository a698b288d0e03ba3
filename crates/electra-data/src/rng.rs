//! Counter-based random numbers: each stream is a pure function of (seed, purpose, a, b).
//!
//! The four numbers are the key of a ChaCha8 stream, so streams with different keys are independent, and no state needs
//! to be saved: a resumed run and any number of threads draw the same numbers.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// The purpose of a stream, which is part of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
#[non_exhaustive]
pub enum Purpose {
    /// Masked positions, and which of them become `[MASK]`.
    Masking = 1,
    /// Order of examples in an epoch.
    Order = 2,
    /// Segments and lengths in packing.
    Packing = 3,
    /// Samples of the generator.
    Sampling = 4,
    /// Held-out documents.
    HeldOut = 5,
    /// Shuffled words of a probe.
    Probe = 6,
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct CounterRng(ChaCha8Rng);

impl CounterRng {
    /// Creates the stream of a key; `a` and `b` are an epoch and an example, or a document.
    pub fn new(seed: u64, purpose: Purpose, a: u64, b: u64) -> Self {
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([seed, purpose as u64, a, b]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A uniform integer in `0..n`, without bias (Lemire 2019). `n` must not be 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let reject_under = n.wrapping_neg() % n;
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            if (wide as u64) >= reject_under {
                return (wide >> 64) as u64;
            }
        }
    }

    /// A uniform number in [0, 1) with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with probability `p`.
    pub fn coin(&mut self, p: f64) -> bool {
        self.uniform() < p
    }
}
