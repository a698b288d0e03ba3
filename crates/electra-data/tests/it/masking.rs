//! Masking: number and distribution of positions. Bounds are six standard deviations of the binomial.

use electra_data::{
    Masking, ReferenceMasking, UniformMasking,
    rng::{CounterRng, Purpose},
};
use electra_tokenize::SpecialTokens;
use proptest::prelude::*;
use std::cmp::Ordering;

const SPECIAL: SpecialTokens = SpecialTokens { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };
const UNIFORM: UniformMasking = UniformMasking { rate: 0.15, mask_share: 0.85 };
const REFERENCE: ReferenceMasking = ReferenceMasking { rate: 0.15, mask_share: 0.85 };

fn example(tokens: usize) -> Vec<u32> {
    let text = (0..tokens - 3).map(|i| 10 + (i % 50) as u32);
    let mut ids: Vec<u32> = std::iter::once(2).chain(text).collect();
    ids.insert(ids.len() / 2, 3);
    ids.push(3);
    ids
}

fn rng(n: u64) -> CounterRng {
    CounterRng::new(7, Purpose::Masking, 0, n)
}

/// The reference's formula `max(1, min(floor((rate + 0.005) * length), round_half_even(tokens * rate)))`, computed by
/// hand.
#[test]
fn the_number_of_positions_equals_the_reference() {
    let check = |tokens: usize, length, expected| {
        let found = UNIFORM.choose(&example(tokens), length, &SPECIAL, &mut rng(0)).positions.len();
        assert_eq!(found, expected, "{tokens} tokens of {length}");
    };
    check(128, 128, 19); // 19.2
    check(10, 128, 2); // 1.5 rounds to even: 2
    check(30, 128, 4); // 4.5 rounds to even: 4
    check(4, 128, 1); // 0.6
    check(128, 64, 9); // at most floor(0.155 * 64 = 9.92)
}

/// `n x numerator / denominator` rounded half to even, in integer arithmetic.
fn half_even(n: usize, numerator: usize, denominator: usize) -> usize {
    let (floor, rest) = (n * numerator / denominator, n * numerator % denominator);
    match (2 * rest).cmp(&denominator) {
        Ordering::Less => floor,
        Ordering::Equal => floor + floor % 2,
        Ordering::Greater => floor + 1,
    }
}

/// For all lengths. TensorFlow multiplies in single precision, where 0.15 is 0.150000006: for these three lengths the
/// product is above the exact half (computed with Python's `struct`, format `f`).
#[test]
fn the_number_of_positions_is_rounded_in_single_precision() {
    const ABOVE: [(usize, usize); 3] = [(190, 29), (350, 53), (390, 59)];
    for (rate, (numerator, denominator)) in [(0.15, (15, 100)), (0.25, (1, 4))] {
        let uniform = UniformMasking { rate, mask_share: 0.85 };
        let reference = ReferenceMasking { rate, mask_share: 0.85 };
        for n in 1..=512usize {
            let above = ABOVE.iter().find(|(length, _)| *length == n && rate == 0.15);
            let k = above.map_or(half_even(n, numerator, denominator), |(_, k)| *k).max(1);
            let ids = vec![10; n];
            let chosen = uniform.choose(&ids, 512, &SPECIAL, &mut rng(0));
            assert_eq!(chosen.positions.len(), k, "{n} tokens at {rate}");
            // Sampled positions may be equal; each sample uses two random numbers, for position and coin.
            let (mut used, mut fresh) = (rng(n as u64), rng(n as u64));
            let chosen = reference.choose(&ids, 512, &SPECIAL, &mut used);
            assert!((1..=k).contains(&chosen.positions.len()), "{n} tokens at {rate}");
            for _ in 0..2 * k {
                fresh.next_u64();
            }
            assert_eq!(used.next_u64(), fresh.next_u64(), "{n} tokens at {rate}: {k} samples");
        }
    }
}

