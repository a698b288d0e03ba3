//! GELU fused with the bias before it, and dropout.

use super::pieces::{ColumnSums, for_pieces, rows_of};
use crate::{
    autograd::{attach, requires_grad},
    dropout::Dropout,
    floats::{contiguous, empty, floats, floats_mut},
    half::{Elements, SharedElements, dense, empty_like},
    parallel::Shared,
    simd::{erf, exp, kernel},
};
use std::f32::consts::FRAC_1_SQRT_2;
use tch::Tensor;

/// `gelu(x + bias)` with the exact (erf) GELU.
///
/// # Shapes
/// - `x`: `[.., f]`, `f32` or bfloat16; `bias`: `[f]`. Result: as `x`.
///
/// Source: Hendrycks and Gimpel 2016.
pub fn bias_gelu(x: &Tensor, bias: &Tensor) -> Tensor {
    let (rows, width) = rows_of(x);
    let inputs = [x, bias];
    let (x_c, bias_c) = (dense(x), contiguous(bias));
    assert_eq!(bias_c.numel(), width, "the bias must have the width of a row");
    let mut y = empty_like(x, &x.size());
    {
        let (x, bias, y) = (Elements::of(&x_c), floats(&bias_c), SharedElements::of(&mut y));
        for_pieces(rows, |_, part| {
            let (mut x_row, mut y_row) = (Vec::new(), Vec::new());
            for row in part {
                let at = row * width..(row + 1) * width;
                let x = x.read(at.clone(), &mut x_row);
                // SAFETY: each row belongs to one thread.
                #[allow(unsafe_code)]
                unsafe {
                    y.write(at, &mut y_row, |y| gelu(x, bias, y));
                }
            }
        });
    }
    if requires_grad(&inputs) {
        attach(&y, &inputs, move |dy| {
            let dy = dense(dy);
            let mut dx = empty_like(&x_c, &dy.size());
            let mut dbias = ColumnSums::new(rows, width);
            {
                let (dy, x, bias) = (Elements::of(&dy), Elements::of(&x_c), floats(&bias_c));
                let (dx, sums) = (SharedElements::of(&mut dx), Shared::new(&mut dbias.sums));
                for_pieces(rows, |piece, part| {
                    let [mut dy_row, mut x_row, mut dx_row] = [const { Vec::new() }; 3];
                    // SAFETY: the sums of a piece belong to one thread.
                    #[allow(unsafe_code)]
                    let dbias = unsafe { sums.part(piece * width..(piece + 1) * width) };
                    for row in part {
                        let at = row * width..(row + 1) * width;
                        let dy = dy.read(at.clone(), &mut dy_row);
                        let x = x.read(at.clone(), &mut x_row);
                        // SAFETY: each row belongs to one thread.
                        #[allow(unsafe_code)]
                        unsafe {
                            dx.write(at, &mut dx_row, |dx| gelu_backward(dy, x, bias, dx, dbias));
                        }
                    }
                });
            }
            vec![Some(dx), Some(dbias.total())]
        });
    }
    y
}

kernel! {
    /// One row.
    fn gelu(x: &[f32], bias: &[f32], y: &mut [f32]) {
        let n = y.len();
        let (x, bias) = (&x[..n], &bias[..n]);
        for i in 0..n {
            let x = x[i] + bias[i];
            y[i] = 0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2));
        }
    }
}

kernel! {
    /// One row: the derivative is Phi(x) + x phi(x). Accumulates the gradient of the bias.
    fn gelu_backward(dy: &[f32], x: &[f32], bias: &[f32], dx: &mut [f32], dbias: &mut [f32]) {
        // 1 / sqrt(2 pi)
        const DENSITY: f32 = 0.398_942_3;
        let n = dx.len();
        let (dy, x, bias, dbias) = (&dy[..n], &x[..n], &bias[..n], &mut dbias[..n]);
        for i in 0..n {
            let x = x[i] + bias[i];
            let cdf = 0.5 * (1.0 + erf(x * FRAC_1_SQRT_2));
            let derivative = cdf + x * DENSITY * exp(-0.5 * x * x);
            dx[i] = dy[i] * derivative;
            dbias[i] += dx[i];
        }
    }
}

/// Dropout: sets each element to 0 with probability `p`, and scales the others by `1 / (1 - p)`. No mask is stored.
///
/// # Shapes
/// - `x`: any. Result: the same.
pub fn dropout(x: &Tensor, p: f64, train: bool) -> Tensor {
    let drop = Dropout::draw(p, train);
    if drop.is_identity() {
        return x.shallow_clone();
    }
    let y = masked(x, drop);
    if requires_grad(&[x]) {
        attach(&y, &[x], move |dy| vec![Some(masked(dy, drop))]);
    }
    y
}

fn masked(x: &Tensor, drop: Dropout) -> Tensor {
    /// Elements per block; a thread gets whole blocks.
    const BLOCK: usize = 4096;
    let x = contiguous(x);
    let mut y = empty(&x.size());
    {
        let (x, y) = (floats(&x), Shared::new(floats_mut(&mut y)));
        let blocks = x.len().div_ceil(BLOCK);
        for_pieces(blocks, |_, part| {
            let at = part.start * BLOCK..(part.end * BLOCK).min(x.len());
            // SAFETY: each piece belongs to one thread.
            #[allow(unsafe_code)]
            let y = unsafe { y.part(at.clone()) };
            multiply(&x[at.clone()], &drop, at.start as u32, y);
        });
    }
    y
}

kernel! {
    /// Elements from index `start` on.
    fn multiply(x: &[f32], drop: &Dropout, start: u32, y: &mut [f32]) {
        let n = y.len();
        let x = &x[..n];
        for i in 0..n {
            y[i] = x[i] * drop.factor(start.wrapping_add(i as u32));
        }
    }
}
