//! Small matrix products on one thread.

#[cfg(all(target_os = "linux", target_arch = "x86_64", not(feature = "doc-only")))]
mod blas;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64", not(feature = "doc-only"))))]
#[path = "gemm/loops.rs"]
mod blas;
mod half;

/// Precision of the factors of a product. Sums are always `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Factors {
    /// `f32`, with the BLAS that is part of libtorch.
    Float,
    /// Rounded to bfloat16.
    Half,
}

/// Whether a factor is transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transpose {
    /// Not transposed.
    No,
    /// Transposed.
    Yes,
}

/// A row-major matrix in a slice: element (i, j) is at `i * stride + j`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    pub(crate) elements: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) transpose: Transpose,
}

impl<'a> Matrix<'a> {
    pub(crate) fn new(elements: &'a [f32], stride: usize) -> Self {
        Self { elements, stride, transpose: Transpose::No }
    }

    pub(crate) fn transposed(self) -> Self {
        Self { transpose: Transpose::Yes, ..self }
    }

    /// The matrix without its first `row` rows (of the stored matrix, before transposition).
    pub(crate) fn rows_from(self, row: usize) -> Self {
        Self { elements: &self.elements[row * self.stride..], ..self }
    }

    /// Number of floats that `rows` by `columns` of the matrix (after transposition) span.
    fn span(&self, rows: usize, columns: usize) -> usize {
        let (rows, columns) = match self.transpose {
            Transpose::No => (rows, columns),
            Transpose::Yes => (columns, rows),
        };
        assert!(columns <= self.stride, "rows must not overlap");
        if rows == 0 { 0 } else { (rows - 1) * self.stride + columns }
    }
}

/// The arguments of [`gemm`].
struct Product<'a> {
    sizes: [usize; 3],
    alpha: f32,
    a: Matrix<'a>,
    b: Matrix<'a>,
    beta: f32,
    c: &'a mut [f32],
    stride: usize,
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
        Factors::Float => blas::multiply(product),
        Factors::Half => half::multiply(product),
    }
}
