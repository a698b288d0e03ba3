//! How the shipped layers compute. None of it is a property of the weights: a checkpoint loads with any of it. A run
//! that is resumed keeps its own, so that it equals an unbroken one.
//!
//! Three forms, which give the same numbers but for rounding and the draws of dropout: a chain of libtorch's functions,
//! which is the definition; layers in one pass each on a CPU; and libtorch's own layers in one pass, for GPUs. Two
//! precisions of the products of dense layers.

use crate::{
    config::{EncoderConfig, Kernels, Precision},
    init::LayerNorm,
    mask::Rows,
};
use electra_torch::{is_cpu_f32, ops};
use tch::{Device, Kind, Tensor, nn, nn::Module};

/// Form and precision together, as a layer holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compute {
    /// The form of the layers.
    pub kernels: Kernels,
    /// The precision of the products.
    pub precision: Precision,
}

impl Compute {
    /// How the shipped layers of a network compute.
    pub fn of(config: &EncoderConfig) -> Self {
        Self { kernels: config.kernels, precision: config.precision }
    }

    /// Whether a layer over `x` is computed in one pass of `electra-torch`.
    pub fn fuses(self, x: &Tensor) -> bool {
        self.kernels == Kernels::Fused && is_cpu_f32(x)
    }

    /// Whether layers on `device` have the form for GPUs.
    pub fn is_gpu(self, device: Device) -> bool {
        match self.kernels {
            Kernels::Gpu => true,
            Kernels::Fused => matches!(device, Device::Cuda(_)),
            Kernels::Plain => false,
        }
    }

    /// How many rows a batch without padding has. oneDNN compiles a product anew for each number of rows, and keeps it;
    /// its are the products in bfloat16.
    pub fn rows(self) -> Rows {
        match self.precision {
            Precision::F32 => Rows::Tokens,
            Precision::Bf16 => Rows::Few,
        }
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

    /// The output layer over a vocabulary, in 32 bits; the product is rounded on a GPU alone.
    ///
    /// # Shapes
    /// - `x_pe`: `[.., e]`, `table_ve`: `[v, e]`, `bias_v`: `[v]`. Result: `[.., v]` float.
    pub fn logits(self, x_pe: &Tensor, table_ve: &Tensor, bias_v: &Tensor) -> Tensor {
        match self.is_gpu(x_pe.device()) {
            true => widened(&self.linear(x_pe, table_ve, bias_v)),
            false => x_pe.linear(table_ve, Some(bias_v)),
        }
    }

    /// A dense layer, in 32-bit floats; on a GPU as a factor of the next product.
    pub fn dense(self, dense: &nn::Linear, x: &Tensor) -> Tensor {
        match &dense.bs {
            Some(bias) if self.is_gpu(x.device()) => self.linear(x, &dense.ws, bias),
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
        if self.fuses(x) {
            return ops::add_norm(x, residual, &norm.weight, &norm.bias, norm.eps(), p, train);
        }
        if self.is_gpu(x.device()) {
            return norm.forward(&(self.factor(x).dropout(p, train) + self.factor(residual)));
        }
        norm.forward(&(x.dropout(p, train) + residual))
    }
}

/// What leaves a network: 32-bit floats where there were fewer bits.
pub(crate) fn widened(x: &Tensor) -> Tensor {
    match x.kind() {
        Kind::BFloat16 => x.to_kind(Kind::Float),
        _ => x.shallow_clone(),
    }
}
