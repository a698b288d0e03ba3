//! Precision, recall and F1 of things that are looked for: entities, labels.

use std::{fmt::Write, iter::Sum};

/// Things counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MatchCounts {
    /// In the gold answers.
    pub gold: usize,
    /// In the predicted ones.
    pub predicted: usize,
    /// In both: the same thing in the same place.
    pub right: usize,
}

impl MatchCounts {
    /// Share of what is predicted that is right; 0 where nothing is.
    pub fn precision(&self) -> f64 {
        share(self.right, self.predicted)
    }

    /// Share of what there is that is found; 0 where there is nothing.
    pub fn recall(&self) -> f64 {
        share(self.right, self.gold)
    }

    /// The harmonic mean of the two; 0 where nothing is right.
    pub fn f1(&self) -> f64 {
        share(2 * self.right, self.predicted + self.gold)
    }

    /// A table with a row for each of several, its name under `heading` first.
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

/// A part of a whole; 0 of nothing.
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
