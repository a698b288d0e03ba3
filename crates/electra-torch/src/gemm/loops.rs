//! Products of 32-bit floats where libtorch's BLAS is not known by its name.

use super::matrix::{Matrix, Product, Turn};

pub(super) fn multiply(Product { sizes: [m, k, n], alpha, a, b, beta, c, stride }: Product<'_>) {
    let at = |x: &Matrix<'_>, i: usize, j: usize| match x.turn {
        Turn::No => x.elements[i * x.stride + j],
        Turn::Yes => x.elements[j * x.stride + i],
    };
    for i in 0..m {
        for j in 0..n {
            let sum: f32 = (0..k).map(|l| at(&a, i, l) * at(&b, l, j)).sum();
            let place = &mut c[i * stride + j];
            *place = alpha * sum + if beta == 0.0 { 0.0 } else { beta * *place };
        }
    }
}
