//! Small matrix products inside a thread's piece of work.

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

/// What the factors of a product are; its sums are 32-bit floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Factors {
    /// 32-bit floats as they are: by the BLAS that libtorch carries.
    Float,
    /// Rounded to bfloat16.
    Half,
}

/// `c = alpha a b + beta c` with `a` [m, k], `b` [k, n] and `c` [m, n] of row stride `stride`.
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
        "matrices are inside their slices"
    );
    let product = Product { sizes, alpha, a, b, beta, c, stride };
    match factors {
        Factors::Float => floats::multiply(product),
        Factors::Half => half::multiply(product),
    }
}
