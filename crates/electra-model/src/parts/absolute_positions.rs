//! Absolute positions.

use crate::seam::Positions;
use tch::Tensor;

/// Positions are part of the embeddings; there are no tables for layers.
///
/// Source: Clark et al. 2020; reference `model/modeling.py`, `embedding_postprocessor`.
#[derive(Clone, Copy, Debug)]
pub struct AbsolutePositions;

impl Positions for AbsolutePositions {
    fn tables(&self, _length: i64, _train: bool) -> Vec<Tensor> {
        Vec::new()
    }
}
