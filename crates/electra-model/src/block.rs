//! A layer of the encoder: the seam, and the two arrangements of sub-layers, residual connections and LayerNorm.

use crate::{
    attention::SelfAttention,
    config::{EncoderConfig, Kernels},
    cost::{Amount, Cost, FLOAT, factor},
    error::Result,
    feed_forward::FeedForward,
    init::LayerNorm,
    kernels::{Compute, widened},
    layer::LayerContext,
    site::Site,
};
use std::fmt::Debug;
use tch::Tensor;

/// One layer of the encoder.
pub trait Block: Debug + Send {
    /// # Shapes
    /// - `x_bsh`: `[b, s, h]` float. Result: same.
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor;

    /// Whether it also takes a batch without its padding: `[1, t, h]`, the sequences of
    /// [`crate::PaddingMask::sequences`] one after the other.
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
    fn attend(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor {
        self.attention.forward_t(&given(x_bsh, self.attention.takes_bf16()), context, train)
    }

    /// The feed-forward layer over `x_bsh`, in the same way.
    fn feed(&self, x_bsh: &Tensor, train: bool) -> Tensor {
        self.feed_forward.forward_t(&given(x_bsh, self.feed_forward.takes_bf16()), train)
    }
}

fn given(x: &Tensor, takes_bf16: bool) -> Tensor {
    if takes_bf16 { x.shallow_clone() } else { widened(x) }
}

/// The two LayerNorms of a block, under their Hugging Face names.
#[derive(Debug)]
struct Norms {
    attention: LayerNorm,
    feed_forward: LayerNorm,
}

impl Norms {
    fn new(site: &Site<'_>) -> Result<Self> {
        let (h, eps) = (site.config.hidden, site.config.layer_norm_eps);
        let norm = |path: tch::nn::Path<'_>| LayerNorm::new(&(path / "LayerNorm"), h, eps);
        Ok(Self {
            attention: norm(site.path / "attention" / "output")?,
            feed_forward: norm(site.path / "output")?,
        })
    }
}

/// LayerNorm behind each residual connection: `LayerNorm(x + dropout(sub_layer(x)))`.
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
    /// If libtorch refuses the sizes.
    pub fn new(site: &Site<'_>, sub_layers: SubLayers) -> Result<Self> {
        let (dropout, compute) = (site.config.dropout, Compute::of(site.config));
        Ok(Self { sub_layers, norms: Norms::new(site)?, dropout, compute })
    }
}

impl Block for PostNorm {
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor {
        let (compute, p) = (self.compute, self.dropout);
        let mixed_bsh = self.sub_layers.attend(x_bsh, context, train);
        let x_bsh = compute.add_norm(&mixed_bsh, x_bsh, &self.norms.attention, p, train);
        let fed_bsh = self.sub_layers.feed(&x_bsh, train);
        compute.add_norm(&fed_bsh, &x_bsh, &self.norms.feed_forward, p, train)
    }

    fn takes_packed(&self) -> bool {
        self.sub_layers.attention.takes_packed()
    }

    /// Dropout 4, residual 1, LayerNorm 5 a number, but behind attention 5 in all ([`crate::flops`]).
    fn cost(c: &EncoderConfig) -> Cost {
        let h = c.hidden as f64;
        let norms = 2.0 * (FLOAT * h + 8.0);
        let kept = match c.kernels {
            Kernels::Fused => norms,
            Kernels::Gpu => {
                let masks = if c.dropout > 0.0 { 2.0 * h } else { 0.0 };
                factor(c) * 2.0 * h + masks + 16.0
            }
            Kernels::Plain => norms + if c.dropout > 0.0 { 2.0 * FLOAT * h } else { 0.0 },
        };
        Cost {
            reference: Amount::token(4.0 * h + h + 5.0 + 4.0 * h + h + 5.0 * h),
            kept: Amount::token(kept),
            // Gradients before LayerNorm, with and without dropout.
            working: Amount::token(FLOAT * 2.0 * h),
            ..Cost::default()
        }
    }
}

/// LayerNorm in front of each sub-layer: `x + dropout(sub_layer(LayerNorm(x)))`, and one LayerNorm behind the last
/// layer. The variables have [`PostNorm`]'s names and other meanings, which is why a network names its block.
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
