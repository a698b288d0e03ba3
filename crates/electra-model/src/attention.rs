//! Self-attention: the seam and the shipped softmax attention.

use crate::{
    PaddingMask, Result, Site,
    init::{self, Dense},
};
use std::fmt::Debug;
use tch::{Kind, Tensor, nn, nn::Module};

/// Mixes information across positions.
pub trait SelfAttention: Debug + Send {
    /// # Shapes
    /// - `x_bsh`: `[b, s, h]` float. Result: same. Residual, dropout on the result and LayerNorm
    ///   are the caller's.
    fn forward_t(&self, x_bsh: &Tensor, mask: &PaddingMask, train: bool) -> Tensor;
}

/// `softmax(Q K^T / sqrt(d) + bias) V` per head, then the output projection.
///
/// Source: Clark et al. 2020, section 3; reference `model/modeling.py`, `attention_layer`.
/// Departures: none.
#[derive(Debug)]
pub struct SoftmaxAttention {
    query: nn::Linear,
    key: nn::Linear,
    value: nn::Linear,
    output: nn::Linear,
    heads: i64,
    head_size: i64,
    dropout: f64,
}

impl SoftmaxAttention {
    /// Variables `self.{query,key,value}` and `output.dense` under the site's path.
    ///
    /// # Errors
    /// If libtorch refuses the sizes.
    pub fn new(site: &Site<'_>) -> Result<Self> {
        let h = site.config.hidden;
        let dense =
            |path: nn::Path<'_>| init::dense(&path, h, h, Dense::Normal, &site.config.initializer);
        let own = site.path / "self";
        Ok(Self {
            query: dense(&own / "query")?,
            key: dense(&own / "key")?,
            value: dense(&own / "value")?,
            output: dense(site.path / "output" / "dense")?,
            heads: site.config.heads,
            head_size: site.config.head_size(),
            dropout: site.config.attention_dropout,
        })
    }
}

impl SelfAttention for SoftmaxAttention {
    fn forward_t(&self, x_bsh: &Tensor, mask: &PaddingMask, train: bool) -> Tensor {
        let (b, s, h) = x_bsh.size3().expect("x_bsh has three dimensions: encoders make it");
        let split_heads = |x: Tensor| x.view([b, s, self.heads, self.head_size]).transpose(1, 2);
        let scale = (self.head_size as f64).sqrt().recip();
        let q_bnsd = split_heads(self.query.forward(x_bsh)) * scale;
        let k_bnsd = split_heads(self.key.forward(x_bsh));
        let v_bnsd = split_heads(self.value.forward(x_bsh));
        let mut scores_bnss = q_bnsd.matmul(&k_bnsd.transpose(-2, -1));
        if let Some(bias_b11s) = mask.bias_b11s() {
            scores_bnss += bias_b11s;
        }
        let weights_bnss = scores_bnss.softmax(-1, None::<Kind>).dropout(self.dropout, train);
        let mixed_bsh = weights_bnss.matmul(&v_bnsd).transpose(1, 2).reshape([b, s, h]);
        self.output.forward(&mixed_bsh)
    }
}
