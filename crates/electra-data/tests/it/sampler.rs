//! Each epoch has every example once, in an order that depends only on seed and epoch.

use electra_data::Sampler;
use proptest::prelude::*;
use std::collections::HashSet;

proptest! {
    #[test]
    fn each_epoch_has_every_example_once(examples in 1u64..3000, seed: u64, epoch in 0u64..3) {
        let sampler = Sampler::new(examples, seed);
        let seen: HashSet<u64> = (0..examples)
            .map(|i| sampler.example_at(epoch * examples + i))
            .map(|(found, index)| { assert_eq!(found, epoch); index })
            .collect();
        prop_assert_eq!(seen.len() as u64, examples);
        prop_assert!(seen.iter().all(|&index| index < examples));
    }
}

#[test]
fn orders_differ_between_epochs_and_seeds() {
    let order = |seed, epoch: u64| -> Vec<u64> {
        (0..1000u64).map(|i| Sampler::new(1000, seed).example_at(epoch * 1000 + i).1).collect()
    };
    assert_ne!(order(1, 0), order(1, 1));
    assert_ne!(order(1, 0), order(2, 0));
    assert_eq!(order(1, 0), order(1, 0));
}

/// A shuffle buffer of 100 records would move an example by about 100 positions. In a uniform permutation of n, the mean
/// distance is n / 3, and the standard deviation of the mean about n / sqrt(18 n) = 0.236 sqrt(n). The bound is 6
/// standard deviations.
#[test]
fn the_shuffle_is_global() {
    let n = 10_000u64;
    let sampler = Sampler::new(n, 3);
    let distance: u64 = (0..n).map(|i| sampler.example_at(i).1.abs_diff(i)).sum();
    let mean = distance as f64 / n as f64;
    let bound = 6.0 * 0.236 * (n as f64).sqrt();
    assert!((mean - n as f64 / 3.0).abs() < bound, "mean distance {mean}");
}
