//! The trait, and what strategies share: candidates, their number and draws.

use crate::rng::CounterRng;
use electra_tokenize::SpecialTokens;
use std::fmt::Debug;

/// The masked positions of one example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskedPositions {
    /// Distinct positions in the example, ascending.
    pub positions: Vec<u32>,
    /// For each position, whether it is replaced by `[MASK]`; otherwise it keeps its token.
    pub as_mask: Vec<bool>,
}

/// A masking strategy. The result of [`Self::choose`] must depend only on its arguments.
pub trait Masking: Send + Sync + Debug {
    /// Chooses positions in `ids`, an example without padding. `length` is the sequence length of the batch.
    fn choose(
        &self,
        ids: &[u32],
        length: usize,
        special: &SpecialTokens,
        rng: &mut CounterRng,
    ) -> MaskedPositions;

    /// Maximum number of positions of an example in a batch of `length`. A GPU pads batches of fixed shapes to this
    /// number, so a lower value saves work.
    fn most(&self, length: usize) -> usize {
        length
    }
}

/// Whether a token is never masked.
pub(crate) fn is_special(id: u32, special: &SpecialTokens) -> bool {
    [special.cls, special.sep, special.mask, special.pad].contains(&id)
}

/// Positions that may be masked.
pub(super) fn candidates(ids: &[u32], special: &SpecialTokens) -> Vec<u32> {
    ids.iter()
        .zip(0..)
        .filter(|(id, _)| !is_special(**id, special))
        .map(|(_, position)| position)
        .collect()
}

/// Draws one of `items[drawn..]` uniformly and moves it to `items[drawn]`: a step of a Fisher-Yates shuffle.
pub(super) fn draw<T: Copy>(items: &mut [T], drawn: usize, rng: &mut CounterRng) -> T {
    let j = drawn + rng.below((items.len() - drawn) as u64) as usize;
    items.swap(drawn, j);
    items[drawn]
}

/// Number of positions to sample for an example of `tokens` in a batch of `length`.
pub(super) fn draws(tokens: usize, length: usize, rate: f64) -> usize {
    // In single precision, as in TensorFlow: 190 x 0.15 is 28.500002, which rounds to 29.
    let wanted = (tokens as f32 * rate as f32).round_ties_even() as usize;
    wanted.clamp(1, most(length, rate))
}

/// Maximum number of positions to sample.
pub(super) fn most(length: usize, rate: f64) -> usize {
    (((rate + 0.005) * length as f64) as usize).max(1)
}
