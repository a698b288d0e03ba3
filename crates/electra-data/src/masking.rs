//! Which positions the generator fills: the seam and the two shipped maskings.

use crate::rng::CounterRng;
use electra_tokenize::SpecialTokens;
use std::fmt::Debug;

/// The choice for one example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskedPositions {
    /// Distinct positions in the example, ascending.
    pub positions: Vec<u32>,
    /// For each: whether it shows `[MASK]`; otherwise it keeps its token.
    pub as_mask: Vec<bool>,
}

/// Chooses positions. [`Self::choose`] must depend on its arguments alone.
pub trait Masking: Send + Sync + Debug {
    /// Chooses positions of `ids`, an example without padding; `length` is the batch's.
    fn choose(
        &self,
        ids: &[u32],
        length: usize,
        special: &SpecialTokens,
        rng: &mut CounterRng,
    ) -> MaskedPositions;

    /// Positions that it chooses at most of an example in a batch of `length`. The lower it is, the less work a GPU
    /// does for nothing, where batches have room for as many.
    fn most(&self, length: usize) -> usize {
        length
    }
}

/// Distinct positions, uniformly among all but `[CLS]`, `[SEP]`, `[MASK]` and `[PAD]`.
///
/// `k = max(1, min(N, round_half_even(n * rate)))` of `n` tokens, `[CLS]` and `[SEP]` counted,
/// `N = floor((rate + 0.005) * length)`; `n * rate` is in single precision, as there.
///
/// Source: reference `pretrain/pretrain_helpers.py`, `mask`. Departure: the reference draws with
/// replacement ([`ReferenceMasking`]), which masks fewer than `k` positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UniformMasking {
    /// Share of an example's tokens.
    pub rate: f64,
    /// Share of the chosen positions that shows `[MASK]`.
    pub mask_share: f64,
}

/// The reference's draws: `k` times with replacement; a position that was drawn more than once counts
/// once, and keeps its token only if each of its draws said so.
///
/// Source: reference `pretrain/pretrain_helpers.py`, `mask`. Departure: the reference counts the loss of
/// a position once per draw, and averages the ids sampled for it to a third one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReferenceMasking {
    /// Draws as a share of an example's tokens.
    pub rate: f64,
    /// Share of the draws that shows `[MASK]`.
    pub mask_share: f64,
}

impl Masking for UniformMasking {
    fn choose(
        &self,
        ids: &[u32],
        length: usize,
        special: &SpecialTokens,
        rng: &mut CounterRng,
    ) -> MaskedPositions {
        let mut candidates = candidates(ids, special);
        let k = draws(ids.len(), length, self.rate).min(candidates.len());
        // The first k places of a Fisher-Yates shuffle.
        for i in 0..k {
            let j = i + rng.below((candidates.len() - i) as u64) as usize;
            candidates.swap(i, j);
        }
        candidates.truncate(k);
        candidates.sort_unstable();
        let as_mask = candidates.iter().map(|_| rng.coin(self.mask_share)).collect();
        MaskedPositions { positions: candidates, as_mask }
    }

    fn most(&self, length: usize) -> usize {
        most(length, self.rate)
    }
}

impl Masking for ReferenceMasking {
    fn choose(
        &self,
        ids: &[u32],
        length: usize,
        special: &SpecialTokens,
        rng: &mut CounterRng,
    ) -> MaskedPositions {
        let candidates = candidates(ids, special);
        if candidates.is_empty() {
            return MaskedPositions::default();
        }
        let mut drawn: Vec<(u32, bool)> = (0..draws(ids.len(), length, self.rate))
            .map(|_| {
                let position = candidates[rng.below(candidates.len() as u64) as usize];
                (position, rng.coin(self.mask_share))
            })
            .collect();
        // Masked draws sort behind unmasked ones, so the last of equal positions decides.
        drawn.sort_unstable();
        drawn.reverse();
        drawn.dedup_by_key(|(position, _)| *position);
        drawn.reverse();
        let (positions, as_mask) = drawn.into_iter().unzip();
        MaskedPositions { positions, as_mask }
    }

    fn most(&self, length: usize) -> usize {
        most(length, self.rate)
    }
}

/// Positions that may be masked.
fn candidates(ids: &[u32], special: &SpecialTokens) -> Vec<u32> {
    let never = [special.cls, special.sep, special.mask, special.pad];
    ids.iter()
        .zip(0..)
        .filter(|(id, _)| !never.contains(id))
        .map(|(_, position)| position)
        .collect()
}

/// How many positions are drawn of `tokens`, in a batch of `length`.
fn draws(tokens: usize, length: usize, rate: f64) -> usize {
    // In single precision, as TensorFlow multiplies: 190 x 0.15 is 28.500002 there, and 29 are drawn.
    let wanted = (tokens as f32 * rate as f32).round_ties_even() as usize;
    wanted.clamp(1, most(length, rate))
}

/// How many are drawn at most.
fn most(length: usize, rate: f64) -> usize {
    (((rate + 0.005) * length as f64) as usize).max(1)
}
