//! `f32` products on platforms where the symbol of libtorch's BLAS is unknown.

use super::matrix::{Matrix, Product, Transpose};

pub(super) fn multiply(Product { sizes: [m, k, n], alpha, a, b, beta, c, stride }: Product<'_>) {
    let at = |x: &Matrix<'_>, i: usize, j: usize| match x.transpose {
        Transpose::No => x.elements[i * x.stride + j],
        Transpose::Yes => x.elements[j * x.stride + i],
    };
    for i in 0..m {
        for j in 0..n {
            let sum: f32 = (0..k).map(|l| at(&a, i, l) * at(&b, l, j)).sum();
            let c = &mut c[i * stride + j];
            *c = alpha * sum + if beta == 0.0 { 0.0 } else { beta * *c };
        }
    }
}
