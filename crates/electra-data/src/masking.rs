//! Masking: the trait, and two implementations.

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

/// Samples distinct positions uniformly, excluding `[CLS]`, `[SEP]`, `[MASK]` and `[PAD]`.
///
/// Samples `k = max(1, min(N, round_half_even(n * rate)))` of `n` tokens, counting `[CLS]` and `[SEP]`, with
/// `N = floor((rate + 0.005) * length)`. `n * rate` is computed in single precision, as in the reference.
///
/// Source: reference `pretrain/pretrain_helpers.py`, `mask`. Difference: the reference samples with replacement
/// ([`ReferenceMasking`]), which masks fewer than `k` positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UniformMasking {
    /// Fraction of an example's tokens.
    pub rate: f64,
    /// Fraction of the chosen positions replaced by `[MASK]`.
    pub mask_share: f64,
}

/// Samples `k` positions with replacement, as the reference does. A position sampled more than once counts once, and
/// keeps its token only if all its samples keep it.
///
/// Source: reference `pretrain/pretrain_helpers.py`, `mask`. Difference: the reference counts the loss of a position
/// once per sample, and replaces its token by the average of the ids sampled for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReferenceMasking {
    /// Number of samples as a fraction of an example's tokens.
    pub rate: f64,
    /// Fraction of the samples replaced by `[MASK]`.
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
        // The first k elements of a Fisher-Yates shuffle.
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
        // Masked samples sort after unmasked ones, so for equal positions the last decides.
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

/// Whether a token is never masked.
pub(crate) fn is_special(id: u32, special: &SpecialTokens) -> bool {
    [special.cls, special.sep, special.mask, special.pad].contains(&id)
}

/// Positions that may be masked.
fn candidates(ids: &[u32], special: &SpecialTokens) -> Vec<u32> {
    ids.iter()
        .zip(0..)
        .filter(|(id, _)| !is_special(**id, special))
        .map(|(_, position)| position)
        .collect()
}

/// Number of positions to sample for an example of `tokens` in a batch of `length`.
fn draws(tokens: usize, length: usize, rate: f64) -> usize {
    // In single precision, as in TensorFlow: 190 x 0.15 is 28.500002, which rounds to 29.
    let wanted = (tokens as f32 * rate as f32).round_ties_even() as usize;
    wanted.clamp(1, most(length, rate))
}

/// Maximum number of positions to sample.
fn most(length: usize, rate: f64) -> usize {
    (((rate + 0.005) * length as f64) as usize).max(1)
}
