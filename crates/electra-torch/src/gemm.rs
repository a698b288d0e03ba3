//! Small matrix products on one thread.

#[cfg(all(target_os = "linux", target_arch = "x86_64", not(feature = "doc-only")))]
mod blas;
mod half;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64", not(feature = "doc-only"))))]
mod loops;
mod matrix;

pub(crate) use matrix::Matrix;

#[cfg(all(target_os = "linux", target_arch = "x86_64", not(feature = "doc-only")))]
use blas as floats;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64", not(feature = "doc-only"))))]
use loops as floats;
use matrix::Product;

/// Precision of the factors of a product. Sums are always `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Factors {
    /// `f32`, with the BLAS that is part of libtorch.
    Float,
    /// Rounded to bfloat16.
    Half,
}

/// Computes `c = alpha a b + beta c` with `a` [m, k], `b` [k, n], and `c` [m, n] of row stride `stride`.
#[allow(clippy::too_many_arguments)]
pub(crate) fn gemm(
    factors: Factors,
    sizes: [usize; 3],
    alpha: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    beta: f32,
    c: &mut [f32],
    stride: usize,
) {
    let [m, k, n] = sizes;
    let c_span = Matrix::new(c, stride).span(m, n);
    assert!(
        a.elements.len() >= a.span(m, k) && b.elements.len() >= b.span(k, n) && c.len() >= c_span,
        "a matrix exceeds its slice"
    );
    let product = Product { sizes, alpha, a, b, beta, c, stride };
    match factors {
        Factors::Float => floats::multiply(product),
        Factors::Half => half::multiply(product),
    }
}
