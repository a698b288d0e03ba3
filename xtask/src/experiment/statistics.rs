//! Means over seeds, and paired comparisons of two configs with the same seeds.

use anyhow::Result;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The level of significance.
const LEVEL: f64 = 0.05;

/// Mean and sample standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) n: usize,
    pub(super) mean: f64,
    /// With the divisor n - 1; `None` for a single value.
    pub(super) sd: Option<f64>,
}

impl Summary {
    /// The summary of `values`; `None` without values.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        let sd = (n > 1).then(|| (squares / (n as f64 - 1.0)).sqrt());
        (n > 0).then_some(Self { n, mean, sd })
    }
}

/// A two-sided paired t-test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Paired {
    /// The differences.
    pub(super) difference: Summary,
    /// The p-value; `None` for a single difference, and if all differences are equal.
    pub(super) p: Option<f64>,
    /// The smallest mean difference with p < 0.05 for this number of differences and their standard deviation.
    pub(super) smallest_significant: Option<f64>,
}

impl Paired {
    /// Tests whether the mean of `differences` is 0; `None` without differences.
    pub(super) fn of(differences: &[f64]) -> Result<Option<Self>> {
        let Some(difference) = Summary::of(differences) else { return Ok(None) };
        let Some(sd) = difference.sd.filter(|sd| *sd > 0.0) else {
            return Ok(Some(Self { difference, p: None, smallest_significant: None }));
        };
        let error = sd / (difference.n as f64).sqrt();
        let student = StudentsT::new(0.0, 1.0, difference.n as f64 - 1.0)?;
        let p = 2.0 * student.sf((difference.mean / error).abs());
        let critical = student.inverse_cdf(1.0 - LEVEL / 2.0);
        Ok(Some(Self { difference, p: Some(p), smallest_significant: Some(critical * error) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }

    /// The sleep data of Cushny and Peebles (1905), the example of Student (1908) and of R's `t.test`, which prints
    /// t = -4.0621, df = 9, p = 0.002833, and 0.7001142 to 2.4598858 as the 95 % interval of the mean difference.
    #[test]
    fn the_paired_test_agrees_with_students_example() {
        let first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
        let second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        let differences: Vec<f64> = second.iter().zip(first).map(|(a, b)| a - b).collect();
        let paired = Paired::of(&differences).unwrap().unwrap();
        close(paired.difference.mean, 1.58, 1e-12);
        close(paired.p.unwrap(), 0.002833, 5e-7);
        close(paired.smallest_significant.unwrap(), 1.58 - 0.7001142, 5e-8);
    }

    /// By hand: differences of 1, 2 and 3 have mean 2, standard deviation 1 and t = 2 sqrt 3. With two degrees of freedom
    /// the two-sided p is 1 - t / sqrt(t^2 + 2), and the critical value at 5 % is 4.302653 in every table of t.
    #[test]
    fn three_seeds_by_hand() {
        let paired = Paired::of(&[1.0, 2.0, 3.0]).unwrap().unwrap();
        assert_eq!(paired.difference, Summary { n: 3, mean: 2.0, sd: Some(1.0) });
        let t = 12.0_f64.sqrt();
        close(paired.p.unwrap(), 1.0 - t / 14.0_f64.sqrt(), 1e-9);
        close(paired.smallest_significant.unwrap(), 4.302653 / 3.0_f64.sqrt(), 1e-6);
    }

    #[test]
    fn there_is_no_test_without_variation() {
        assert_eq!(Paired::of(&[]).unwrap(), None);
        let single = Paired::of(&[1.5]).unwrap().unwrap();
        assert_eq!(single.difference, Summary { n: 1, mean: 1.5, sd: None });
        assert_eq!((single.p, single.smallest_significant), (None, None));
        assert_eq!(Paired::of(&[1.5, 1.5]).unwrap().unwrap().p, None);
    }
}
