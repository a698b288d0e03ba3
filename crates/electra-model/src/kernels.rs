//! How the built-in layers compute. This is not a property of the weights: a checkpoint loads with any setting. A resumed
//! run keeps its setting, so that it equals an uninterrupted one.
//!
//! Three implementations, which differ only in rounding and dropout masks: a chain of libtorch functions, which is the
//! definition; fused kernels for CPUs; and libtorch's fused layers, for GPUs. Dense layers have two precisions.

use crate::{
    config::{EncoderConfig, Kernels, Precision},
    init::LayerNorm,
    mask::RowCount,
};
use electra_torch::{is_cpu_f32, ops};
use tch::{Device, Kind, Tensor, nn, nn::Module};

/// Implementation and precision of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compute {
    /// The implementation of the layers.
    pub kernels: Kernels,
    /// The precision of matrix products.
    pub precision: Precision,
}

impl Compute {
    /// The settings of a network.
    pub fn of(config: &EncoderConfig) -> Self {
        Self { kernels: config.kernels, precision: config.precision }
    }

    /// Whether a layer uses the fused kernels of `electra-torch` for `x`.
    pub fn fuses(self, x: &Tensor) -> bool {
        self.kernels == Kernels::Fused && is_cpu_f32(x)
    }

    /// Whether layers on `device` use the implementation for GPUs.
    pub fn is_gpu(self, device: Device) -> bool {
        match self.kernels {
            Kernels::Gpu => true,
            Kernels::Fused => matches!(device, Device::Cuda(_)),
            Kernels::Plain => false,
        }
    }

    /// How many rows a packed batch has. oneDNN, which computes the products in bfloat16, compiles and caches a kernel for
    /// each number of rows, so that number is rounded there.
    pub fn row_count(self) -> RowCount {
        match self.precision {
            Precision::F32 => RowCount::Exact,
            Precision::Bf16 => RowCount::Rounded,
        }
    }

    /// Casts an operand of a matrix product to the precision of the products.
    pub fn cast(self, x: &Tensor) -> Tensor {
        match self.precision {
            Precision::F32 => x.shallow_clone(),
            Precision::Bf16 => x.to_kind(Kind::BFloat16),
        }
    }

    /// `x W^T + b`, in the precision of the products.
    ///
    /// # Shapes
    /// - `x`: `[.., k]`, `weight`: `[n, k]`, `bias`: `[n]`. Result: `[.., n]`.
    ///
    /// Source of the rounding: Micikevicius et al. 2018, section 3.1, with bfloat16, which needs no loss scaling.
    pub fn linear(self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
        self.cast(x).linear(&self.cast(weight), Some(&self.cast(bias)))
    }

    /// The output layer over a vocabulary, in float32; only on a GPU in the precision of the products.
    ///
    /// # Shapes
    /// - `x_pe`: `[.., e]`, `table_ve`: `[v, e]`, `bias_v`: `[v]`. Result: `[.., v]` float.
    pub fn logits(self, x_pe: &Tensor, table_ve: &Tensor, bias_v: &Tensor) -> Tensor {
        match self.is_gpu(x_pe.device()) {
            true => to_float(&self.linear(x_pe, table_ve, bias_v)),
            false => x_pe.linear(table_ve, Some(bias_v)),
        }
    }

    /// A dense layer with a float32 result; on a GPU with a result in the precision of the products.
    pub fn dense(self, dense: &nn::Linear, x: &Tensor) -> Tensor {
        match &dense.bs {
            Some(bias) if self.is_gpu(x.device()) => self.linear(x, &dense.ws, bias),
            Some(bias) => self.linear(x, &dense.ws, bias).to_kind(Kind::Float),
            None => dense.forward(x),
        }
    }

    /// `gelu(x W^T + b)` with the exact gelu, in the precision of the products.
    ///
    /// # Shapes
    /// - `x`: `[.., h]`, `dense`: from `h` to `f`. Result: `[.., f]`.
    pub fn dense_gelu(self, dense: &nn::Linear, x: &Tensor) -> Tensor {
        match &dense.bs {
            Some(bias) if self.fuses(x) => {
                let product = self.cast(x).linear(&self.cast(&dense.ws), None::<&Tensor>);
                ops::bias_gelu(&product, bias)
            }
            _ => self.cast(&self.dense(dense, x).gelu("none")),
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
            return norm.forward(&(self.cast(x).dropout(p, train) + self.cast(residual)));
        }
        norm.forward(&(x.dropout(p, train) + residual))
    }
}

/// Casts bfloat16 to float32.
pub(crate) fn to_float(x: &Tensor) -> Tensor {
    match x.kind() {
        Kind::BFloat16 => x.to_kind(Kind::Float),
        _ => x.shallow_clone(),
    }
}
