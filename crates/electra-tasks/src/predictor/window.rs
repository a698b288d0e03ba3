//! The rows that are held at a time.

use crate::error::Result;
use electra_scores::table::{Row, Rows};

/// Bytes of text after which a window ends before its rows are there.
const BYTES: usize = 16 << 20;

/// A bounded number of rows, with a bounded length of all their texts but the last.
#[derive(Debug)]
pub(super) struct Window {
    rows: Vec<Row>,
    most: usize,
}

/// Why a window has no more rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// It is full.
    Full,
    /// There are no more.
    Ended,
}

impl Window {
    /// An empty window of at most `most` rows, at least one.
    pub(super) fn new(most: usize) -> Self {
        Self { rows: Vec::new(), most: most.max(1) }
    }

    /// Replaces its rows by the next ones.
    ///
    /// # Errors
    /// The row that cannot be read; those before it are there.
    pub(super) fn fill(&mut self, rows: &mut Rows) -> Result<Filled> {
        self.rows.clear();
        let mut bytes = 0;
        while self.rows.len() < self.most && bytes < BYTES {
            let Some(row) = rows.next() else { return Ok(Filled::Ended) };
            let row = row?;
            bytes += row.fields.iter().map(String::len).sum::<usize>();
            self.rows.push(row);
        }
        Ok(Filled::Full)
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }
}
