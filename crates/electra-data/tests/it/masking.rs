//! Masking: how many, where, and with which shares. Bounds are six standard deviations of the binomial.

use electra_data::{
    Masking, ReferenceMasking, UniformMasking,
    rng::{CounterRng, Purpose},
};
use electra_tokenize::SpecialTokens;
use proptest::prelude::*;

const SPECIAL: SpecialTokens = SpecialTokens { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };
const UNIFORM: UniformMasking = UniformMasking { rate: 0.15, mask_share: 0.85 };

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

/// `max(1, min(floor((rate + 0.005) * length), round_half_even(tokens * rate)))`: the values of the reference's
/// formula, worked out by hand.
#[test]
fn as_many_positions_as_the_reference_says() {
    let check = |tokens: usize, length, expected| {
        let found = UNIFORM.choose(&example(tokens), length, &SPECIAL, &mut rng(0)).positions.len();
        assert_eq!(found, expected, "{tokens} tokens of {length}");
    };
    check(128, 128, 19); // 19.2
    check(10, 128, 2); // 1.5 goes to the even 2
    check(30, 128, 4); // 4.5 goes to the even 4
    check(4, 128, 1); // 0.6
    check(128, 64, 9); // no more than (0.155 * 64 = 9.92)
}

proptest! {
    #[test]
    fn positions_are_distinct_ascending_and_never_special(tokens in 4usize..200, n: u64) {
        let ids = example(tokens);
        for masking in [&UNIFORM as &dyn Masking, &ReferenceMasking { rate: 0.15, mask_share: 0.85 }] {
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
fn nothing_is_chosen_where_there_is_nothing_to_choose() {
    let ids = [2, 3, 4, 0];
    assert!(UNIFORM.choose(&ids, 4, &SPECIAL, &mut rng(0)).positions.is_empty());
    let reference = ReferenceMasking { rate: 0.15, mask_share: 0.85 };
    assert!(reference.choose(&ids, 4, &SPECIAL, &mut rng(0)).positions.is_empty());
}

#[test]
fn every_position_is_equally_likely_and_85_percent_show_mask() {
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
    let p = 19.0 / 125.0; // 19 of the 125 that are not special
    let sd = (rounds as f64 * p * (1.0 - p)).sqrt();
    for (position, &count) in counts.iter().enumerate().filter(|&(i, _)| ids[i] >= 10) {
        let off = (f64::from(count) - rounds as f64 * p).abs();
        assert!(off < 6.0 * sd, "position {position}: {count}");
    }
    let sd = (f64::from(all) * 0.85 * 0.15).sqrt();
    assert!((f64::from(masks) - 0.85 * f64::from(all)).abs() < 6.0 * sd);
}

/// Of k draws with replacement from n, `n (1 - (1 - 1/n)^k)` are distinct on average.
#[test]
fn the_reference_draws_with_replacement() {
    let ids = example(128);
    let masking = ReferenceMasking { rate: 0.15, mask_share: 0.85 };
    let rounds = 5_000u64;
    let distinct: usize =
        (0..rounds).map(|n| masking.choose(&ids, 128, &SPECIAL, &mut rng(n)).positions.len()).sum();
    let mean = distinct as f64 / rounds as f64;
    let expected = 125.0 * (1.0 - (124.0f64 / 125.0).powi(19));
    // The number of repeats is about Poisson with mean 19 - expected = 1.3.
    let sd = ((19.0 - expected) / rounds as f64).sqrt();
    assert!((mean - expected).abs() < 6.0 * sd, "{mean}, expected {expected}");
}

#[test]
fn streams_of_other_keys_are_other_streams() {
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
