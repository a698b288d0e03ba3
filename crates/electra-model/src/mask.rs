//! The padding mask: the only form in which a mask reaches a layer.

use electra_torch::ops::Sequences;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Which positions of a batch are tokens (kept) and which are padding.
///
/// Made once per batch from `attention_mask`; layers see [`Self::bias_b11s`], which is finite, so that a row of
/// nothing but padding gives finite numbers, or [`Self::sequences`], which leave padding out.
#[derive(Debug)]
pub struct PaddingMask {
    keep_bs: Tensor,
    bias_b11s: Option<Tensor>,
    sequences: Option<Arc<Sequences>>,
    lengths: Vec<usize>,
}

/// A batch without its padding, and the way back.
#[derive(Debug)]
pub struct Packed {
    /// The mask of `[1, t]`: all tokens, each seeing its own sequence.
    pub mask: PaddingMask,
    /// Places of the tokens in the flattened batch, `[t]` int64.
    places_t: Tensor,
    batch: i64,
    length: i64,
}

impl PaddingMask {
    /// From `attention_mask` `[b, s]`: 1 for tokens, 0 for padding, any kind.
    pub fn new(attention_mask_bs: &Tensor) -> Self {
        let keep_bs = attention_mask_bs.ne(0).to_kind(Kind::Float);
        // The reference's additive mask: 0 for tokens, -10000 for padding.
        let bias_b11s = ((&keep_bs - 1.0) * 10_000.0).unsqueeze(1).unsqueeze(1);
        let lengths = lengths(&keep_bs).unwrap_or_default();
        let s = keep_bs.size()[1] as usize;
        let sequences = (!lengths.is_empty()).then(|| Arc::new(Sequences::padded(&lengths, s)));
        Self { keep_bs, bias_b11s: Some(bias_b11s), sequences, lengths }
    }

    /// A batch without padding, which costs the layers nothing.
    pub fn all_kept(batch: i64, length: i64, device: Device) -> Self {
        let lengths = vec![length as usize; batch as usize];
        Self {
            keep_bs: Tensor::ones([batch, length], (Kind::Float, device)),
            bias_b11s: None,
            sequences: Some(Arc::new(Sequences::padded(&lengths, length as usize))),
            lengths,
        }
    }

    /// A second handle on the same mask.
    #[must_use]
    pub fn share(&self) -> Self {
        Self {
            keep_bs: self.keep_bs.shallow_clone(),
            bias_b11s: self.bias_b11s.as_ref().map(Tensor::shallow_clone),
            sequences: self.sequences.clone(),
            lengths: self.lengths.clone(),
        }
    }

    /// `[b, s]` float: 1 for tokens, 0 for padding.
    pub fn keep_bs(&self) -> &Tensor {
        &self.keep_bs
    }

    /// `[b, 1, 1, s]` float, added to attention scores `[b, n, s, s]`; `None` without padding.
    pub fn bias_b11s(&self) -> Option<&Tensor> {
        self.bias_b11s.as_ref()
    }

    /// Which rows of the flattened batch are a sequence; `None` where the mask is on a GPU, or keeps something else
    /// than the first tokens of each row, one at least.
    pub fn sequences(&self) -> Option<&Arc<Sequences>> {
        self.sequences.as_ref()
    }

    /// The batch without its padding; `None` where there is none, or it cannot be told from here.
    pub fn packed(&self) -> Option<Packed> {
        self.sequences.as_ref()?;
        let tokens: usize = self.lengths.iter().sum();
        let (batch, length) = self.keep_bs.size2().ok()?;
        if tokens as i64 == batch * length {
            return None;
        }
        let mask = Self {
            keep_bs: Tensor::ones([1, tokens as i64], (Kind::Float, self.keep_bs.device())),
            bias_b11s: None,
            sequences: Some(Arc::new(Sequences::packed(&self.lengths))),
            lengths: self.lengths.clone(),
        };
        let places_t = self.keep_bs.flatten(0, 1).nonzero().squeeze_dim(-1);
        Some(Packed { mask, places_t, batch, length })
    }
}

impl Packed {
    /// Tokens alone: `[b, s, h]` to `[1, t, h]`.
    pub fn pack(&self, x_bsh: &Tensor) -> Tensor {
        x_bsh.flatten(0, 1).index_select(0, &self.places_t).unsqueeze(0)
    }

    /// Back to `[b, s, h]`, with zeros at padding.
    pub fn unpack(&self, x_1th: &Tensor) -> Tensor {
        let h = x_1th.size()[2];
        let zeros = Tensor::zeros([self.batch * self.length, h], (x_1th.kind(), x_1th.device()));
        zeros.index_copy(0, &self.places_t, &x_1th.squeeze_dim(0)).view([
            self.batch,
            self.length,
            h,
        ])
    }
}

/// Tokens of each row, where they are its first ones and at least one, and the mask is at hand without waiting.
fn lengths(keep_bs: &Tensor) -> Option<Vec<usize>> {
    if keep_bs.device() != Device::Cpu || keep_bs.dim() != 2 {
        return None;
    }
    let s = keep_bs.size()[1] as usize;
    let keep = Vec::<f32>::try_from(keep_bs.flatten(0, 1)).ok()?;
    keep.chunks_exact(s.max(1))
        .map(|row| {
            let length = row.iter().take_while(|&&keep| keep != 0.0).count();
            let rest = row[length..].iter().all(|&keep| keep == 0.0);
            (rest && length > 0).then_some(length)
        })
        .collect()
}
