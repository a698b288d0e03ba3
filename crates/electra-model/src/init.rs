//! Weight initialization, and the layers with initialized weights.
//!
//! Source: reference `model/modeling.py`, `create_initializer` (truncated normal), and TensorFlow's default initializer
//! (Glorot uniform) where the reference passes none.

use crate::{
    Result,
    config::{Initializer, InitializerKind},
};
use tch::{Kind, Tensor, nn, nn::Init, no_grad};

/// Which of the reference's two initializers a dense layer uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dense {
    /// The config's (truncated) normal.
    Normal,
    /// Glorot uniform, where the reference passes no initializer.
    Glorot,
}

/// A dense layer `x W^T + b` with a zero bias; `weight` is `[output, input]`.
///
/// # Errors
/// If libtorch rejects the sizes.
pub fn dense(
    path: &nn::Path<'_>,
    input: i64,
    output: i64,
    kind: Dense,
    initializer: &Initializer,
) -> Result<nn::Linear> {
    let weight = match (kind, initializer.kind) {
        (Dense::Glorot, InitializerKind::Reference) => {
            let bound = (6.0 / (input + output) as f64).sqrt();
            path.f_var("weight", &[output, input], Init::Uniform { lo: -bound, up: bound })?
        }
        _ => normal(path, "weight", &[output, input], initializer)?,
    };
    let bias = path.f_var("bias", &[output], Init::Const(0.0))?;
    Ok(nn::Linear { ws: weight, bs: Some(bias) })
}

/// A normally distributed variable, truncated at 2 standard deviations (the reference) or not (Hugging Face).
///
/// # Errors
/// If libtorch rejects the sizes.
pub fn normal(
    path: &nn::Path<'_>,
    name: &str,
    size: &[i64],
    initializer: &Initializer,
) -> Result<Tensor> {
    let mut variable = path.f_var(name, size, Init::Const(0.0))?;
    no_grad(|| match initializer.kind {
        InitializerKind::HuggingFace => {
            let _ = variable.normal_(0.0, initializer.std);
        }
        InitializerKind::Reference => {
            // Inverse transform: u uniform in (Phi(-2), Phi(2)), w = std * sqrt(2) * erfinv(2u - 1).
            const ERF_SQRT_2: f64 = 0.954_499_736_103_641_6; // 2 Phi(2) - 1
            let _ = variable.uniform_(-ERF_SQRT_2, ERF_SQRT_2);
            let _ = variable.erfinv_();
            let _ = variable.g_mul_scalar_(initializer.std * std::f64::consts::SQRT_2);
            let _ = variable.clamp_(-2.0 * initializer.std, 2.0 * initializer.std);
        }
    });
    Ok(variable)
}

/// LayerNorm over the last dimension; the weight is initialized to 1, the bias to 0.
#[derive(Debug)]
pub struct LayerNorm {
    /// Weight `[width]`.
    pub weight: Tensor,
    /// Bias `[width]`.
    pub bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Variables `weight` and `bias` under `path`.
    ///
    /// # Errors
    /// If libtorch rejects the size.
    pub fn new(path: &nn::Path<'_>, width: i64, eps: f64) -> Result<Self> {
        Ok(Self {
            weight: path.f_var("weight", &[width], Init::Const(1.0))?,
            bias: path.f_var("bias", &[width], Init::Const(0.0))?,
            eps,
        })
    }

    /// The constant added to the variance.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// Normalizes the last dimension of `x`; weight and bias are cast to the kind of `x`, statistics are float32.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let [weight, bias] = [&self.weight, &self.bias].map(|tensor| tensor.to_kind(x.kind()));
        x.layer_norm(weight.size(), Some(&weight), Some(&bias), self.eps, true)
    }

    /// A LayerNorm that shares the same variables.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        Self { weight: self.weight.shallow_clone(), bias: self.bias.shallow_clone(), eps: self.eps }
    }
}

/// Sinusoids as a `[positions, width]` table with root mean square `std`.
///
/// Source: Vaswani et al. 2017, section 3.5; scaled, since the table is added to word embeddings of that magnitude.
pub fn sinusoids(positions: i64, width: i64, std: f64) -> Tensor {
    let half = (width + 1) / 2;
    let options = (Kind::Double, tch::Device::Cpu);
    let position_s1 = Tensor::arange(positions, options).unsqueeze(1);
    let exponent_1d = Tensor::arange(half, options).unsqueeze(0) / half as f64;
    let angle_sd = position_s1 * (exponent_1d * -(10_000f64.ln())).exp();
    let table = Tensor::stack(&[angle_sd.sin(), angle_sd.cos()], 2).reshape([positions, 2 * half]);
    (table.narrow(1, 0, width) * (std * std::f64::consts::SQRT_2)).to_kind(Kind::Float)
}
