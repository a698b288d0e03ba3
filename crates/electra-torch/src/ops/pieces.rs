//! Rows of a tensor in pieces, one for each thread.

use crate::parallel::parallel_for;
use std::ops::Range;

/// Calls `body` with the number of a piece and its rows, for pieces that make up `0..rows`, on libtorch's threads.
/// There are [`pieces`] of them.
pub(super) fn for_pieces(rows: usize, body: impl Fn(usize, Range<usize>) + Sync) {
    let count = pieces(rows);
    parallel_for(count, |range| {
        for piece in range {
            body(piece, piece * rows / count..(piece + 1) * rows / count);
        }
    });
}

/// How many pieces `rows` rows are divided into: one for each thread.
pub(super) fn pieces(rows: usize) -> usize {
    (tch::get_num_threads().max(1) as usize).min(rows).max(1)
}

/// Sums of each column over pieces: `width` floats for each.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) sums: Vec<f32>,
    pub(super) width: usize,
}

impl Columns {
    pub(super) fn new(rows: usize, width: usize) -> Self {
        Self { sums: vec![0.0; pieces(rows) * width], width }
    }

    /// Over all pieces, in their order, as a tensor.
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

/// The last dimension of a tensor, and how many rows of it there are.
pub(super) fn rows_of(x: &tch::Tensor) -> (usize, usize) {
    let size = x.size();
    let width = *size.last().expect("a tensor with rows") as usize;
    (x.numel() / width.max(1), width)
}
