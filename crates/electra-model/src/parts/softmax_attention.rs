//! Softmax attention.

use crate::{
    config::{EncoderConfig, Kernels, Precision},
    cost::{Amount, Cost, FLOAT, operand_bytes},
    error::Result,
    init::{self, Dense},
    kernels::Compute,
    mask::PaddingMask,
    seam::{LayerContext, SelfAttention, Site},
};
use electra_torch::ops;
use tch::{Kind, Tensor, nn};

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
    compute: Compute,
}

impl SoftmaxAttention {
    /// Variables `self.{query,key,value}` and `output.dense` under the site's path.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
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
            compute: Compute::of(site.config),
        })
    }

    /// The definition, as a chain of libtorch functions: `[b, s, h]` before the output projection.
    fn plain(
        &self,
        x_bsh: &Tensor,
        rotate: &dyn Fn(&Tensor) -> Tensor,
        bias: Option<&Tensor>,
        train: bool,
    ) -> Tensor {
        let (b, s, h) = x_bsh.size3().expect("x_bsh has three dimensions: encoders make it");
        let split_heads = |x: Tensor| x.view([b, s, self.heads, self.head_size]).transpose(1, 2);
        let scale = (self.head_size as f64).sqrt().recip();
        let q_bnsd = rotate(&split_heads(self.compute.dense(&self.query, x_bsh))) * scale;
        let k_bnsd = rotate(&split_heads(self.compute.dense(&self.key, x_bsh)));
        let v_bnsd = split_heads(self.compute.dense(&self.value, x_bsh));
        let mut scores_bnss = q_bnsd.matmul(&k_bnsd.transpose(-2, -1));
        if let Some(bias) = bias {
            scores_bnss += bias;
        }
        let weights_bnss = scores_bnss.softmax(-1, None::<Kind>).dropout(self.dropout, train);
        weights_bnss.matmul(&v_bnsd).transpose(1, 2).reshape([b, s, h])
    }

    /// Attention with other scores, as a chain of libtorch functions: `rotate` is applied to queries and keys, as for rotary
    /// positions, and `bias` is added to the scores, as for relative positions. The mask of padding is not added: `bias`
    /// contains it ([`PaddingMask::bias_b11s`], which is `None` without padding).
    ///
    /// # Shapes
    /// - `x_bsh`: `[b, s, h]` float; `rotate`: `[b, n, s, d]` to the same; `bias`: broadcast to `[b, n, s, s]`. Result:
    ///   `[b, s, h]`.
    pub fn with_scores(
        &self,
        x_bsh: &Tensor,
        rotate: &dyn Fn(&Tensor) -> Tensor,
        bias: Option<&Tensor>,
        train: bool,
    ) -> Tensor {
        self.compute.dense(&self.output, &self.plain(x_bsh, rotate, bias, train))
    }

    /// libtorch's scaled dot-product attention (FlashAttention for 16-bit inputs without padding, otherwise memory-efficient
    /// attention): `[b, s, h]` before the output projection.
    fn gpu(&self, x_bsh: &Tensor, mask: &PaddingMask, train: bool) -> Tensor {
        let (b, s, h) = x_bsh.size3().expect("x_bsh has three dimensions: encoders make it");
        let split = [b, s, 3, self.heads, self.head_size];
        let qkv_3bnsd = self.qkv_projection(x_bsh).view(split).permute([2, 0, 3, 1, 4]);
        let bias_b11s = mask.bias_b11s().map(|bias| bias.to_kind(qkv_3bnsd.kind()));
        let context_bnsd = Tensor::scaled_dot_product_attention(
            &qkv_3bnsd.get(0),
            &qkv_3bnsd.get(1),
            &qkv_3bnsd.get(2),
            bias_b11s,
            if train { self.dropout } else { 0.0 },
            false,
            None,
            false,
        );
        context_bnsd.transpose(1, 2).reshape([b, s, h])
    }

    /// Queries, keys and values in one product: `[.., 3 h]`.
    fn qkv_projection(&self, x_bsh: &Tensor) -> Tensor {
        let layers = [&self.query, &self.key, &self.value];
        let weights = Tensor::cat(&layers.map(|layer| &layer.ws), 0);
        let biases: Vec<&Tensor> = layers.iter().filter_map(|layer| layer.bs.as_ref()).collect();
        self.compute.linear(x_bsh, &weights, &Tensor::cat(&biases, 0))
    }
}

impl SelfAttention for SoftmaxAttention {
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor {
        let mask = context.mask;
        let context_bsh = match mask.sequences() {
            Some(sequences) if self.compute.fuses(x_bsh) => {
                let qkv_t3h = self.qkv_projection(x_bsh).flatten(0, 1);
                let (heads, p) = (self.heads as usize, self.dropout);
                ops::attention(&qkv_t3h, sequences, heads, p, train).view_as(x_bsh)
            }
            _ if self.compute.is_gpu(x_bsh.device()) => self.gpu(x_bsh, mask, train),
            _ => self.plain(x_bsh, &Tensor::shallow_clone, mask.bias_b11s(), train),
        };
        self.compute.dense(&self.output, &context_bsh)
    }

    fn supports_bf16(&self) -> bool {
        true
    }

    fn supports_packed(&self) -> bool {
        self.compute.kernels == Kernels::Fused
    }

    /// Saved: the input of the projections (plain bfloat16: one cast for each), queries, keys and values, log-sum-exp or
    /// weights of the softmax, the input of the output projection.
    fn cost(c: &EncoderConfig) -> Cost {
        let (h, n, operand) = (c.hidden as f64, c.heads as f64, operand_bytes(c));
        let saved = match c.kernels {
            Kernels::Fused | Kernels::Gpu => Amount::token(operand * 5.0 * h + FLOAT * n),
            Kernels::Plain => {
                // Attention weights; with dropout also the mask and their product.
                let scores = if c.attention_dropout > 0.0 { 3.0 } else { 1.0 };
                let inputs = if c.precision == Precision::Bf16 { 4.0 } else { 2.0 };
                Amount { token: operand * inputs * h + FLOAT * 3.0 * h, pair: FLOAT * scores * n }
            }
        };
        let copies = match (c.precision, c.kernels) {
            (Precision::F32, Kernels::Plain) => 0.0,
            // The concatenated query, key and value weights.
            (Precision::F32, Kernels::Fused | Kernels::Gpu) => FLOAT * 3.0 * h * h,
            (Precision::Bf16, _) => FLOAT / 2.0 * 4.0 * h * h,
        };
        Cost {
            // Projections; scores, softmax 5, dropout 4 and scaling 1 per head; weighted sum; output projection.
            reference: Amount {
                token: 6.0 * h * h + 3.0 * h + 2.0 * h * h + h,
                pair: 2.0 * h + 5.0 * n + 4.0 * n + n + 2.0 * h,
            },
            products: Amount { token: 8.0 * h * h, pair: 4.0 * h },
            saved,
            copies,
            working: Amount::default(),
        }
    }
}
