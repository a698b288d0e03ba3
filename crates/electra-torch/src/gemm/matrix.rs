//! The arguments of matrix products.

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
    pub(super) fn span(&self, rows: usize, columns: usize) -> usize {
        let (rows, columns) = match self.transpose {
            Transpose::No => (rows, columns),
            Transpose::Yes => (columns, rows),
        };
        assert!(columns <= self.stride, "rows must not overlap");
        if rows == 0 { 0 } else { (rows - 1) * self.stride + columns }
    }
}

/// A product: `c = alpha a b + beta c` with `a` [m, k], `b` [k, n], and `c` [m, n] of row stride `stride`.
#[derive(Debug)]
pub(super) struct Product<'a> {
    pub(super) sizes: [usize; 3],
    pub(super) alpha: f32,
    pub(super) a: Matrix<'a>,
    pub(super) b: Matrix<'a>,
    pub(super) beta: f32,
    pub(super) c: &'a mut [f32],
    pub(super) stride: usize,
}
