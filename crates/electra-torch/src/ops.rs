//! Fused layers: one pass over memory forward and one backward, in place of a chain of elementwise operations.
//!
//! All functions work on `f32` CPU tensors ([`crate::is_cpu_f32`]), or bfloat16 where documented. They panic on other
//! tensors and on mismatched shapes, which are bugs in the caller. Each call draws one random number from libtorch's
//! generator, so `tch::manual_seed` controls it. The number of threads (`tch::get_num_threads()`) changes results only
//! by rounding.

mod activation;
mod adam;
mod attention;
mod norm;
mod vocabulary;

pub use activation::{bias_gelu, dropout};
pub use adam::{AdamStep, adam};
pub use attention::{Sequences, attention};
pub use norm::add_norm;
pub use vocabulary::{Prediction, predict_tokens};

use crate::parallel::parallel_for;
use std::ops::Range;

/// Splits `0..rows` into [`pieces`] and calls `body` with the index and the rows of each, on libtorch's threads.
fn for_pieces(rows: usize, body: impl Fn(usize, Range<usize>) + Sync) {
    let count = pieces(rows);
    parallel_for(count, |range| {
        for piece in range {
            body(piece, piece * rows / count..(piece + 1) * rows / count);
        }
    });
}

/// Number of pieces that [`for_pieces`] splits `rows` into.
fn pieces(rows: usize) -> usize {
    (tch::get_num_threads().max(1) as usize).min(rows).max(1)
}

/// Column sums, `width` floats for each piece.
struct ColumnSums {
    sums: Vec<f32>,
    width: usize,
}

impl ColumnSums {
    fn new(rows: usize, width: usize) -> Self {
        Self { sums: vec![0.0; pieces(rows) * width], width }
    }

    /// The sums over all pieces, added in order.
    fn total(&self) -> tch::Tensor {
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
fn rows_of(x: &tch::Tensor) -> (usize, usize) {
    let size = x.size();
    let width = *size.last().expect("a tensor with rows") as usize;
    (x.numel() / width.max(1), width)
}
