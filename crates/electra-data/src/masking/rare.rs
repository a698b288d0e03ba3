//! Strategic masking: rare tokens are masked more often.

use super::seam::{MaskedPositions, Masking, candidates, draws, most};
use crate::rng::CounterRng;
use electra_tokenize::SpecialTokens;

/// Samples `k` distinct positions one after the other, with the `k` of [`super::UniformMasking`], each with probability
/// proportional to the weight `max(count, 1)^(-exponent)` of its token among the positions that are left.
///
/// Source: Clark et al. 2020, appendix H, which says that rarer tokens are masked more frequently, but not how; the weights
/// are those of Lample and Conneau 2019 (XLM, arXiv:1901.07291), section 3.3, with the exponent 0.5. Sampling by the
/// smallest of exponential variables: Efraimidis and Spirakis 2006.
#[derive(Clone, Debug, PartialEq)]
pub struct RareMasking {
    /// Fraction of an example's tokens.
    pub rate: f64,
    /// Fraction of the chosen positions replaced by `[MASK]`.
    pub mask_share: f64,
    /// 0 samples uniformly; the higher, the more often rare tokens are chosen.
    pub exponent: f64,
    /// Count of each id in the corpus ([`crate::ShardSet::unigram_counts`]). Ids beyond the end have count 1.
    pub counts: Vec<u64>,
}

impl Masking for RareMasking {
    fn choose(
        &self,
        ids: &[u32],
        length: usize,
        special: &SpecialTokens,
        rng: &mut CounterRng,
    ) -> MaskedPositions {
        // An exponential variable divided by w is the waiting time for an event of rate w, so the k positions with the
        // smallest quotients are a sample without replacement. Logarithms, so that no weight underflows.
        let mut times: Vec<(f64, u32)> = candidates(ids, special)
            .into_iter()
            .map(|position| {
                let id = ids[position as usize] as usize;
                let count = self.counts.get(id).map_or(1, |&count| count.max(1));
                let exponential = -(-rng.uniform()).ln_1p();
                (exponential.ln() + self.exponent * (count as f64).ln(), position)
            })
            .collect();
        times.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        times.truncate(draws(ids.len(), length, self.rate));
        let mut positions: Vec<u32> = times.into_iter().map(|(_, position)| position).collect();
        positions.sort_unstable();
        let as_mask = positions.iter().map(|_| rng.coin(self.mask_share)).collect();
        MaskedPositions { positions, as_mask }
    }

    fn most(&self, length: usize) -> usize {
        most(length, self.rate)
    }
}
