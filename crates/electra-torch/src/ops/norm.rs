//! LayerNorm, fused with the residual connection and the dropout before it.

use super::pieces::{ColumnSums, for_pieces, pieces, rows_of};
use crate::{
    autograd::{attach, requires_grad},
    dropout::Dropout,
    floats::{contiguous, empty, floats, floats_mut},
    parallel::Shared,
    simd::{kernel, sum},
};
use tch::Tensor;

/// `LayerNorm(residual + dropout(x))`: the end of each sublayer of a post-norm block.
///
/// # Shapes
/// - `x`, `residual`: `[.., h]`; `weight`, `bias`: `[h]`. Result: as `x`.
///
/// Source: Vaswani et al. 2017, section 3.1, and Ba et al. 2016, equation 4.
#[allow(clippy::too_many_arguments)]
pub fn add_norm(
    x: &Tensor,
    residual: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    p: f64,
    train: bool,
) -> Tensor {
    assert_eq!(x.size(), residual.size(), "the residual must have the shape of x");
    let (rows, width) = rows_of(x);
    let inputs = [x, residual, weight, bias];
    let drop = Dropout::draw(p, train);
    let recorded = requires_grad(&inputs);
    let [x_c, residual_c, weight_c, bias_c] = inputs.map(contiguous);
    for parameter in [&weight_c, &bias_c] {
        assert_eq!(parameter.numel(), width, "weight and bias must have the width of a row");
    }
    let mut y = empty(&x.size());
    let mut sums =
        empty(&if recorded { x.size() } else { vec![width as i64 * pieces(rows) as i64] });
    let mut statistics = vec![0.0; 2 * rows];
    {
        let (x, residual) = (floats(&x_c), floats(&residual_c));
        let parameters = [floats(&weight_c), floats(&bias_c)];
        let (y, z, statistics) = (
            Shared::new(floats_mut(&mut y)),
            Shared::new(floats_mut(&mut sums)),
            Shared::new(&mut statistics),
        );
        for_pieces(rows, |piece, part| {
            for row in part {
                let at = row * width..(row + 1) * width;
                let z_at = if recorded { at.clone() } else { piece * width..(piece + 1) * width };
                // SAFETY: each row, and each piece's buffer, belongs to one thread.
                #[allow(unsafe_code)]
                let (y, z, statistics) = unsafe {
                    (y.part(at.clone()), z.part(z_at), statistics.part(2 * row..2 * row + 2))
                };
                forward(
                    &x[at.clone()],
                    &residual[at.clone()],
                    parameters,
                    eps as f32,
                    &drop,
                    at.start as u32,
                    z,
                    y,
                    statistics,
                );
            }
        });
    }
    if recorded {
        attach(&y, &inputs, move |dy| {
            let dy = contiguous(dy);
            let mut dz = empty(&dy.size());
            let mut dx = if drop.is_identity() { None } else { Some(empty(&dy.size())) };
            let (mut dweight, mut dbias) =
                (ColumnSums::new(rows, width), ColumnSums::new(rows, width));
            {
                let (dy, z, weight) = (floats(&dy), floats(&sums), floats(&weight_c));
                let dz = Shared::new(floats_mut(&mut dz));
                let dx = dx.as_mut().map(|dx| Shared::new(floats_mut(dx)));
                let columns = [&mut dweight, &mut dbias].map(|c| Shared::new(&mut c.sums));
                for_pieces(rows, |piece, part| {
                    for row in part {
                        let at = row * width..(row + 1) * width;
                        let own = piece * width..(piece + 1) * width;
                        // SAFETY: each row, and each piece's sums, belong to one thread.
                        #[allow(unsafe_code)]
                        let (dz, dx, [dweight, dbias]) = unsafe {
                            (
                                dz.part(at.clone()),
                                dx.map(|dx| dx.part(at.clone())),
                                columns.map(|c| c.part(own.clone())),
                            )
                        };
                        let statistics = [statistics[2 * row], statistics[2 * row + 1]];
                        backward(
                            &dy[at.clone()],
                            &z[at.clone()],
                            weight,
                            statistics,
                            dz,
                            dweight,
                            dbias,
                        );
                        if let Some(dx) = dx {
                            dropout_backward(dz, &drop, at.start as u32, dx);
                        }
                    }
                });
            }
            let dx = dx.unwrap_or_else(|| dz.shallow_clone());
            vec![Some(dx), Some(dz), Some(dweight.total()), Some(dbias.total())]
        });
    }
    y
}

kernel! {
    /// One row: `z` is the input of the normalization, `statistics` its mean and inverse standard deviation.
    fn forward(
        x: &[f32],
        residual: &[f32],
        parameters: [&[f32]; 2],
        eps: f32,
        drop: &Dropout,
        start: u32,
        z: &mut [f32],
        y: &mut [f32],
        statistics: &mut [f32],
    ) {
        let n = z.len();
        let [weight, bias] = parameters.map(|p| &p[..n]);
        let (x, residual, y) = (&x[..n], &residual[..n], &mut y[..n]);
        if drop.is_identity() {
            for i in 0..n {
                z[i] = residual[i] + x[i];
            }
        } else {
            for i in 0..n {
                z[i] = residual[i] + x[i] * drop.factor(start.wrapping_add(i as u32));
            }
        }
        let z = &z[..n];
        let mean = sum(n, |i| z[i]) / n as f32;
        let variance = sum(n, |i| (z[i] - mean) * (z[i] - mean)) / n as f32;
        let inverse = 1.0 / (variance + eps).sqrt();
        for i in 0..n {
            y[i] = (z[i] - mean) * inverse * weight[i] + bias[i];
        }
        statistics.copy_from_slice(&[mean, inverse]);
    }
}

kernel! {
    /// One row: the gradient of `z`. Accumulates the gradients of weight and bias.
    fn backward(
        dy: &[f32],
        z: &[f32],
        weight: &[f32],
        statistics: [f32; 2],
        dz: &mut [f32],
        dweight: &mut [f32],
        dbias: &mut [f32],
    ) {
        let n = dz.len();
        let (dy, z, weight) = (&dy[..n], &z[..n], &weight[..n]);
        let (dweight, dbias) = (&mut dweight[..n], &mut dbias[..n]);
        let [mean, inverse] = statistics;
        let along = sum(n, |i| dy[i] * weight[i]) / n as f32;
        let across = sum(n, |i| dy[i] * weight[i] * ((z[i] - mean) * inverse)) / n as f32;
        for i in 0..n {
            let unit = (z[i] - mean) * inverse;
            dz[i] = inverse * (dy[i] * weight[i] - along - unit * across);
            dweight[i] += dy[i] * unit;
            dbias[i] += dy[i];
        }
    }
}

kernel! {
    /// The backward pass of dropout.
    fn dropout_backward(dz: &[f32], drop: &Dropout, start: u32, dx: &mut [f32]) {
        let n = dx.len();
        let dz = &dz[..n];
        for i in 0..n {
            dx[i] = dz[i] * drop.factor(start.wrapping_add(i as u32));
        }
    }
}
