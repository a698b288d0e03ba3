//! The two pre-training heads.

use crate::{
    Compute, EncoderConfig, Result,
    init::{self, Dense, LayerNorm},
};
use tch::{Kind, Tensor, nn, nn::Init, nn::Module};

/// The generator's head: dense, gelu, LayerNorm, then the word table and a bias.
///
/// Source: reference `pretrain/pretrain_helpers.py` / `run_pretraining.py`,
/// `_get_masked_lm_output`. Departures: none.
#[derive(Debug)]
pub struct MaskedLmHead {
    dense: nn::Linear,
    norm: LayerNorm,
    bias: Tensor,
    compute: Compute,
}

impl MaskedLmHead {
    /// Variables `generator_predictions.{dense,LayerNorm}` and `generator_lm_head.bias`.
    ///
    /// # Errors
    /// If libtorch refuses the sizes.
    pub fn new(path: &nn::Path<'_>, config: &EncoderConfig) -> Result<Self> {
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
            compute: config.compute(),
        })
    }

    /// # Shapes
    /// - `hidden_ph`: `[p, h]` (or any leading dimensions), `table_ve`: `[v, e]`. Result: `[p, v]`.
    pub fn forward(&self, hidden_ph: &Tensor, table_ve: &Tensor) -> Tensor {
        self.logits(&self.features(hidden_ph), table_ve)
    }

    /// The output layer over [`Self::features`].
    ///
    /// # Shapes
    /// - `features_pe`: `[p, e]` (or any leading dimensions), `table_ve`: `[v, e]`. Result: `[p, v]` float.
    pub fn logits(&self, features_pe: &Tensor, table_ve: &Tensor) -> Tensor {
        self.compute.logits(features_pe, table_ve, &self.bias)
    }

    /// What the word table is multiplied with.
    ///
    /// # Shapes
    /// - `hidden_ph`: `[p, h]` (or any leading dimensions). Result: `[p, e]` float.
    pub fn features(&self, hidden_ph: &Tensor) -> Tensor {
        let x_pe = self.compute.dense_gelu(&self.dense, hidden_ph).to_kind(Kind::Float);
        self.norm.forward(&x_pe)
    }

    /// The output bias `[v]`.
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }
}

/// The discriminator's head: dense, gelu, dense to one logit; positive means "replaced".
///
/// Source: reference `run_pretraining.py`, `_get_discriminator_output`. Departures: none.
#[derive(Debug)]
pub struct ReplacedTokenHead {
    dense: nn::Linear,
    prediction: nn::Linear,
    compute: Compute,
}

impl ReplacedTokenHead {
    /// Variables `discriminator_predictions.{dense,dense_prediction}`.
    ///
    /// # Errors
    /// If libtorch refuses the sizes.
    pub fn new(path: &nn::Path<'_>, config: &EncoderConfig) -> Result<Self> {
        Self::at(&(path / "discriminator_predictions"), config)
    }

    /// [`Self::new`] with the variables `dense` and `dense_prediction` under `own`.
    ///
    /// # Errors
    /// If libtorch refuses the sizes.
    pub fn at(own: &nn::Path<'_>, config: &EncoderConfig) -> Result<Self> {
        let (h, initializer) = (config.hidden, &config.initializer);
        let dense = init::dense(&(own / "dense"), h, h, Dense::Normal, initializer)?;
        let prediction =
            init::dense(&(own / "dense_prediction"), h, 1, Dense::Glorot, initializer)?;
        Ok(Self { dense, prediction, compute: config.compute() })
    }

    /// # Shapes
    /// - `hidden_bsh`: `[b, s, h]`. Result: logits `[b, s]`.
    pub fn forward(&self, hidden_bsh: &Tensor) -> Tensor {
        let x_bsh = self.compute.dense_gelu(&self.dense, hidden_bsh).to_kind(Kind::Float);
        self.prediction.forward(&x_bsh).squeeze_dim(-1)
    }
}
