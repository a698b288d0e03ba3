//! Products of 32-bit floats by the BLAS that libtorch carries.

use super::matrix::{Product, Turn};
use std::ffi::{c_char, c_int};

#[allow(unsafe_code)]
pub(super) fn multiply(Product { sizes: [m, k, n], alpha, a, b, beta, c, stride }: Product<'_>) {
    unsafe extern "C" {
        fn sgemm_(
            turn_a: *const c_char,
            turn_b: *const c_char,
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
