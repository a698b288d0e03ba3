//! Masking of positions drawn with replacement, as in the reference.

use super::seam::{MaskedPositions, Masking, candidates, draws, most};
use crate::rng::CounterRng;
use electra_tokenize::SpecialTokens;

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
