//! The seams: object-safe traits for the parts of a network, with the arguments for building and calling them.
//!
//! `parts/` has the built-in parts; [`crate::Parts`] holds these and custom ones.

use crate::{
    config::{ElectraConfig, EncoderConfig, PartName},
    cost::Cost,
    error::Result,
    kernels::to_float,
    mask::PaddingMask,
};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use tch::{Tensor, nn};

/// Where a part is built: an argument of every part's constructor.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Site<'a> {
    /// The path of the part's variables, named by the parent.
    pub path: &'a nn::Path<'a>,
    /// The config of the network.
    pub config: &'a EncoderConfig,
    /// The index of the block, from 0; 0 outside of the blocks.
    pub layer: i64,
    /// The name of the part that is built, for its settings; empty where none is built by name.
    part: &'a str,
}

impl<'a> Site<'a> {
    /// A site outside of the blocks.
    pub fn new(path: &'a nn::Path<'a>, config: &'a EncoderConfig) -> Self {
        Self::in_layer(path, config, 0)
    }

    /// A site in block `layer`, counted from 0.
    pub fn in_layer(path: &'a nn::Path<'a>, config: &'a EncoderConfig, layer: i64) -> Self {
        Self { path, config, layer, part: "" }
    }

    /// The same site with another path.
    #[must_use]
    pub fn at<'b>(&self, path: &'b nn::Path<'b>) -> Site<'b>
    where
        'a: 'b,
    {
        Site { path, ..*self }
    }

    /// The same site for the part called `name`.
    pub(crate) fn of<'b>(&self, name: &'b PartName) -> Site<'b>
    where
        'a: 'b,
    {
        Site { part: name.name(), ..*self }
    }

    /// The settings of the part that is built: the section `[model.custom.NAME]` of the run's config, where `NAME` is the
    /// part's name. `T` decides which keys there are, and which have a default; without the section it is read from no keys.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key that is missing, unknown or of the wrong type.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T> {
        self.config.settings(self.part)
    }
}

/// The inputs of a layer other than the hidden states.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LayerContext<'a> {
    /// Which positions are tokens, and which rows of the batch belong to which sequence.
    pub mask: &'a PaddingMask,
    /// The tables that the encoder's [`Positions`] computed once for all layers; empty for absolute positions.
    pub tables: &'a [Tensor],
}

impl<'a> LayerContext<'a> {
    /// A context without tables.
    pub fn new(mask: &'a PaddingMask) -> Self {
        Self { mask, tables: &[] }
    }

    /// The same context with position tables.
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

    /// Whether it supports bfloat16 inputs and outputs.
    fn supports_bf16(&self) -> bool {
        false
    }

    /// Whether it also accepts a packed batch: `[1, t, h]`, the sequences of [`PaddingMask::sequences`] concatenated
    /// without padding.
    fn supports_packed(&self) -> bool {
        false
    }

    /// The cost; zero by default.
    fn cost(_config: &EncoderConfig) -> Cost
    where
        Self: Sized,
    {
        Cost::default()
    }
}

/// Transforms each position independently.
pub trait FeedForward: Debug + Send {
    /// # Shapes
    /// - `x_bsh`: `[b, s, h]` float. Result: same. Residual, dropout on the result and LayerNorm
    ///   are the caller's.
    fn forward_t(&self, x_bsh: &Tensor, train: bool) -> Tensor;

    /// Whether it supports bfloat16 inputs and outputs.
    fn supports_bf16(&self) -> bool {
        false
    }

    /// The cost; zero by default.
    fn cost(_config: &EncoderConfig) -> Cost
    where
        Self: Sized,
    {
        Cost::default()
    }
}

/// Maps token ids to vectors.
pub trait Embeddings: Debug + Send {
    /// # Shapes
    /// - `ids_bs`, `segments_bs`: `[b, s]` int64. Result: `[b, s, e]` float, after LayerNorm and dropout.
    fn forward_t(&self, ids_bs: &Tensor, segments_bs: &Tensor, train: bool) -> Tensor;

    /// The word embeddings `[v, e]`, which are also the weight of a tied output layer.
    fn token_table(&self) -> Tensor;

    /// The effective tensors with their Hugging Face names below `embeddings.`, for export.
    fn named_tensors(&self) -> Vec<(String, Tensor)>;

