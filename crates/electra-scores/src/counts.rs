//! Precision, recall and F1 of entities and labels.

use std::{fmt::Write, iter::Sum};

/// Counts of gold and predicted entities or labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MatchCounts {
    /// The number in the gold data.
    pub gold: usize,
    /// The number that is predicted.
    pub predicted: usize,
    /// The number that is predicted correctly.
    pub right: usize,
}

impl MatchCounts {
    /// `right / predicted`; 0 if nothing is predicted.
    pub fn precision(&self) -> f64 {
        fraction(self.right, self.predicted)
    }

    /// `right / gold`; 0 if there is no gold.
    pub fn recall(&self) -> f64 {
        fraction(self.right, self.gold)
    }

    /// The harmonic mean of precision and recall; 0 if nothing is right.
    pub fn f1(&self) -> f64 {
        fraction(2 * self.right, self.predicted + self.gold)
    }

    /// A TSV table with a row for each name; `heading` is the header of the names.
    pub fn table<'a>(heading: &str, rows: impl IntoIterator<Item = (&'a str, Self)>) -> String {
        let mut table = format!("{heading}\tprecision\trecall\tf1\tgold\tpredicted\tright\n");
        for (name, found) in rows {
            let Self { gold, predicted, right } = found;
            let (precision, recall, f1) = (found.precision(), found.recall(), found.f1());
            let _ = writeln!(
                table,
                "{name}\t{precision}\t{recall}\t{f1}\t{gold}\t{predicted}\t{right}"
            );
        }
        table
    }
}

impl Sum for MatchCounts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, found| Self {
            gold: sum.gold + found.gold,
            predicted: sum.predicted + found.predicted,
            right: sum.right + found.right,
        })
    }
}

/// `part / whole`; 0 if `whole` is 0.
pub(crate) fn fraction(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
