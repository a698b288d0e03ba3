//! The two pre-training heads.

use crate::{
    config::{ElectraConfig, EncoderConfig, Kernels, Precision},
    cost::{FLOAT, Work, operand_bytes},
    error::Result,
    init::{self, Dense, LayerNorm},
    kernels::Compute,
};
use std::fmt::Debug;
use tch::{Kind, Tensor, nn, nn::Init, nn::Module};

/// The kind of a pre-training head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadKind {
    /// [`MaskedLmHead`] at the masked positions.
    MaskedLm,
    /// [`MaskedLmHead`] on every token.
    AllTokensMlm,
    /// [`ReplacedTokenHead`].
    ReplacedToken,
    /// A [`MaskedLmHead`] on every token, over the concatenated states of this network and another one.
    Cloze,
    /// None of its own.
    None,
}

/// The head of a [`crate::Network`].
pub trait PretrainingHead: Debug + Sized {
    /// Its kind.
    const KIND: HeadKind;

    /// Builds the head; `path` is the network's.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    fn new(path: &nn::Path<'_>, config: &EncoderConfig) -> Result<Self>;
}

/// Describes a network in training, for computing its cost.
#[derive(Clone, Copy, Debug)]
pub struct NetworkSpec<'a> {
    /// Its role in the objective, such as `generator`.
    pub role: &'static str,
    /// Its encoder.
    pub config: &'a EncoderConfig,
    /// Its head.
    pub head: HeadKind,
    /// The share of the updates that train it.
    pub share: f64,
}

impl<'a> NetworkSpec<'a> {
    /// A network that every update trains.
    pub fn new(role: &'static str, config: &'a EncoderConfig, head: HeadKind) -> Self {
        Self { role, config, head, share: 1.0 }
    }

    /// The networks of replaced token detection.
    ///
    /// # Errors
    /// If `config` has no generator.
    pub fn electra(config: &'a ElectraConfig) -> Result<[Self; 2]> {
        let (generator, discriminator) = (config.generator()?, &config.discriminator);
        Ok([
            Self::new("generator", generator, HeadKind::MaskedLm),
            Self::new("discriminator", discriminator, HeadKind::ReplacedToken),
        ])
    }
}

/// The cost of a head for each position that it is applied to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct HeadCost {
    /// FLOPs by the reference's conventions.
    pub(crate) reference: f64,
    /// FLOPs of matrix products, without the output layer over the vocabulary.
    pub(crate) products: f64,
    /// FLOPs of the output layer over the vocabulary.
    pub(crate) vocabulary: f64,
    /// Bytes saved for the backward pass.
    pub(crate) saved: f64,
    /// Bytes of weight copies.
    pub(crate) copies: f64,
}

impl HeadKind {
    /// The number of positions of a batch that it is applied to.
    pub(crate) fn positions(self, work: &Work) -> f64 {
        match self {
            Self::MaskedLm => work.predictions,
            Self::ReplacedToken | Self::AllTokensMlm | Self::Cloze => work.tokens,
            Self::None => 0.0,
        }
    }

    /// The cost per position on an encoder.
    pub(crate) fn cost(self, c: &EncoderConfig) -> HeadCost {
        let (e, h, v) = (c.embedding_size as f64, c.hidden as f64, c.vocab_size as f64);
        let before_gelu = match c.kernels {
            Kernels::Fused | Kernels::Gpu => operand_bytes(c),
            Kernels::Plain => FLOAT,
        };
        let copies = |weights: f64| match c.precision {
            Precision::F32 => 0.0,
            Precision::Bf16 => FLOAT / 2.0 * weights,
        };
        // The width of the head's input.
        let input = if self == Self::Cloze { 2.0 * h } else { h };
        match self {
            Self::None => HeadCost::default(),
            Self::MaskedLm | Self::AllTokensMlm | Self::Cloze => {
                let logits = match c.kernels {
                    Kernels::Fused => 0.0,
                    // On a GPU: logits in the precision of the products, their log-softmax in float32.
                    Kernels::Plain | Kernels::Gpu => FLOAT * v,
                };
                HeadCost {
                    reference: 2.0 * e * v
                        + 2.0 * input * e
                        + e
                        + 8.0 * e
                        + 5.0 * e
                        + 5.0 * v
                        + 2.0 * v,
                    products: 2.0 * input * e,
                    vocabulary: 2.0 * e * v,
                    // The head's input; before gelu, before and after LayerNorm.
                    saved: operand_bytes(c) * input + before_gelu * e + 2.0 * FLOAT * e + logits,
                    copies: copies(input * e),
                }
            }
            Self::ReplacedToken => HeadCost {
                reference: 2.0 * h * h + h + 8.0 * h + 2.0 * h,
                products: 2.0 * (h * h + h),
                vocabulary: 0.0,
                // The head's input; before and after gelu.
                saved: (operand_bytes(c) + before_gelu + FLOAT) * h,
                copies: copies(h * h),
            },
        }
    }
}

