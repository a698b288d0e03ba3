//! The pre-norm block.

use super::norms::Norms;
use crate::{
    config::{EncoderConfig, Kernels},
    cost::{Amount, Cost, FLOAT},
    error::Result,
    kernels::{Compute, to_float},
    seam::{Block, LayerContext, Site, SubLayers},
};
use tch::Tensor;

/// A block with a LayerNorm before each sub-layer: `x + dropout(sub_layer(LayerNorm(x)))`; the encoder adds one after the
/// last layer. Variable names are those of the post-norm block, so only the config distinguishes the two.
///
/// Source: Xiong et al. 2020, figure 1 (b).
#[derive(Debug)]
pub struct PreNorm {
    sub_layers: SubLayers,
    norms: Norms,
    dropout: f64,
    compute: Compute,
}

impl PreNorm {
    /// Variables `attention.output.LayerNorm` and `output.LayerNorm` under the site's path.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    pub fn new(site: &Site<'_>, sub_layers: SubLayers) -> Result<Self> {
        let (dropout, compute) = (site.config.dropout, Compute::of(site.config));
        Ok(Self { sub_layers, norms: Norms::new(site)?, dropout, compute })
    }

    /// `x + dropout(update)`, in float32, since the residual stream is not normalized.
    fn add(&self, x_bsh: &Tensor, update_bsh: &Tensor, train: bool) -> Tensor {
        to_float(x_bsh) + self.compute.dropout(&to_float(update_bsh), self.dropout, train)
    }
}

impl Block for PreNorm {
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor {
        let normed_bsh = self.norms.attention.forward(x_bsh);
        let x_bsh = self.add(x_bsh, &self.sub_layers.attend(&normed_bsh, context, train), train);
        let normed_bsh = self.norms.feed_forward.forward(&x_bsh);
        self.add(&x_bsh, &self.sub_layers.feed_forward(&normed_bsh, train), train)
    }

    fn supports_packed(&self) -> bool {
        self.sub_layers.attention.supports_packed()
    }

    fn needs_final_norm(&self) -> bool {
        true
    }

    /// Saved: the float32 inputs of both LayerNorms, and dropout masks.
    fn cost(c: &EncoderConfig) -> Cost {
        let h = c.hidden as f64;
        let masks = match c.kernels {
            Kernels::Fused => 0.0,
            Kernels::Gpu | Kernels::Plain if c.dropout > 0.0 => 2.0 * FLOAT * h,
            Kernels::Gpu | Kernels::Plain => 0.0,
        };
        Cost {
            reference: Amount::token(2.0 * (4.0 * h + h + 5.0 * h)),
            saved: Amount::token(2.0 * (FLOAT * h + 8.0) + masks),
            working: Amount::token(FLOAT * 2.0 * h),
            ..Cost::default()
        }
    }
}
