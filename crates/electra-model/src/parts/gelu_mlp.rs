//! The feed-forward layer of BERT: two dense layers with a gelu in between.

use crate::{
    config::{EncoderConfig, Kernels, Precision},
    cost::{Amount, Cost, FLOAT, operand_bytes},
    error::Result,
    init::{self, Dense},
    kernels::Compute,
    seam::{FeedForward, Site},
};
use tch::{Tensor, nn};

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
    /// If libtorch rejects the sizes.
    pub fn new(site: &Site<'_>) -> Result<Self> {
        let (h, f, initializer) =
            (site.config.hidden, site.config.intermediate, &site.config.initializer);
        let first = site.path / "intermediate" / "dense";
        let second = site.path / "output" / "dense";
        Ok(Self {
            intermediate: init::dense(&first, h, f, Dense::Normal, initializer)?,
            output: init::dense(&second, f, h, Dense::Normal, initializer)?,
            compute: Compute::of(site.config),
        })
    }
}

impl FeedForward for GeluMlp {
    fn forward_t(&self, x_bsh: &Tensor, _train: bool) -> Tensor {
        self.compute.dense(&self.output, &self.compute.dense_gelu(&self.intermediate, x_bsh))
    }

    fn supports_bf16(&self) -> bool {
        true
    }

    /// Saved: the input, before and after gelu.
    fn cost(c: &EncoderConfig) -> Cost {
        let (h, f, operand) = (c.hidden as f64, c.intermediate as f64, operand_bytes(c));
        let before_gelu = match c.kernels {
            Kernels::Fused | Kernels::Gpu => operand,
            Kernels::Plain => FLOAT,
        };
        let copies = match c.precision {
            Precision::F32 => 0.0,
            Precision::Bf16 => FLOAT / 2.0 * 2.0 * h * f,
        };
        Cost {
            // Two dense layers; 8 per element for the activation.
            reference: Amount::token(2.0 * h * f + 8.0 * f + f + 2.0 * h * f + h),
            products: Amount::token(4.0 * h * f),
            saved: Amount::token(operand * (h + f) + before_gelu * f),
            copies,
            // The gradient after gelu.
            working: Amount::token(FLOAT * f),
        }
    }
}