/// The generator's head: dense, gelu, LayerNorm, then an output layer tied to the word embeddings.
///
/// Source: reference `pretrain/pretrain_helpers.py` / `run_pretraining.py`,
/// `_get_masked_lm_output`. Departures: none.
#[derive(Debug)]
pub struct MaskedLmHead {
    dense: nn::Linear,
    norm: LayerNorm,
    bias: Tensor,
    /// The number of tokens; the output layer has no others.
    tokens: i64,
    compute: Compute,
}

impl PretrainingHead for MaskedLmHead {
    const KIND: HeadKind = HeadKind::MaskedLm;

    /// Variables `generator_predictions.{dense,LayerNorm}` and `generator_lm_head.bias`.
    fn new(path: &nn::Path<'_>, config: &EncoderConfig) -> Result<Self> {
        let (h, e) = (config.hidden, config.embedding_size);
        let own = path / "generator_predictions";
        Ok(Self {
            dense: init::dense(&(&own / "dense"), h, e, Dense::Normal, &config.initializer)?,
            norm: LayerNorm::new(&(&own / "LayerNorm"), e, config.layer_norm_eps)?,
            bias: (path / "generator_lm_head").f_var(
                "bias",
                &[config.vocab_size],
                Init::Const(0.0),
            )?,
            tokens: config.token_count(),
            compute: Compute::of(config),
        })
    }
}

/// The first `count` rows of a table, or elements of a vector.
fn first(rows: &Tensor, count: i64) -> Tensor {
    match rows.size()[0] == count {
        true => rows.shallow_clone(),
        false => rows.narrow(0, 0, count),
    }
}

impl MaskedLmHead {
    /// The rows of the word embeddings `[rows, e]` that are tokens: the weight `[v, e]` of the output layer.
    pub fn table(&self, word_embeddings: &Tensor) -> Tensor {
        first(word_embeddings, self.tokens)
    }

    /// # Shapes
    /// - `hidden_ph`: `[p, h]` (or any leading dimensions), `table_ve`: `[v, e]`. Result: `[p, v]`.
    pub fn forward(&self, hidden_ph: &Tensor, table_ve: &Tensor) -> Tensor {
        self.logits(&self.features(hidden_ph), table_ve)
    }

    /// Applies the output layer to [`Self::features`].
    ///
    /// # Shapes
    /// - `features_pe`: `[p, e]` (or any leading dimensions), `table_ve`: `[v, e]`. Result: `[p, v]` float.
    pub fn logits(&self, features_pe: &Tensor, table_ve: &Tensor) -> Tensor {
        self.compute.logits(features_pe, table_ve, &self.bias())
    }

    /// The input of the output layer.
    ///
    /// # Shapes
    /// - `hidden_ph`: `[p, h]` (or any leading dimensions). Result: `[p, e]` float.
    pub fn features(&self, hidden_ph: &Tensor) -> Tensor {
        let x_pe = self.compute.dense_gelu(&self.dense, hidden_ph).to_kind(Kind::Float);
        self.norm.forward(&x_pe)
    }

    /// The output bias `[v]`.
    pub fn bias(&self) -> Tensor {
        first(&self.bias, self.tokens)
    }
}

/// The discriminator's head: dense, gelu, dense to one logit; a positive logit means "replaced".
///
/// Source: reference `run_pretraining.py`, `_get_discriminator_output`. Departures: none.
#[derive(Debug)]
pub struct ReplacedTokenHead {
    dense: nn::Linear,
    prediction: nn::Linear,
    compute: Compute,
}

impl PretrainingHead for ReplacedTokenHead {
    const KIND: HeadKind = HeadKind::ReplacedToken;

    /// Variables `discriminator_predictions.{dense,dense_prediction}`.
    fn new(path: &nn::Path<'_>, config: &EncoderConfig) -> Result<Self> {
        Self::at(&(path / "discriminator_predictions"), config)
    }
}

impl ReplacedTokenHead {
    /// The head with the variables `dense` and `dense_prediction` under `own`.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    pub fn at(own: &nn::Path<'_>, config: &EncoderConfig) -> Result<Self> {
        let (h, initializer) = (config.hidden, &config.initializer);
        let dense = init::dense(&(own / "dense"), h, h, Dense::Normal, initializer)?;
        let prediction =
            init::dense(&(own / "dense_prediction"), h, 1, Dense::Glorot, initializer)?;
        Ok(Self { dense, prediction, compute: Compute::of(config) })
    }

    /// # Shapes
    /// - `hidden_bsh`: `[b, s, h]`. Result: logits `[b, s]`.
    pub fn forward(&self, hidden_bsh: &Tensor) -> Tensor {
        let x_bsh = self.compute.dense_gelu(&self.dense, hidden_bsh).to_kind(Kind::Float);
        self.prediction.forward(&x_bsh).squeeze_dim(-1)
    }
}
