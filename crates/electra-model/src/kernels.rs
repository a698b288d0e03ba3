//! How the shipped layers compute. None of it is a property of the weights: a checkpoint loads with any of it. A run
//! that is resumed keeps its own, so that it equals an unbroken one.
//!
//! Two forms, which give the same numbers but for rounding and the draws of dropout: a chain of libtorch's functions,
//! which is the definition, and layers in one pass each. Two precisions of the products of dense layers.

use crate::init::LayerNorm;
use electra_torch::{is_plain, ops};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, nn, nn::Module};

/// The form of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kernels {
    /// One pass a layer where there are such kernels (32-bit floats on a CPU), plain elsewhere.
    Fused,
    /// libtorch's functions, one after the other.
    Plain,
}

/// What the factors of matrix products are rounded to: those of dense layers, and of fused attention and output layers.
/// Weights, moments, sums, losses and what residual connections carry are 32-bit floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floats: nothing is rounded.
    F32,
    /// bfloat16, where the processor or the GPU multiplies them fast.
    Bf16,
}

/// Form and precision together, as a layer holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compute {
    /// The form of the layers.
    pub kernels: Kernels,
    /// The precision of the products.
    pub precision: Precision,
}

impl Compute {
    /// Whether a layer over `x` is computed in one pass.
    pub fn fuses(self, x: &Tensor) -> bool {
        self.kernels == Kernels::Fused && is_plain(x)
    }

    /// `x` as products take it: rounded, if that is their precision.
    pub fn factor(self, x: &Tensor) -> Tensor {
        match self.precision {
            Precision::F32 => x.shallow_clone(),
            Precision::Bf16 => x.to_kind(Kind::BFloat16),
        }
    }

    /// `x W^T + b`, as a factor of the next product.
    ///
    /// # Shapes
    /// - `x`: `[.., k]`, `weight`: `[n, k]`, `bias`: `[n]`. Result: `[.., n]`.
    ///
    /// Source of the rounding: Micikevicius et al. 2018, section 3.1, with bfloat16, which needs no scaling of the loss.
    pub fn linear(self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
        self.factor(x).linear(&self.factor(weight), Some(&self.factor(bias)))
    }

    /// A dense layer, in 32-bit floats.
    pub fn dense(self, dense: &nn::Linear, x: &Tensor) -> Tensor {
        match &dense.bs {
            Some(bias) => self.linear(x, &dense.ws, bias).to_kind(Kind::Float),
            None => dense.forward(x),
        }
    }

    /// `gelu(x W^T + b)` with the exact gelu, as a factor of the next product.
    ///
    /// # Shapes
    /// - `x`: `[.., h]`, `dense`: from `h` to `f`. Result: `[.., f]`.
    pub fn dense_gelu(self, dense: &nn::Linear, x: &Tensor) -> Tensor {
        match &dense.bs {
            Some(bias) if self.fuses(x) => {
                let product = self.factor(x).linear(&self.factor(&dense.ws), None::<&Tensor>);
                ops::bias_gelu(&product, bias)
            }
            _ => self.factor(&self.dense(dense, x).gelu("none")),
        }
    }

    /// Dropout with probability `p`.
    pub fn dropout(self, x: &Tensor, p: f64, train: bool) -> Tensor {
        match self.fuses(x) {
            true => ops::dropout(x, p, train),
            false => x.dropout(p, train),
        }
    }

    /// `LayerNorm(residual + dropout(x))`.
    ///
    /// # Shapes
    /// - `x`, `residual`: `[.., h]`. Result: same.
    pub fn add_norm(
        self,
        x: &Tensor,
        residual: &Tensor,
        norm: &LayerNorm,
        p: f64,
        train: bool,
    ) -> Tensor {
        match self.fuses(x) {
            true => ops::add_norm(x, residual, &norm.weight, &norm.bias, norm.eps(), p, train),
            false => norm.forward(&(x.dropout(p, train) + residual)),
        }
    }
}
