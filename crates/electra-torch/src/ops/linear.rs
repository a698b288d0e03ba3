//! Products of dense layers in bfloat16.

use crate::autograd::{attach, records};
use tch::{Kind, Tensor};

/// `x W^T` with both factors rounded to bfloat16, sums in 32 bits and the result rounded to bfloat16, forward and
/// backward; what goes in and comes out are 32-bit floats. What is kept for the backward pass takes half the memory.
///
/// Works on every device; it is fast where the processor multiplies bfloat16 (AVX-512-BF16, AMX, GPUs).
///
/// # Shapes
/// - `x`: `[.., k]`, `weight`: `[n, k]`. Result: `[.., n]`.
///
/// Source: Micikevicius et al. 2018, section 3.1, with bfloat16, which needs no scaling of the loss.
pub fn product_bf16(x: &Tensor, weight: &Tensor) -> Tensor {
    let inputs = [x, weight];
    let [x_half, weight_half] = inputs.map(|tensor| tensor.detach().to_kind(Kind::BFloat16));
    let y = x_half.linear(&weight_half, None::<&Tensor>).to_kind(Kind::Float);
    if records(&inputs) {
        let needs_dx = x.requires_grad();
        attach(&y, &inputs, move |dy| {
            let dy_half = rows(&dy.to_kind(Kind::BFloat16));
            let dx = needs_dx.then(|| {
                let dx = dy_half.matmul(&weight_half).to_kind(Kind::Float);
                dx.reshape(x_half.size().as_slice())
            });
            let dweight = dy_half.tr().matmul(&rows(&x_half)).to_kind(Kind::Float);
            vec![dx, Some(dweight)]
        });
    }
    y
}

/// [`product_bf16`] and a bias `[n]`, which is added in 32 bits.
pub fn linear_bf16(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    product_bf16(x, weight) + bias
}

/// As a matrix of the last dimension.
fn rows(x: &Tensor) -> Tensor {
    let width = *x.size().last().expect("a tensor with rows");
    x.reshape([-1, width])
}
