//! The feed-forward layer: the seam and the shipped gelu MLP.

use crate::{
    Compute, Result, Site,
    init::{self, Dense},
};
use std::fmt::Debug;
use tch::{Tensor, nn};

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
}

/// `gelu(x W1^T + b1) W2^T + b2` with the exact (erf) gelu.
///
/// Source: reference `model/modeling.py`, `transformer_model` and `gelu`. Departures: none.
#[derive(Debug)]
pub struct GeluMlp {
    intermediate: nn::Linear,
    output: nn::Linear,
    compute: Compute,
}

impl GeluMlp {
    /// Variables `intermediate.dense` and `output.dense` under the site's path.
    ///
    /// # Errors
    /// If libtorch refuses the sizes.
    pub fn new(site: &Site<'_>) -> Result<Self> {
        let (h, f, initializer) =
            (site.config.hidden, site.config.intermediate, &site.config.initializer);
        let first = site.path / "intermediate" / "dense";
        let second = site.path / "output" / "dense";
        Ok(Self {
            intermediate: init::dense(&first, h, f, Dense::Normal, initializer)?,
            output: init::dense(&second, f, h, Dense::Normal, initializer)?,
            compute: site.config.compute(),
        })
    }
}

impl FeedForward for GeluMlp {
    fn forward_t(&self, x_bsh: &Tensor, _train: bool) -> Tensor {
        self.compute.dense(&self.output, &self.compute.dense_gelu(&self.intermediate, x_bsh))
    }

    fn takes_bf16(&self) -> bool {
        true
    }
}
