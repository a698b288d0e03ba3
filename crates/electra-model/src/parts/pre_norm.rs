//! A layer with LayerNorm in front of each sub-layer.

use super::norms::Norms;
use crate::{
    config::{EncoderConfig, Kernels},
    cost::{Amount, Cost, FLOAT},
    error::Result,
    kernels::{Compute, widened},
    seam::{Block, LayerContext, Site, SubLayers},
};
use tch::Tensor;

/// LayerNorm in front of each sub-layer: `x + dropout(sub_layer(LayerNorm(x)))`, and one LayerNorm behind the last
/// layer. The variables have the post-norm layer's names and other meanings, which is why a network names its block.
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
    /// If libtorch refuses the sizes.
    pub fn new(site: &Site<'_>, sub_layers: SubLayers) -> Result<Self> {
        let (dropout, compute) = (site.config.dropout, Compute::of(site.config));
        Ok(Self { sub_layers, norms: Norms::new(site)?, dropout, compute })
    }

    /// `x + dropout(change)`, in 32 bits: nothing normalises what residual connections carry.
    fn add(&self, x_bsh: &Tensor, change_bsh: &Tensor, train: bool) -> Tensor {
        widened(x_bsh) + self.compute.dropout(&widened(change_bsh), self.dropout, train)
    }
}

impl Block for PreNorm {
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor {
        let normed_bsh = self.norms.attention.forward(x_bsh);
        let x_bsh = self.add(x_bsh, &self.sub_layers.attend(&normed_bsh, context, train), train);
        let normed_bsh = self.norms.feed_forward.forward(&x_bsh);
        self.add(&x_bsh, &self.sub_layers.feed(&normed_bsh, train), train)
    }

    fn takes_packed(&self) -> bool {
        self.sub_layers.attention.takes_packed()
    }

    fn needs_final_norm(&self) -> bool {
        true
    }

    /// Both residual connections are kept in 32 bits for their LayerNorm, besides the masks of dropout.
    fn cost(c: &EncoderConfig) -> Cost {
        let h = c.hidden as f64;
        let masks = match c.kernels {
            Kernels::Fused => 0.0,
            Kernels::Gpu | Kernels::Plain if c.dropout > 0.0 => 2.0 * FLOAT * h,
            Kernels::Gpu | Kernels::Plain => 0.0,
        };
        Cost {
            reference: Amount::token(2.0 * (4.0 * h + h + 5.0 * h)),
            kept: Amount::token(2.0 * (FLOAT * h + 8.0) + masks),
            working: Amount::token(FLOAT * 2.0 * h),
            ..Cost::default()
        }
    }
}
