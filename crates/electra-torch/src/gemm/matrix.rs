//! What a product is made of.

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
    pub(super) fn span(&self, rows: usize, columns: usize) -> usize {
        let (rows, columns) = match self.turn {
            Turn::No => (rows, columns),
            Turn::Yes => (columns, rows),
        };
        assert!(columns <= self.stride, "rows do not overlap");
        if rows == 0 { 0 } else { (rows - 1) * self.stride + columns }
    }
}

/// A product: `c = alpha a b + beta c` with `a` [m, k], `b` [k, n] and `c` [m, n] of row stride `stride`.
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
