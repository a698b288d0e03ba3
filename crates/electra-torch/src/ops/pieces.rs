//! Splits the rows of a tensor into pieces, one for each thread.

use crate::parallel::parallel_for;
use std::ops::Range;

/// Splits `0..rows` into [`pieces`] and calls `body` with the index and the rows of each, on libtorch's threads.
pub(super) fn for_pieces(rows: usize, body: impl Fn(usize, Range<usize>) + Sync) {
    let count = pieces(rows);
    parallel_for(count, |range| {
        for piece in range {
            body(piece, piece * rows / count..(piece + 1) * rows / count);
        }
    });
}

/// Number of pieces that [`for_pieces`] splits `rows` into: one for each thread.
pub(super) fn pieces(rows: usize) -> usize {
    (tch::get_num_threads().max(1) as usize).min(rows).max(1)
}

/// Column sums, `width` floats for each piece.
#[derive(Debug)]
pub(super) struct ColumnSums {
    pub(super) sums: Vec<f32>,
    pub(super) width: usize,
}

impl ColumnSums {
    pub(super) fn new(rows: usize, width: usize) -> Self {
        Self { sums: vec![0.0; pieces(rows) * width], width }
    }

    /// The sums over all pieces, added in order.
    pub(super) fn total(&self) -> tch::Tensor {
        let mut total = vec![0.0; self.width];
        for piece in self.sums.chunks_exact(self.width) {
            for (sum, part) in total.iter_mut().zip(piece) {
                *sum += part;
            }
        }
        tch::Tensor::from_slice(&total)
    }
}

/// The number of rows of a tensor and their width, its last dimension.
pub(super) fn rows_of(x: &tch::Tensor) -> (usize, usize) {
    let size = x.size();
    let width = *size.last().expect("a tensor with rows") as usize;
    (x.numel() / width.max(1), width)
}
