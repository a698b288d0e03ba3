//! Softmax attention with rotary positions (Su et al. 2021).

use electra_model::{
    LayerContext, Result, SelfAttention, Site, SoftmaxAttention,
    tch::{Kind, Tensor},
};
use serde::Deserialize;

/// The keys of `[model.custom.rotary]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    base: f64,
}

#[derive(Debug)]
pub struct Rotary {
    attention: SoftmaxAttention,
    settings: Settings,
}

impl Rotary {
    pub fn new(site: &Site<'_>) -> Result<Self> {
        Ok(Self { attention: SoftmaxAttention::new(site)?, settings: site.settings()? })
    }

    /// Turns pairs of numbers by angles in proportion to the position.
    fn rotate(&self, x_bnsd: &Tensor) -> Tensor {
        let (s, half) = (x_bnsd.size()[2], x_bnsd.size()[3] / 2);
        let options = (Kind::Float, x_bnsd.device());
        let speeds =
            (Tensor::arange(half, options) * (-self.settings.base.ln() / half as f64)).exp();
        let angles = Tensor::arange(s, options).outer(&speeds);
        let (sin, cos) = (angles.sin(), angles.cos());
        let pair = x_bnsd.chunk(2, -1);
        let turned = [&pair[0] * &cos - &pair[1] * &sin, &pair[0] * &sin + &pair[1] * &cos];
        Tensor::cat(&turned, -1)
    }
}

impl SelfAttention for Rotary {
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor {
        let rotate = |x: &Tensor| self.rotate(x);
        self.attention.with_scores(x_bsh, &rotate, context.mask.bias_b11s(), train)
    }
}
