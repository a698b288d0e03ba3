//! Positions: what all layers share about where tokens are.

use std::fmt::Debug;
use tch::Tensor;

/// Makes, once for a forward pass, the tensors that every layer's attention reads from
/// [`crate::LayerContext::tables`]: a table of relative positions, angles of a rotation. Built with the encoder, it
/// owns the variables that they are computed from.
pub trait Positions: Debug + Send {
    /// The tables for sequences of at most `length` tokens, in an order that the attention knows.
    fn tables(&self, length: i64, train: bool) -> Vec<Tensor>;
}

/// The embeddings carry the positions; layers share nothing.
///
/// Source: Clark et al. 2020; reference `model/modeling.py`, `embedding_postprocessor`.
#[derive(Clone, Copy, Debug)]
pub struct AbsolutePositions;

impl Positions for AbsolutePositions {
    fn tables(&self, _length: i64, _train: bool) -> Vec<Tensor> {
        Vec::new()
    }
}
