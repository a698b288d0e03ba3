//! What a layer is given besides its input: what the encoder has built once for all layers of a forward pass.

use crate::mask::PaddingMask;
use tch::Tensor;

/// The context of a layer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LayerContext<'a> {
    /// Which positions are tokens, and which row of the batch is which sequence.
    pub mask: &'a PaddingMask,
    /// What the encoder's [`crate::Positions`] made once for all layers; empty for absolute positions.
    pub tables: &'a [Tensor],
}

impl<'a> LayerContext<'a> {
    /// A context without tables.
    pub fn new(mask: &'a PaddingMask) -> Self {
        Self { mask, tables: &[] }
    }

    /// The same with the tables of a [`crate::Positions`].
    #[must_use]
    pub fn with_tables(self, tables: &'a [Tensor]) -> Self {
        Self { tables, ..self }
    }
}