    /// Those of [`Self::named_tensors`] that are the sum of another network's tensor and a variable, for loading; none by
    /// default.
    fn offsets(&self) -> Vec<Offset> {
        Vec::new()
    }

    /// The cost, including the projection to the hidden size; zero by default.
    fn cost(_config: &EncoderConfig) -> Cost
    where
        Self: Sized,
    {
        Cost::default()
    }
}

/// A tensor that is the sum of another network's tensor and a variable.
#[derive(Debug)]
pub struct Offset {
    /// The name of the sum below `embeddings.`.
    pub tensor: String,
    /// The name of the variable below `embeddings.`.
    pub variable: String,
    /// The other network's tensor.
    pub base: Tensor,
}

/// Computes, once per forward pass, the tensors that every layer's attention reads from
/// [`LayerContext::tables`]: relative position embeddings, rotary angles. It belongs to the encoder and owns the
/// variables that the tables are computed from.
pub trait Positions: Debug + Send {
    /// The tables for sequences of at most `length` tokens, in the order that the attention expects.
    fn tables(&self, length: i64, train: bool) -> Vec<Tensor>;

    /// The cost of computing the tables once per forward pass; zero by default.
    fn cost(_config: &EncoderConfig) -> Cost
    where
        Self: Sized,
    {
        Cost::default()
    }
}

/// One layer of the encoder.
pub trait Block: Debug + Send {
    /// # Shapes
    /// - `x_bsh`: `[b, s, h]` float. Result: same.
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor;

    /// Whether it also accepts a packed batch: `[1, t, h]`, the sequences of [`PaddingMask::sequences`] concatenated
    /// without padding.
    fn supports_packed(&self) -> bool {
        false
    }

    /// Whether the encoder applies a LayerNorm after the last layer.
    fn needs_final_norm(&self) -> bool {
        false
    }

    /// The cost without the sub-layers; zero by default.
    fn cost(_config: &EncoderConfig) -> Cost
    where
        Self: Sized,
    {
        Cost::default()
    }
}

/// The sub-layers of a block, built before the block.
#[derive(Debug)]
pub struct SubLayers {
    /// Variables under `attention`.
    pub attention: Box<dyn SelfAttention>,
    /// Variables under the block's own path.
    pub feed_forward: Box<dyn FeedForward>,
}

impl SubLayers {
    /// Applies the self-attention, in float32 unless it supports bfloat16.
    pub(crate) fn attend(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor {
        self.attention.forward_t(&cast_input(x_bsh, self.attention.supports_bf16()), context, train)
    }

    /// Applies the feed-forward layer, in float32 unless it supports bfloat16.
    pub(crate) fn feed_forward(&self, x_bsh: &Tensor, train: bool) -> Tensor {
        self.feed_forward.forward_t(&cast_input(x_bsh, self.feed_forward.supports_bf16()), train)
    }
}

fn cast_input(x: &Tensor, supports_bf16: bool) -> Tensor {
    if supports_bf16 { x.shallow_clone() } else { to_float(x) }
}

/// The embeddings of both networks.
#[derive(Debug)]
pub struct EmbeddingPair {
    /// The generator's; its word embeddings are also the weight of its output layer.
    pub generator: Box<dyn Embeddings>,
    /// The discriminator's.
    pub discriminator: Box<dyn Embeddings>,
}

/// Builds the embeddings that a network's config names, at a site.
pub type BuildEmbeddings<'a> = dyn Fn(&Site<'_>) -> Result<Box<dyn Embeddings>> + 'a;

/// Builds both networks' embeddings, and so decides how they share them.
pub trait ShareEmbeddings: Debug + Send + Sync {
    /// Builds embeddings with variables under `generator.path` and `discriminator.path`, which end in
    /// `embeddings`; `build` builds the embeddings of one network.
    ///
    /// # Errors
    /// If the embeddings cannot be built.
    fn pair(
        &self,
        generator: &Site<'_>,
        discriminator: &Site<'_>,
        build: &BuildEmbeddings<'_>,
    ) -> Result<EmbeddingPair>;

    /// Whether the generator also uses the blocks of the discriminator's encoder.
    fn shares_encoder(&self) -> bool {
        false
    }

    /// Checks that the networks of `config` can be shared like this; every config passes by default.
    ///
    /// # Errors
    /// Naming the key.
    fn check(&self, _config: &ElectraConfig) -> Result<()> {
        Ok(())
    }
}
