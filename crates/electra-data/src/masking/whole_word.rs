//! Masking of whole words.

use super::{
    seam::{MaskedPositions, Masking, draw, draws, is_special, most},
    uniform::UniformMasking,
};
use crate::rng::CounterRng;
use electra_tokenize::SpecialTokens;

/// Samples distinct words uniformly until `k` tokens are chosen, with the `k` of [`UniformMasking`]. All tokens of a chosen
/// word are chosen, and either all or none of them become `[MASK]`.
///
/// A word is a token and the continuations behind it; a continuation behind a special token starts a word, which packing
/// has split. A word that would exceed `k` is skipped and another one is sampled, so fewer than `k` tokens are chosen if no
/// other word fits. If all words have more than `k` tokens, `k` tokens are sampled as by [`UniformMasking`], the only case
/// in which words are split.
///
/// Source: google-research/bert `create_pretraining_data.py`, `do_whole_word_mask`. Differences: it rounds `k` in double
/// precision, samples `[MASK]` for each token of a word, and chooses nothing if no word fits.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeWordMasking {
    /// Fraction of an example's tokens.
    pub rate: f64,
    /// Fraction of the chosen words replaced by `[MASK]`.
    pub mask_share: f64,
    /// For each id, whether its token continues the word before it ([`crate::ShardSet::continuations`]). Ids beyond the
    /// end start a word.
    pub continuations: Vec<bool>,
}

impl WholeWordMasking {
    /// The words of an example: first position, and the position behind the last.
    fn words(&self, ids: &[u32], special: &SpecialTokens) -> Vec<(u32, u32)> {
        let mut words: Vec<(u32, u32)> = Vec::new();
        for (&id, position) in ids.iter().zip(0..).filter(|(id, _)| !is_special(**id, special)) {
            let continues = self.continuations.get(id as usize).is_some_and(|&continues| continues);
            match words.last_mut() {
                Some((_, end)) if continues && *end == position => *end += 1,
                _ => words.push((position, position + 1)),
            }
        }
        words
    }
}

impl Masking for WholeWordMasking {
    fn choose(
        &self,
        ids: &[u32],
        length: usize,
        special: &SpecialTokens,
        rng: &mut CounterRng,
    ) -> MaskedPositions {
        let Self { rate, mask_share, .. } = *self;
        let mut words = self.words(ids, special);
        let k = draws(ids.len(), length, rate);
        let mut chosen: Vec<(u32, bool)> = Vec::with_capacity(k);
        for drawn in 0..words.len() {
            if chosen.len() == k {
                break;
            }
            let (start, end) = draw(&mut words, drawn, rng);
            if chosen.len() + (end - start) as usize <= k {
                let as_mask = rng.coin(mask_share);
                chosen.extend((start..end).map(|position| (position, as_mask)));
            }
        }
        if chosen.is_empty() {
            return UniformMasking { rate, mask_share }.choose(ids, length, special, rng);
        }
        chosen.sort_unstable();
        let (positions, as_mask) = chosen.into_iter().unzip();
        MaskedPositions { positions, as_mask }
    }

    fn most(&self, length: usize) -> usize {
        most(length, self.rate)
    }
}
