//! Masking of whole words, of n-grams and of rare tokens. Bounds are four standard errors of the binomial.

use crate::{Fixture, text};
use electra_data::{
    MaskedPositions, Masking, NGramMasking, RareMasking, ShardSet, Split, UniformMasking,
    WholeWordMasking,
    rng::{CounterRng, Purpose},
};
use electra_tokenize::SpecialTokens;
use proptest::prelude::*;
use std::{collections::BTreeMap, ops::Range};

const SPECIAL: SpecialTokens = SpecialTokens { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };
const ROUNDS: u64 = 40_000;

/// Ids from 100 continue a word; words have the ids from 10.
fn whole_word(rate: f64, mask_share: f64) -> WholeWordMasking {
    let continuations = (0..120).map(|id| id >= 100).collect();
    WholeWordMasking { rate, mask_share, continuations }
}

fn n_gram(rate: f64, mask_share: f64, max_length: usize) -> NGramMasking {
    NGramMasking { rate, mask_share, max_length }
}

/// The count of an id is its square.
fn rare(rate: f64, exponent: f64) -> RareMasking {
    let counts = (0..110u64).map(|id| id * id).collect();
    RareMasking { rate, mask_share: 0.85, exponent, counts }
}

fn choose(masking: &dyn Masking, ids: &[u32], length: usize, n: u64) -> MaskedPositions {
    masking.choose(ids, length, &SPECIAL, &mut CounterRng::new(7, Purpose::Masking, 0, n))
}

/// The number of positions of uniform masking, which `masking.rs` tests.
fn budget(tokens: usize, length: usize, rate: f64) -> usize {
    choose(&UniformMasking { rate, mask_share: 0.85 }, &vec![10; tokens], length, 0).positions.len()
}

fn is_special(id: u32) -> bool {
    [0, 2, 3, 4].contains(&id)
}

/// The words of an example.
fn words(ids: &[u32]) -> Vec<Range<usize>> {
    let starts = (0..ids.len())
        .filter(|&i| !is_special(ids[i]) && (ids[i] < 100 || i == 0 || is_special(ids[i - 1])));
    let end = |start: usize| {
        let pieces = ids[start + 1..].iter().take_while(|&&id| id >= 100);
        start + 1 + pieces.count()
    };
    starts.map(|start| start..end(start)).collect()
}

/// Whether each position is chosen, and whether each is masked.
fn flags(chosen: &MaskedPositions, tokens: usize) -> Vec<Option<bool>> {
    let mut flags = vec![None; tokens];
    for (&position, &as_mask) in chosen.positions.iter().zip(&chosen.as_mask) {
        flags[position as usize] = Some(as_mask);
    }
    flags
}

/// Checks that each outcome has its probability, and that there are no others.
#[track_caller]
fn check<T: Ord + std::fmt::Debug>(draw: impl Fn(u64) -> T, expected: &[(T, f64)]) {
    let mut counts = BTreeMap::new();
    (0..ROUNDS).for_each(|n| *counts.entry(draw(n)).or_insert(0u64) += 1);
    for (outcome, p) in expected {
        let count = counts.remove(outcome).unwrap_or(0) as f64;
        let (mean, sd) = (ROUNDS as f64 * p, (ROUNDS as f64 * p * (1.0 - p)).sqrt());
        assert!((count - mean).abs() <= 4.0 * sd, "{outcome:?}: {count}, expected {mean} ± {sd}");
    }
    assert!(counts.is_empty(), "{counts:?}");
}

fn ids() -> impl Strategy<Value = Vec<u32>> {
    let id = prop_oneof![1 => 0u32..5, 6 => 10u32..20, 6 => 100u32..115];
    prop::collection::vec(id, 1..160)
}

const RATES: [f64; 5] = [0.01, 0.15, 0.25, 0.5, 1.0];

