//! The seams: small object-safe traits that a network is made of, where a part is built, and what a layer is given.
//!
//! The parts that ship are in `parts/`; [`crate::Parts`] holds them and those from outside.

use crate::{
    config::EncoderConfig, cost::Cost, error::Result, kernels::widened, mask::PaddingMask,
};
use std::fmt::Debug;
use tch::{Tensor, nn};

/// Where a part is being built.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Site<'a> {
    /// Where its variables go; the parent has named it.
    pub path: &'a nn::Path<'a>,
    /// The network it belongs to.
    pub config: &'a EncoderConfig,
    /// The block, counted from 0; 0 outside of the blocks.
    pub layer: i64,
}

impl<'a> Site<'a> {
    /// A place outside of the blocks.
    pub fn new(path: &'a nn::Path<'a>, config: &'a EncoderConfig) -> Self {
        Self { path, config, layer: 0 }
    }

    /// A place in block `layer`, counted from 0.
    pub fn in_layer(path: &'a nn::Path<'a>, config: &'a EncoderConfig, layer: i64) -> Self {
        Self { path, config, layer }
    }

    /// The same place with another path.
    #[must_use]
    pub fn at<'b>(&self, path: &'b nn::Path<'b>) -> Site<'b>
    where
        'a: 'b,
    {
        Site { path, ..*self }
    }
}

/// The context of a layer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LayerContext<'a> {
    /// Which positions are tokens, and which row of the batch is which sequence.
    pub mask: &'a PaddingMask,
    /// What the encoder's [`Positions`] made once for all layers; empty for absolute positions.
    pub tables: &'a [Tensor],
}

impl<'a> LayerContext<'a> {
    /// A context without tables.
    pub fn new(mask: &'a PaddingMask) -> Self {
        Self { mask, tables: &[] }
    }

    /// The same with the tables of a [`Positions`].
    #[must_use]
    pub fn with_tables(self, tables: &'a [Tensor]) -> Self {
        Self { tables, ..self }
    }
}

/// Mixes information across positions.
pub trait SelfAttention: Debug + Send {
    /// # Shapes
    /// - `x_bsh`: `[b, s, h]` float. Result: same. Residual, dropout on the result and LayerNorm
    ///   are the caller's.
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor;

    /// Whether it also takes, and gives, bfloat16.
    fn takes_bf16(&self) -> bool {
        false
    }

    /// Whether it also takes a batch without its padding: `[1, t, h]`, the sequences of [`PaddingMask::sequences`]
    /// one after the other.
    fn takes_packed(&self) -> bool {
        false
    }

    /// What it costs; nothing is counted by default.
    fn cost(_config: &EncoderConfig) -> Cost
    where
        Self: Sized,
    {
        Cost::default()
    }
}

/// Works on each position alone.
pub trait FeedForward: Debug + Send {
    /// # Shapes
    /// - `x_bsh`: `[b, s, h]` float. Result: same. Residual, dropout on the result and LayerNorm
    ///   are the caller's.
    fn forward_t(&self, x_bsh: &Tensor, train: bool) -> Tensor;

    /// Whether it also takes, and gives, bfloat16.
    fn takes_bf16(&self) -> bool {
        false
    }

    /// What it costs; nothing is counted by default.
    fn cost(_config: &EncoderConfig) -> Cost
    where
        Self: Sized,
    {
        Cost::default()
    }
}

/// Turns ids into vectors.
pub trait Embeddings: Debug + Send {
    /// # Shapes
    /// - `ids_bs`, `segments_bs`: `[b, s]` int64. Result: `[b, s, e]` float, normalised, dropped out.
    fn forward_t(&self, ids_bs: &Tensor, segments_bs: &Tensor, train: bool) -> Tensor;

    /// The word table `[v, e]` that a tied output layer multiplies with.
    fn token_table(&self) -> Tensor;

    /// The effective tensors under their Hugging Face names below `embeddings.`, for export.
    fn named_tensors(&self) -> Vec<(String, Tensor)>;

    /// What they cost with the projection to the hidden size; nothing is counted by default.
    fn cost(_config: &EncoderConfig) -> Cost
    where
        Self: Sized,
    {
        Cost::default()
    }
}

/// Makes, once for a forward pass, the tensors that every layer's attention reads from
/// [`LayerContext::tables`]: a table of relative positions, angles of a rotation. Built with the encoder, it
/// owns the variables that they are computed from.
pub trait Positions: Debug + Send {
    /// The tables for sequences of at most `length` tokens, in an order that the attention knows.
    fn tables(&self, length: i64, train: bool) -> Vec<Tensor>;
}

/// One layer of the encoder.
pub trait Block: Debug + Send {
    /// # Shapes
    /// - `x_bsh`: `[b, s, h]` float. Result: same.
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor;

    /// Whether it also takes a batch without its padding: `[1, t, h]`, the sequences of
    /// [`PaddingMask::sequences`] one after the other.
    fn takes_packed(&self) -> bool {
        false
    }

    /// Whether the encoder has a LayerNorm behind the last layer.
    fn needs_final_norm(&self) -> bool {
        false
    }

    /// What it costs besides its sub-layers.
    fn cost(_config: &EncoderConfig) -> Cost
    where
        Self: Sized,
    {
        Cost::default()
    }
}

/// The sub-layers of a block, built before it.
#[derive(Debug)]
pub struct SubLayers {
    /// Variables under `attention`.
    pub attention: Box<dyn SelfAttention>,
    /// Variables under the block's own path.
    pub feed_forward: Box<dyn FeedForward>,
}

impl SubLayers {
    /// Self-attention over `x_bsh`, which it is given in 32 bits unless it takes bfloat16.
    pub(crate) fn attend(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor {
        self.attention.forward_t(&given(x_bsh, self.attention.takes_bf16()), context, train)
    }

    /// The feed-forward layer over `x_bsh`, in the same way.
    pub(crate) fn feed(&self, x_bsh: &Tensor, train: bool) -> Tensor {
        self.feed_forward.forward_t(&given(x_bsh, self.feed_forward.takes_bf16()), train)
    }
}

fn given(x: &Tensor, takes_bf16: bool) -> Tensor {
    if takes_bf16 { x.shallow_clone() } else { widened(x) }
}

/// The embeddings of both networks.
#[derive(Debug)]
pub struct EmbeddingPair {
    /// The generator's; its word table is also the output layer's matrix.
    pub generator: Box<dyn Embeddings>,
    /// The discriminator's.
    pub discriminator: Box<dyn Embeddings>,
}

/// Builds the embeddings that a network's config names, under a site's path.
pub type BuildEmbeddings<'a> = dyn Fn(&Site<'_>) -> Result<Box<dyn Embeddings>> + 'a;

/// Builds both networks' embeddings, and so decides what they have in common.
pub trait ShareEmbeddings: Debug + Send + Sync {
    /// Embeddings with variables under `generator.path` and `discriminator.path`, which end in
    /// `embeddings`; `build` builds one block of them.
    ///
    /// # Errors
    /// If the embeddings cannot be built.
    fn pair(
        &self,
        generator: &Site<'_>,
        discriminator: &Site<'_>,
        build: &BuildEmbeddings<'_>,
    ) -> Result<EmbeddingPair>;
}
