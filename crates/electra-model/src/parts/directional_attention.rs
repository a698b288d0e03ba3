//! Softmax attention to one side: towers that never see the token they predict.

use super::softmax_attention::SoftmaxAttention;
use crate::{
    config::EncoderConfig,
    cost::Cost,
    error::Result,
    mask::PaddingMask,
    seam::{LayerContext, SelfAttention, Site},
};
use tch::{Kind, Tensor};

/// [`SoftmaxAttention`] in which a position attends to itself and to the positions on one side. Padding attends to itself
/// only, so that no row of the softmax is empty. Computed by libtorch functions on all devices.
///
/// Source: reference `run_pretraining.py`, `_get_cloze_outputs`, the towers of `two_tower_generator`.
#[derive(Debug)]
pub struct DirectionalAttention {
    attention: SoftmaxAttention,
    direction: Direction,
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    LeftToRight,
    RightToLeft,
}

impl DirectionalAttention {
    /// Attends to earlier positions. Variables as [`SoftmaxAttention::new`].
    ///
    /// # Errors
    /// As [`SoftmaxAttention::new`].
    pub fn left_to_right(site: &Site<'_>) -> Result<Self> {
        Ok(Self { attention: SoftmaxAttention::new(site)?, direction: Direction::LeftToRight })
    }

    /// Attends to later positions. Variables as [`SoftmaxAttention::new`].
    ///
    /// # Errors
    /// As [`SoftmaxAttention::new`].
    pub fn right_to_left(site: &Site<'_>) -> Result<Self> {
        Ok(Self { attention: SoftmaxAttention::new(site)?, direction: Direction::RightToLeft })
    }

    /// The additive mask `[b, 1, s, s]`: 0 where a position attends, -10000 elsewhere.
    fn bias(&self, mask: &PaddingMask) -> Tensor {
        let keep_bs = mask.keep_bs();
        let s = keep_bs.size()[1];
        let ones_ss = Tensor::ones([s, s], (Kind::Float, keep_bs.device()));
        let visible_ss = match self.direction {
            Direction::LeftToRight => ones_ss.tril(0),
            Direction::RightToLeft => ones_ss.triu(0),
        };
        let own_ss = Tensor::eye(s, (Kind::Float, keep_bs.device()));
        let visible_bss = (visible_ss * keep_bs.unsqueeze(1)).maximum(&own_ss);
        ((visible_bss - 1.0) * 10_000.0).unsqueeze(1)
    }
}

impl SelfAttention for DirectionalAttention {
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor {
        let bias = self.bias(context.mask);
        self.attention.with_scores(x_bsh, &Tensor::shallow_clone, Some(&bias), train)
    }

    fn supports_bf16(&self) -> bool {
        true
    }

    fn cost(config: &EncoderConfig) -> Cost {
        SoftmaxAttention::cost(config)
    }
}
