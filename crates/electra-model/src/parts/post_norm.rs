//! The post-norm block.

use super::norms::Norms;
use crate::{
    config::{EncoderConfig, Kernels},
    cost::{Amount, Cost, FLOAT, operand_bytes},
    error::Result,
    kernels::Compute,
    seam::{Block, LayerContext, Site, SubLayers},
};
use tch::Tensor;

/// A block with a LayerNorm after each residual connection: `LayerNorm(x + dropout(sub_layer(x)))`.
///
/// Source: reference `model/modeling.py`, `transformer_model`. Departures: none.
#[derive(Debug)]
pub struct PostNorm {
    sub_layers: SubLayers,
    norms: Norms,
    dropout: f64,
    compute: Compute,
}

impl PostNorm {
    /// Variables `attention.output.LayerNorm` and `output.LayerNorm` under the site's path.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    pub fn new(site: &Site<'_>, sub_layers: SubLayers) -> Result<Self> {
        let (dropout, compute) = (site.config.dropout, Compute::of(site.config));
        Ok(Self { sub_layers, norms: Norms::new(site)?, dropout, compute })
    }
}

impl Block for PostNorm {
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor {
        let (compute, p) = (self.compute, self.dropout);
        let attention_bsh = self.sub_layers.attend(x_bsh, context, train);
        let x_bsh = compute.add_norm(&attention_bsh, x_bsh, &self.norms.attention, p, train);
        let mlp_bsh = self.sub_layers.feed_forward(&x_bsh, train);
        compute.add_norm(&mlp_bsh, &x_bsh, &self.norms.feed_forward, p, train)
    }

    fn supports_packed(&self) -> bool {
        self.sub_layers.attention.supports_packed()
    }

    /// FLOPs per element: dropout 4, residual 1, LayerNorm 5, but 5 in total after attention ([`crate::flops`]).
    fn cost(c: &EncoderConfig) -> Cost {
        let h = c.hidden as f64;
        let norms = 2.0 * (FLOAT * h + 8.0);
        let saved = match c.kernels {
            Kernels::Fused => norms,
            Kernels::Gpu => {
                let masks = if c.dropout > 0.0 { 2.0 * h } else { 0.0 };
                operand_bytes(c) * 2.0 * h + masks + 16.0
            }
            Kernels::Plain => norms + if c.dropout > 0.0 { 2.0 * FLOAT * h } else { 0.0 },
        };
        Cost {
            reference: Amount::token(4.0 * h + h + 5.0 + 4.0 * h + h + 5.0 * h),
            saved: Amount::token(saved),
            // Gradients before LayerNorm, with and without dropout.
            working: Amount::token(FLOAT * 2.0 * h),
            ..Cost::default()
        }
    }
}
