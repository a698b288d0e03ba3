//! Layers whose chain of elementwise passes is one pass forward and one backward.
//!
//! Every function takes and gives 32-bit floats of a CPU ([`crate::is_plain`]), or bfloat16 where it says so, and panics
//! on others, and on shapes that do not fit: a bug of the caller. Randomness is drawn from libtorch's generator, one number a call, so that
//! `tch::manual_seed` decides it; results depend on `tch::get_num_threads()` by rounding alone.

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

/// Calls `body` with the number of a piece and its rows, for pieces that make up `0..rows`, on libtorch's threads.
/// How many there are says [`pieces`].
fn for_pieces(rows: usize, body: impl Fn(usize, Range<usize>) + Sync) {
    let count = pieces(rows);
    parallel_for(count, |range| {
        for piece in range {
            body(piece, piece * rows / count..(piece + 1) * rows / count);
        }
    });
}

fn pieces(rows: usize) -> usize {
    (tch::get_num_threads().max(1) as usize).min(rows).max(1)
}

/// Sums of each column over pieces: `width` floats for each.
struct Columns {
    sums: Vec<f32>,
    width: usize,
}

impl Columns {
    fn new(rows: usize, width: usize) -> Self {
        Self { sums: vec![0.0; pieces(rows) * width], width }
    }

    /// Over all pieces, in their order, as a tensor.
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

/// The last dimension of a tensor, and how many rows of it there are.
fn rows_of(x: &tch::Tensor) -> (usize, usize) {
    let size = x.size();
    let width = *size.last().expect("a tensor with rows") as usize;
    (x.numel() / width.max(1), width)
}
