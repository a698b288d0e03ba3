//! Masking of n-grams: spans of consecutive tokens.

use super::seam::{MaskedPositions, Masking, candidates, draw, draws, is_special, most};
use crate::rng::CounterRng;
use electra_tokenize::SpecialTokens;

/// Samples disjoint spans of 1 to `max_length` tokens until `k` tokens are chosen, with the `k` of
/// [`super::UniformMasking`]. Either all or none of a span's tokens become `[MASK]`.
///
/// The start of a span is uniform over the positions that are not chosen yet. Its length is `n` with probability
/// proportional to `1 / n`, among the lengths that fit: spans end before special tokens, before chosen positions, and when
/// `k` is reached. So exactly `k` tokens are chosen, or all if there are fewer.
///
/// Source: Lan et al. 2020 (ALBERT, arXiv:1909.11942), section 4.1, with n up to 3; also DeBERTa
/// `apps/tasks/mlm_task.py`, `NGramMaskGenerator`. `[MASK]` is sampled per span as in Joshi et al. 2020 (SpanBERT,
/// arXiv:1907.10529), section 3.1, whose lengths are geometric. Differences: ALBERT and DeBERTa count whole words and
/// sample `[MASK]` for each token. ALBERT shortens a span that exceeds `k`; DeBERTa samples each span in a window of its
/// own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NGramMasking {
    /// Fraction of an example's tokens.
    pub rate: f64,
    /// Fraction of the chosen spans replaced by `[MASK]`.
    pub mask_share: f64,
    /// Maximum tokens per span. 0 is the same as 1.
    pub max_length: usize,
}

impl Masking for NGramMasking {
    fn choose(
        &self,
        ids: &[u32],
        length: usize,
        special: &SpecialTokens,
        rng: &mut CounterRng,
    ) -> MaskedPositions {
        let mut starts = candidates(ids, special);
        let k = draws(ids.len(), length, self.rate).min(starts.len());
        let mut free: Vec<bool> = ids.iter().map(|id| !is_special(*id, special)).collect();
        let mut chosen: Vec<(u32, bool)> = Vec::with_capacity(k);
        let mut drawn = 0;
        while chosen.len() < k {
            let start = draw(&mut starts, drawn, rng) as usize;
            drawn += 1;
            if !free[start] {
                continue;
            }
            let longest = self.max_length.clamp(1, k - chosen.len());
            let fits = free[start..].iter().take(longest).take_while(|&&free| free).count();
            let span = start..start + span_length(fits, rng);
            let as_mask = rng.coin(self.mask_share);
            free[span.clone()].fill(false);
            chosen.extend(span.map(|position| (position as u32, as_mask)));
        }
        chosen.sort_unstable();
        let (positions, as_mask) = chosen.into_iter().unzip();
        MaskedPositions { positions, as_mask }
    }

    fn most(&self, length: usize) -> usize {
        most(length, self.rate)
    }
}

/// A length from 1 to `longest`, `n` with probability proportional to `1 / n`.
fn span_length(longest: usize, rng: &mut CounterRng) -> usize {
    let weight = |n: usize| 1.0 / n as f64;
    let mut rest = rng.uniform() * (1..=longest).map(weight).sum::<f64>();
    for n in 1..longest {
        rest -= weight(n);
        if rest < 0.0 {
            return n;
        }
    }
    longest
}
