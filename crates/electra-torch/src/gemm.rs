//! Small matrix products inside a thread's piece of work.

#[cfg(all(target_os = "linux", target_arch = "x86_64", not(feature = "doc-only")))]
mod blas;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64", not(feature = "doc-only"))))]
#[path = "gemm/loops.rs"]
mod blas;
mod half;

/// What the factors of a product are; its sums are 32-bit floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Factors {
    /// 32-bit floats as they are: by the BLAS that libtorch carries.
    Float,
    /// Rounded to bfloat16.
    Half,
}

/// Whether a factor is taken as it stands or turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// As it stands.
    No,
    /// Transposed.
    Yes,
}

/// A row-major matrix in a slice: element (i, j) is at `i * stride + j`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    pub(crate) elements: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) turn: Turn,
}

impl<'a> Matrix<'a> {
    pub(crate) fn new(elements: &'a [f32], stride: usize) -> Self {
        Self { elements, stride, turn: Turn::No }
    }

    pub(crate) fn turned(self) -> Self {
        Self { turn: Turn::Yes, ..self }
    }

    /// What is left of it from `row` (as it stands) on.
    pub(crate) fn rows_from(self, row: usize) -> Self {
        Self { elements: &self.elements[row * self.stride..], ..self }
    }

    /// Floats that `rows` by `columns` of it (after turning) span.
    fn span(&self, rows: usize, columns: usize) -> usize {
        let (rows, columns) = match self.turn {
            Turn::No => (rows, columns),
            Turn::Yes => (columns, rows),
        };
        assert!(columns <= self.stride, "rows do not overlap");
        if rows == 0 { 0 } else { (rows - 1) * self.stride + columns }
    }
}

/// A product: `c = alpha a b + beta c` with `a` [m, k], `b` [k, n] and `c` [m, n] of row stride `stride`.
struct Product<'a> {
    sizes: [usize; 3],
    alpha: f32,
    a: Matrix<'a>,
    b: Matrix<'a>,
    beta: f32,
    c: &'a mut [f32],
    stride: usize,
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
        Factors::Float => blas::multiply(product),
        Factors::Half => half::multiply(product),
    }
}
