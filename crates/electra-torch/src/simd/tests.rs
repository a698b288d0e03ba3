//! Compares the kernels' functions with 64-bit arithmetic, over the range that networks use.

use super::*;

#[test]
fn exp_is_accurate() {
    for i in -8_700..=8_830 {
        let x = i as f32 / 100.0;
        let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
        assert!((found / expected - 1.0).abs() < 3e-7, "exp({x}) is {found}, expected {expected}");
    }
    assert_eq!((exp(0.0), exp(-1e4), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
    assert!(exp(f32::NAN).is_nan());
}

/// erf by its Maclaurin series, which converges everywhere and is accurate enough in 64 bits up to 4.
fn series(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        let n = f64::from(n);
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn erf_is_accurate() {
    for i in -400..=400 {
        let x = i as f32 / 100.0;
        let (found, expected) = (f64::from(erf(x)), series(f64::from(x)));
        assert!((found - expected).abs() < 4e-7, "erf({x}) is {found}, expected {expected}");
    }
    assert!(
        (erf(9.0) - 1.0).abs() < 1e-6 && (erf(-9.0) + 1.0).abs() < 1e-6 && erf(f32::NAN).is_nan()
    );
}

#[test]
fn sum_counts_every_element_once() {
    for n in [0, 1, 15, 16, 17, 64, 100] {
        assert_eq!(sum(n, |i| i as f32 + 1.0), (n * (n + 1) / 2) as f32);
    }
}

#[test]
fn max_of_finds_the_maximum_at_any_index() {
    for n in [1, 15, 16, 17, 40] {
        for place in 0..n {
            let mut values = vec![-3.0; n];
            values[place] = -1.0;
            assert_eq!(max_of(&values), -1.0, "at {place} of {n}");
        }
    }
    assert_eq!(max_of(&[]), f32::NEG_INFINITY);
}
