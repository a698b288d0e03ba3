//! Scores against values worked out by hand.

use approx::assert_relative_eq;
use electra_scores::metrics::{
    Metric, Summary, accuracy, classification, f1, matthews, mean_squared_error, pearson,
    regression, spearman,
};

const TOLERANCE: f64 = 1e-12;

/// Of the second class: 2 true positives, 1 false positive, 1 false negative, 2 true negatives.
const PREDICTED: [usize; 6] = [1, 1, 1, 0, 0, 0];
const GOLD: [usize; 6] = [1, 1, 0, 1, 0, 0];

#[test]
fn accuracy_f1_and_matthews() {
    assert_relative_eq!(accuracy(&PREDICTED, &GOLD), 4.0 / 6.0, epsilon = TOLERANCE);
    assert_relative_eq!(f1(&PREDICTED, &GOLD), 4.0 / 6.0, epsilon = TOLERANCE);
    // (2 * 2 - 1 * 1) / sqrt(3 * 3 * 3 * 3)
    assert_relative_eq!(matthews(&PREDICTED, &GOLD, 2), 3.0 / 9.0, epsilon = TOLERANCE);
    assert_relative_eq!(matthews(&GOLD, &GOLD, 2), 1.0, epsilon = TOLERANCE);
}

#[test]
fn scores_of_a_constant_are_defined_as_scikit_learn_defines_them() {
    assert_eq!(f1(&[0, 0], &[1, 0]), 0.0);
    assert_eq!(matthews(&[0, 0], &[1, 0], 2), 0.0);
    assert_eq!(regression(&[1.0, 1.0], &[0.0, 1.0])[&Metric::Pearson], None);
}

/// Sums of x = 1 2 3 4, y = 1 3 2 5: covariance 5.5, squares 5 and 8.75.
#[test]
fn correlations() {
    let (x, y) = ([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 5.0]);
    assert_relative_eq!(pearson(&x, &y), 5.5 / (5.0f64 * 8.75).sqrt(), epsilon = TOLERANCE);
    // Ranks 1 3 2 4: 1 - 6 * 2 / (4 * 15).
    assert_relative_eq!(spearman(&x, &y), 0.8, epsilon = TOLERANCE);
    assert_relative_eq!(mean_squared_error(&x, &y), 3.0 / 4.0, epsilon = TOLERANCE);
}

/// Ties take their mid-rank: ranks of x are 1.5 1.5 3, of y 1 2 3; Pearson of those is sqrt(3) / 2.
#[test]
fn tied_ranks() {
    assert_relative_eq!(
        spearman(&[5.0, 5.0, 7.0], &[1.0, 2.0, 3.0]),
        3.0f64.sqrt() / 2.0,
        epsilon = TOLERANCE
    );
}

#[test]
fn f1_is_for_two_classes() {
    assert!(classification(&PREDICTED, &GOLD, 2).contains_key(&Metric::F1));
    assert!(!classification(&PREDICTED, &GOLD, 3).contains_key(&Metric::F1));
}

#[test]
fn summaries_over_seeds() {
    let s = Summary::of(&[4.0, 1.0, 2.0, 5.0]).unwrap();
    assert_relative_eq!(s.median, 3.0);
    assert_relative_eq!(s.mean, 3.0);
    // Squares 1 + 4 + 1 + 4 over n - 1.
    assert_relative_eq!(s.sd, (10.0f64 / 3.0).sqrt(), epsilon = TOLERANCE);
    assert_eq!((s.min, s.max), (1.0, 5.0));
    assert_eq!(Summary::of(&[2.0]).unwrap().sd, 0.0);
    assert_eq!(Summary::of(&[]), None);
}
