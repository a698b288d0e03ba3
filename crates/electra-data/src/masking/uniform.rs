//! Masking of distinct positions, drawn uniformly.

use super::seam::{MaskedPositions, Masking, candidates, draw, draws, most};
use crate::rng::CounterRng;
use electra_tokenize::SpecialTokens;

/// Samples distinct positions uniformly, excluding `[CLS]`, `[SEP]`, `[MASK]` and `[PAD]`.
///
/// Samples `k = max(1, min(N, round_half_even(n * rate)))` of `n` tokens, counting `[CLS]` and `[SEP]`, with
/// `N = floor((rate + 0.005) * length)`. `n * rate` is computed in single precision, as in the reference.
///
/// Source: reference `pretrain/pretrain_helpers.py`, `mask`. Difference: the reference samples with replacement
/// ([`super::ReferenceMasking`]), which masks fewer than `k` positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UniformMasking {
    /// Fraction of an example's tokens.
    pub rate: f64,
    /// Fraction of the chosen positions replaced by `[MASK]`.
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
        let mut positions: Vec<u32> = (0..k).map(|i| draw(&mut candidates, i, rng)).collect();
        positions.sort_unstable();
        let as_mask = positions.iter().map(|_| rng.coin(self.mask_share)).collect();
        MaskedPositions { positions, as_mask }
    }

    fn most(&self, length: usize) -> usize {
        most(length, self.rate)
    }
}
