//! The padding mask: the only form in which a mask reaches a layer.

use tch::{Device, Kind, Tensor};

/// Which positions of a batch are tokens (kept) and which are padding.
///
/// Made once per batch from `attention_mask`; layers see only [`Self::bias_b11s`], which is finite,
/// so a row of nothing but padding gives finite numbers.
#[derive(Debug)]
pub struct PaddingMask {
    keep_bs: Tensor,
    bias_b11s: Option<Tensor>,
}

impl PaddingMask {
    /// From `attention_mask` `[b, s]`: 1 for tokens, 0 for padding, any kind.
    pub fn new(attention_mask_bs: &Tensor) -> Self {
        let keep_bs = attention_mask_bs.ne(0).to_kind(Kind::Float);
        // The reference's additive mask: 0 for tokens, -10000 for padding.
        let bias_b11s = ((&keep_bs - 1.0) * 10_000.0).unsqueeze(1).unsqueeze(1);
        Self { keep_bs, bias_b11s: Some(bias_b11s) }
    }

    /// A batch without padding, which costs the layers nothing.
    pub fn all_kept(batch: i64, length: i64, device: Device) -> Self {
        Self { keep_bs: Tensor::ones([batch, length], (Kind::Float, device)), bias_b11s: None }
    }

    /// `[b, s]` float: 1 for tokens, 0 for padding.
    pub fn keep_bs(&self) -> &Tensor {
        &self.keep_bs
    }

    /// `[b, 1, 1, s]` float, added to attention scores `[b, n, s, s]`; `None` without padding.
    pub fn bias_b11s(&self) -> Option<&Tensor> {
        self.bias_b11s.as_ref()
    }
}
