//! The order of examples: a global shuffle for each epoch whose only state is a position.

use crate::rng::{CounterRng, Purpose};

/// A shuffled order of examples for each epoch, without a table: a keyed Feistel network permutes the numbers below the
/// next power of four, and is applied again to results outside the range (cycle walking).
///
/// Difference from the reference, which shuffles within a buffer of 100 records.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    examples: u64,
    seed: u64,
    half_bits: u32,
}

impl Sampler {
    const ROUNDS: u64 = 4;

    /// Creates an order of `examples`, which must be at least 1.
    pub fn new(examples: u64, seed: u64) -> Self {
        let bits = u64::BITS - examples.saturating_sub(1).leading_zeros();
        Self { examples: examples.max(1), seed, half_bits: bits.div_ceil(2).max(1) }
    }

    /// The epoch and the example at `position`, the number of examples before it.
    pub fn example_at(&self, position: u64) -> (u64, u64) {
        let (epoch, mut index) = (position / self.examples, position % self.examples);
        let keys = self.keys(epoch);
        loop {
            index = self.permute(index, &keys);
            if index < self.examples {
                return (epoch, index);
            }
        }
    }

    fn keys(&self, epoch: u64) -> [u64; Self::ROUNDS as usize] {
        let mut rng = CounterRng::new(self.seed, Purpose::Order, epoch, 0);
        std::array::from_fn(|_| rng.next_u64())
    }

    /// A bijection on numbers of `2 * half_bits` bits.
    fn permute(&self, x: u64, keys: &[u64]) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (x >> self.half_bits, x & mask);
        for key in keys {
            (left, right) = (right, left ^ (round(right, *key) & mask));
        }
        (left << self.half_bits) | right
    }
}

/// The finalizer of SplitMix64 applied to a half and a key.
fn round(half: u64, key: u64) -> u64 {
    let mut z = half.wrapping_add(key).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ key;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
