//! Small matrix products inside a thread's piece of work, by the BLAS that libtorch carries.

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

/// `c = alpha a b + beta c` with `a` [m, k], `b` [k, n] and `c` [m, n] of row stride `stride`.
pub(crate) fn gemm(
    [m, k, n]: [usize; 3],
    alpha: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    beta: f32,
    c: &mut [f32],
    stride: usize,
) {
    let c_span = Matrix::new(c, stride).span(m, n);
    assert!(
        a.elements.len() >= a.span(m, k) && b.elements.len() >= b.span(k, n) && c.len() >= c_span,
        "matrices are inside their slices"
    );
    product([m, k, n], alpha, a, b, beta, c, stride);
}

#[cfg(all(target_os = "linux", target_arch = "x86_64", not(feature = "doc-only")))]
#[allow(unsafe_code)]
fn product(
    [m, k, n]: [usize; 3],
    alpha: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    beta: f32,
    c: &mut [f32],
    stride: usize,
) {
    use std::ffi::{c_char, c_int};
    unsafe extern "C" {
        fn sgemm_(
            transa: *const c_char,
            transb: *const c_char,
            m: *const c_int,
            n: *const c_int,
            k: *const c_int,
            alpha: *const f32,
            a: *const f32,
            lda: *const c_int,
            b: *const f32,
            ldb: *const c_int,
            beta: *const f32,
            c: *mut f32,
            ldc: *const c_int,
        );
    }
    let letter = |turn| if turn == Turn::Yes { c"T".as_ptr() } else { c"N".as_ptr() };
    let size = |x: usize| c_int::try_from(x).expect("matrices have fewer than 2^31 rows");
    // BLAS counts columns first: a row-major product is the product of the factors in the other order.
    let (rows, columns, inner) = (size(n), size(m), size(k));
    let (first, second, third) = (size(b.stride), size(a.stride), size(stride));
    // SAFETY: `gemm` has checked that all three matrices are inside their slices; the strings end with a zero.
    unsafe {
        sgemm_(
            letter(b.turn),
            letter(a.turn),
            &rows,
            &columns,
            &inner,
            &alpha,
            b.elements.as_ptr(),
            &first,
            a.elements.as_ptr(),
            &second,
            &beta,
            c.as_mut_ptr(),
            &third,
        );
    }
}

/// Where libtorch's BLAS is not known by that name.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64", not(feature = "doc-only"))))]
fn product(
    [m, k, n]: [usize; 3],
    alpha: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    beta: f32,
    c: &mut [f32],
    stride: usize,
) {
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