proptest! {
    #[test]
    fn the_budget_is_never_exceeded(
        ids in ids(), at in 0usize..5, length in 1usize..200, max_length in 1usize..6, n: u64,
    ) {
        let rate = RATES[at];
        let maskings: [&dyn Masking; 3] =
            [&whole_word(rate, 0.85), &n_gram(rate, 0.85, max_length), &rare(rate, 0.5)];
        let candidates = ids.iter().filter(|id| !is_special(**id)).count();
        let k = budget(ids.len(), length, rate).min(candidates);
        for (masking, least) in maskings.into_iter().zip([k.min(1), k, k]) {
            let chosen = choose(masking, &ids, length, n);
            prop_assert_eq!(&chosen, &choose(masking, &ids, length, n));
            prop_assert!(chosen.positions.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(chosen.positions.len(), chosen.as_mask.len());
            prop_assert!(chosen.positions.iter().all(|&at| !is_special(ids[at as usize])));
            let found = chosen.positions.len();
            prop_assert!((least..=k).contains(&found), "{masking:?}: {found} of {k}");
            prop_assert!(found <= masking.most(length), "{masking:?}: {found}");
        }
    }

    /// No word that was left out fits the rest of the budget. Only if no word fits at all, words are split.
    #[test]
    fn words_are_never_split(ids in ids(), at in 0usize..5, length in 1usize..200, n: u64) {
        let rate = RATES[at];
        let (words, k) = (words(&ids), budget(ids.len(), length, rate));
        let chosen = choose(&whole_word(rate, 0.5), &ids, length, n);
        let flags = flags(&chosen, ids.len());
        if !words.is_empty() && words.iter().all(|word| word.len() > k) {
            prop_assert_eq!(chosen.positions.len(), k);
            return Ok(());
        }
        let rest = k - chosen.positions.len();
        for word in words {
            let flag = flags[word.start];
            prop_assert!(flags[word.clone()].iter().all(|&other| other == flag), "{flags:?}");
            prop_assert!(flag.is_some() || word.len() > rest, "{word:?} fits {rest}");
        }
    }
}

/// Two of four tokens, in words A A, B and C. With probability 1/3, A is drawn first and fills the budget; otherwise A does
/// not fit behind the first word, and both others are chosen.
#[test]
fn words_are_drawn_uniformly() {
    let ids = [10, 100, 11, 12];
    let draw = |n| choose(&whole_word(0.5, 0.85), &ids, 4, n).positions;
    check(draw, &[(vec![0, 1], 1.0 / 3.0), (vec![2, 3], 2.0 / 3.0)]);
}

/// Two of five tokens: the words are the positions 1 and 2, and 4.
#[test]
fn words_end_at_special_tokens() {
    let ids = [2, 100, 101, 3, 102];
    let draw = |n| choose(&whole_word(0.4, 0.85), &ids, 5, n).positions;
    check(draw, &[(vec![1, 2], 0.5), (vec![4], 0.5)]);
}

/// Two of four tokens of one word.
#[test]
fn tokens_are_drawn_if_no_word_fits() {
    let ids = [10, 100, 101, 102];
    let draw = |n| choose(&whole_word(0.5, 0.85), &ids, 4, n).positions;
    let pairs = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]];
    check(draw, &pairs.map(|pair| (pair.to_vec(), 1.0 / 6.0)));
}

/// Words of 2 and of 3 tokens, all of which are chosen: one coin for each.
#[test]
fn a_word_is_masked_as_a_whole() {
    let ids = [10, 100, 11, 101, 102];
    let draw = |n| choose(&whole_word(1.0, 0.85), &ids, 5, n).as_mask;
    let outcome = |a, b| vec![a, a, b, b, b];
    check(
        draw,
        &[
            (outcome(true, true), 0.85 * 0.85),
            (outcome(true, false), 0.85 * 0.15),
            (outcome(false, true), 0.15 * 0.85),
            (outcome(false, false), 0.15 * 0.15),
        ],
    );
}

/// Two of three tokens, in spans of at most 2. A span of length 2 has probability 1/3 where it fits (1/2 of 1 + 1/2), so:
/// - from 0: {0, 1} with 1/3, else {0, 1} or {0, 2} with 1/2 each;
/// - from 1: {1, 2} with 1/3, else {0, 1} or {1, 2} with 1/2 each;
/// - from 2, where only length 1 fits: {0, 2} or {1, 2} with 1/2 each.
#[test]
fn spans_start_uniformly_and_short_ones_are_more_frequent() {
    let draw = |n| choose(&n_gram(0.6, 0.85, 2), &[10, 11, 12], 4, n).positions;
    let expected = [(vec![0, 1], 6.0), (vec![0, 2], 5.0), (vec![1, 2], 7.0)];
    check(draw, &expected.map(|(positions, eighteenths)| (positions, eighteenths / 18.0)));
}

/// All of three tokens, with one coin of 1/2 per span, so all are masked with probability E 2^-spans. In a pair of tokens:
/// 1/2 (1/3 1/2 + 2/3 1/4) + 1/2 1/4 = 7/24. In three:
/// - from 0: length 3 (2/11) 1/2, length 2 (3/11) 1/4, length 1 (6/11) 1/2 7/24; together 21/88;
/// - from 1: length 2 (1/3) 1/4, length 1 (2/3) 1/8; together 1/6;
/// - from 2: 1/2 7/24.
#[test]
fn span_lengths_are_inversely_proportional() {
    let draw = |n| choose(&n_gram(1.0, 0.5, 3), &[10, 11, 12], 3, n).as_mask == [true; 3];
    let p = (21.0 / 88.0 + 1.0 / 6.0 + 7.0 / 48.0) / 3.0;
    check(draw, &[(true, p), (false, 1.0 - p)]);
}

