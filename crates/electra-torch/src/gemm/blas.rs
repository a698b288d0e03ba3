//! `f32` products with the BLAS that is part of libtorch.

use super::matrix::{Product, Transpose};
use std::ffi::{c_char, c_int};

#[allow(unsafe_code)]
pub(super) fn multiply(Product { sizes: [m, k, n], alpha, a, b, beta, c, stride }: Product<'_>) {
    unsafe extern "C" {
        fn sgemm_(
            trans_a: *const c_char,
            trans_b: *const c_char,
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
    let letter =
        |transpose| if transpose == Transpose::Yes { c"T".as_ptr() } else { c"N".as_ptr() };
    let size = |x: usize| c_int::try_from(x).expect("matrices have fewer than 2^31 rows");
    // BLAS is column-major: swap the factors to get a row-major product.
    let (rows, columns, inner) = (size(n), size(m), size(k));
    let (first, second, third) = (size(b.stride), size(a.stride), size(stride));
    // SAFETY: `gemm` has checked that all three matrices are inside their slices; the strings are NUL-terminated.
    unsafe {
        sgemm_(
            letter(b.transpose),
            letter(a.transpose),
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