proptest! {
    #[test]
    fn positions_are_distinct_ascending_and_never_special(tokens in 4usize..200, n: u64) {
        let ids = example(tokens);
        for masking in [&UNIFORM as &dyn Masking, &REFERENCE] {
            let chosen = masking.choose(&ids, 200, &SPECIAL, &mut rng(n));
            prop_assert!(chosen.positions.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(chosen.positions.len(), chosen.as_mask.len());
            prop_assert!(!chosen.positions.is_empty());
            for &position in &chosen.positions {
                prop_assert!(![0, 2, 3, 4].contains(&ids[position as usize]));
            }
        }
    }
}

#[test]
fn without_candidates_nothing_is_chosen() {
    let ids = [2, 3, 4, 0];
    assert!(UNIFORM.choose(&ids, 4, &SPECIAL, &mut rng(0)).positions.is_empty());
    assert!(REFERENCE.choose(&ids, 4, &SPECIAL, &mut rng(0)).positions.is_empty());
}

#[test]
fn positions_are_uniform_and_85_percent_are_masked() {
    let ids = example(128);
    let (mut counts, mut masks, mut all) = ([0u32; 128], 0u32, 0u32);
    let rounds = 20_000u64;
    for n in 0..rounds {
        let chosen = UNIFORM.choose(&ids, 128, &SPECIAL, &mut rng(n));
        for (&position, &as_mask) in chosen.positions.iter().zip(&chosen.as_mask) {
            counts[position as usize] += 1;
            masks += u32::from(as_mask);
            all += 1;
        }
    }
    let p = 19.0 / 125.0; // 19 of the 125 tokens that are not special
    let sd = (rounds as f64 * p * (1.0 - p)).sqrt();
    for (position, &count) in counts.iter().enumerate().filter(|&(i, _)| ids[i] >= 10) {
        let error = (f64::from(count) - rounds as f64 * p).abs();
        assert!(error < 6.0 * sd, "position {position}: {count}");
    }
    let sd = (f64::from(all) * 0.85 * 0.15).sqrt();
    assert!((f64::from(masks) - 0.85 * f64::from(all)).abs() < 6.0 * sd);
}

/// `[CLS]`, 126 candidates, `[SEP]`: a full sequence with one segment; 19 positions are sampled.
fn single_segment() -> Vec<u32> {
    let text = (0..126).map(|i| 10 + i % 50);
    std::iter::once(2).chain(text).chain([3]).collect()
}

/// Of k samples with replacement from m, `m (1 - (1 - 1/m)^k)` are distinct on average: 17.70 here. The variance is that
/// of occupied cells, `m (m-1) (1 - 2/m)^k + m (1 - 1/m)^k - m^2 (1 - 1/m)^(2k)`.
#[test]
fn reference_masking_samples_with_replacement() {
    let ids = single_segment();
    let rounds = 10_000u64;
    let distinct: usize = (0..rounds)
        .map(|n| REFERENCE.choose(&ids, 128, &SPECIAL, &mut rng(n)).positions.len())
        .sum();
    let mean = distinct as f64 / rounds as f64;
    let (m, k) = (126.0f64, 19);
    let empty = |cells: f64| (1.0 - cells / m).powi(k);
    let expected = m * (1.0 - empty(1.0));
    let variance = m * (m - 1.0) * empty(2.0) + m * empty(1.0) - (m * empty(1.0)).powi(2);
    assert!((expected - 17.70).abs() < 0.005 && variance > 0.0, "{expected}, {variance}");
    let sd = (variance / rounds as f64).sqrt();
    assert!((mean - expected).abs() < 6.0 * sd, "{mean}, expected {expected}");
}

/// Each of k samples from m candidates is a given one with probability 1 / m.
#[test]
fn positions_of_reference_masking_are_uniform() {
    let ids = single_segment();
    let rounds = 20_000u64;
    let mut counts = [0u32; 128];
    for n in 0..rounds {
        for position in REFERENCE.choose(&ids, 128, &SPECIAL, &mut rng(n)).positions {
            counts[position as usize] += 1;
        }
    }
    let p = 1.0 - (125.0f64 / 126.0).powi(19);
    let sd = (rounds as f64 * p * (1.0 - p)).sqrt();
    for (position, &count) in counts.iter().enumerate().take(127).skip(1) {
        let error = (f64::from(count) - rounds as f64 * p).abs();
        assert!(error < 6.0 * sd, "position {position}: {count}");
    }
    assert_eq!((counts[0], counts[127]), (0, 0));
}

/// A single candidate among `[SEP]`s is sampled k times: 10 x 0.15 = 1.5 rounds to 2, and 20 x 0.15 is 3. It keeps its
/// token only if all samples keep it, with probability 0.15^k.
#[test]
fn a_position_keeps_its_token_only_if_all_its_samples_keep_it() {
    for (tokens, k) in [(10, 2), (20, 3)] {
        let mut ids = vec![3; tokens];
        ids[4] = 10;
        let rounds = 40_000u64;
        let kept = (0..rounds)
            .map(|n| REFERENCE.choose(&ids, 128, &SPECIAL, &mut rng(n)))
            .inspect(|chosen| assert_eq!(chosen.positions, [4]))
            .filter(|chosen| chosen.as_mask == [false])
            .count();
        let p = 0.15f64.powi(k);
        let sd = (rounds as f64 * p * (1.0 - p)).sqrt();
        let error = (kept as f64 - rounds as f64 * p).abs();
        assert!(error < 6.0 * sd, "{kept} of {rounds} for {k} samples");
    }
}

/// `[UNK]` is at odd positions, `[MASK]` in the text at even positions.
#[test]
fn unk_can_be_chosen_but_mask_cannot() {
    let ids: Vec<u32> =
        (0..40).map(|i| if i % 2 == 1 { SPECIAL.unk } else { SPECIAL.mask }).collect();
    for masking in [&UNIFORM as &dyn Masking, &REFERENCE] {
        let mut seen = [false; 40];
        // A position is never sampled in 300 rounds of 6 with probability (19/20)^1800, below 1e-40.
        for n in 0..300 {
            for position in masking.choose(&ids, 128, &SPECIAL, &mut rng(n)).positions {
                seen[position as usize] = true;
            }
        }
        for (position, &seen) in seen.iter().enumerate() {
            assert_eq!(seen, position % 2 == 1, "position {position}");
        }
    }
}

#[test]
fn streams_with_different_keys_differ() {
    let first = |seed, purpose, a, b| CounterRng::new(seed, purpose, a, b).next_u64();
    let keys = [
        first(1, Purpose::Masking, 0, 0),
        first(2, Purpose::Masking, 0, 0),
        first(1, Purpose::Order, 0, 0),
        first(1, Purpose::Masking, 1, 0),
        first(1, Purpose::Masking, 0, 1),
    ];
    let distinct: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
    assert_eq!(keys[0], first(1, Purpose::Masking, 0, 0));
}

/// The maximum is `floor((rate + 0.005) * length)`, which full examples reach.
#[test]
fn the_number_of_positions_has_the_documented_maximum() {
    assert_eq!((UNIFORM.most(128), UNIFORM.most(512), UNIFORM.most(4)), (19, 79, 1));
    let maskings: [&dyn Masking; 2] = [&UNIFORM, &REFERENCE];
    for masking in maskings {
        for (tokens, length) in [(4, 4), (5, 64), (64, 64), (128, 64), (128, 128), (300, 512)] {
            let chosen = masking.choose(&example(tokens), length, &SPECIAL, &mut rng(1));
            let (found, most) = (chosen.positions.len(), masking.most(length));
            assert!((1..=most).contains(&found), "{found} of at most {most}");
        }
    }
}