/// A span over `[SEP]` would have one coin for both tokens.
#[test]
fn spans_do_not_cross_special_tokens() {
    let draw = |n| choose(&n_gram(1.0, 0.5, 3), &[10, 3, 11], 3, n).as_mask;
    let outcomes = [[false, false], [false, true], [true, false], [true, true]];
    check(draw, &outcomes.map(|outcome| (outcome.to_vec(), 0.25)));
}

/// A maximum far above the length of the example is no more work.
#[test]
fn the_maximum_length_of_spans_has_no_limit() {
    let ids = vec![10; 64];
    for (equal, other) in [(1, 0), (64, usize::MAX)] {
        let [a, b] = [equal, other].map(|max| choose(&n_gram(1.0, 0.5, max), &ids, 64, 3));
        assert_eq!(a, b);
    }
}

/// One of five tokens with counts 1, 4, 16, 100 and 0, which has the weight of 1.
#[test]
fn the_first_rare_position_has_the_probability_of_its_weight() {
    for (exponent, weights) in [
        (0.0, [1.0, 1.0, 1.0, 1.0, 1.0]),
        (0.5, [1.0, 1.0 / 2.0, 1.0 / 4.0, 1.0 / 10.0, 1.0]),
        (1.0, [1.0, 1.0 / 4.0, 1.0 / 16.0, 1.0 / 100.0, 1.0]),
    ] {
        let mut counts = vec![0; 15];
        counts[10..14].copy_from_slice(&[1, 4, 16, 100]);
        let masking = RareMasking { rate: 0.15, mask_share: 0.85, exponent, counts };
        let draw = |n| choose(&masking, &[10, 11, 12, 13, 14], 8, n).positions;
        let sum: f64 = weights.iter().sum();
        let expected: Vec<_> =
            (0..).zip(weights).map(|(position, weight)| (vec![position], weight / sum)).collect();
        check(draw, &expected);
    }
}

/// Two of three tokens with weights 1, 1/2 and 1/4: a pair has probability p q / (1 - p) + q p / (1 - q) with the first
/// probabilities 4/7, 2/7 and 1/7.
#[test]
fn rare_positions_are_drawn_without_replacement() {
    let counts = [vec![0; 10], vec![1, 4, 16]].concat();
    let masking = RareMasking { rate: 0.6, mask_share: 0.85, exponent: 0.5, counts };
    let draw = |n| choose(&masking, &[10, 11, 12], 4, n).positions;
    let pair = |p: f64, q: f64| p * q / (1.0 - p) + q * p / (1.0 - q);
    let [a, b, c] = [4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0];
    check(draw, &[(vec![0, 1], pair(a, b)), (vec![0, 2], pair(a, c)), (vec![1, 2], pair(b, c))]);
}

/// The weight 10000^-1000 is 0 in double precision. Ids beyond the counts have count 1. The last candidate, 109, is the most
/// frequent one.
#[test]
fn extreme_exponents_and_unknown_ids_are_valid() {
    for n in 0..1000 {
        let chosen = choose(&rare(0.5, 1000.0), &[100, 109, 119, 101, 2, 3], 6, n);
        assert_eq!(chosen.positions, [0, 2, 3]);
    }
}

#[test]
fn different_examples_have_different_positions() {
    let ids: Vec<u32> = (0..128).map(|i| if i % 3 == 0 { 10 + i % 9 } else { 100 }).collect();
    let maskings: [&dyn Masking; 3] =
        [&whole_word(0.15, 0.85), &n_gram(0.15, 0.85, 3), &rare(0.15, 0.5)];
    for masking in maskings {
        assert_ne!(choose(masking, &ids, 128, 0), choose(masking, &ids, 128, 1), "{masking:?}");
    }
}

#[test]
fn shards_know_which_tokens_continue_a_word() {
    let fixture = Fixture::new();
    let corpus = fixture.write("corpus.txt", text(20));
    fixture.shards(&corpus, "shards", 32).unwrap();
    let shards = ShardSet::open(&fixture.path("shards"), Split::Train).unwrap();
    let continuations = shards.continuations().unwrap();
    // Five special tokens, 26 letters, 26 continuations and two marks.
    let expected: Vec<bool> = (0..59).map(|id| (31..57).contains(&id)).collect();
    assert_eq!(continuations, expected);
}
