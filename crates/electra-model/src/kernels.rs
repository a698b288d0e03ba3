//! The arithmetic of the shipped layers in two forms: a chain of libtorch's functions, which is the definition,
//! and layers in one pass each. They give the same numbers but for rounding, and dropout that is drawn otherwise.

use crate::init::LayerNorm;
use electra_torch::{is_plain, ops};
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn, nn::Module};

/// How the shipped layers compute: no property of the weights, so a run may change it when it is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kernels {
    /// One pass a layer where there are such kernels (32-bit floats on a CPU), plain elsewhere.
    Fused,
    /// libtorch's functions, one after the other.
    Plain,
}

impl Kernels {
    /// Whether a layer over `x` is computed in one pass.
    pub fn fuses(self, x: &Tensor) -> bool {
        self == Self::Fused && is_plain(x)
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

    /// `gelu(x W^T + b)` with the exact gelu.
    ///
    /// # Shapes
    /// - `x`: `[.., h]`, `dense`: from `h` to `f`. Result: `[.., f]`.
    pub fn dense_gelu(self, dense: &nn::Linear, x: &Tensor) -> Tensor {
        match &dense.bs {
            Some(bias) if self.fuses(x) => {
                ops::bias_gelu(&x.linear(&dense.ws, None::<&Tensor>), bias)
            }
            _ => dense.forward(x).gelu("none"),
        }
    }
}
