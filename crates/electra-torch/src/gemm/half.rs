//! Products of factors rounded to bfloat16.
//!
//! Factors are packed into 32-bit words of two elements that are adjacent along the inner dimension, the first in the
//! low half: the operands of AVX-512-BF16's dot product. Without AVX-512-BF16 the words are unpacked again.

use super::matrix::{Matrix, Product, Transpose};
use crate::{
    half::{first, pair, second},
    simd::{Instructions, instructions, kernel},
};
use std::cell::RefCell;

/// Columns per panel of the right factor: four AVX-512 vectors.
const PANEL: usize = 64;
/// Rows per tile: 24 vectors of sums, which leaves registers for the factors.
const ROWS: usize = 6;

/// The left factor: word (i, p), elements (i, 2p) and (i, 2p + 1), is at `i * row + p * pair`.
struct Left<'a> {
    words: &'a [u32],
    row: usize,
    pair: usize,
}

thread_local! {
    /// Buffers for the packed factors, reused by this thread's next product.
    static PACKED: RefCell<[Vec<u32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

pub(super) fn multiply(Product { sizes: [m, k, n], alpha, a, b, beta, c, stride }: Product<'_>) {
    let pairs = k.div_ceil(2);
    if pairs == 0 {
        // Empty sums: c = beta c. With beta 0, c is not read, as it may be uninitialized.
        for row in c.chunks_mut(stride.max(1)).take(m) {
            let scaled = |x: &mut f32| *x = if beta == 0.0 { 0.0 } else { beta * *x };
            row[..n].iter_mut().for_each(scaled);
        }
        return;
    }
    PACKED.with_borrow_mut(|[left, right]| {
        let left = pack_left(left, a, m, k);
        pack_right(right, b, k, n);
        for (panel, right) in right.chunks_exact((pairs * PANEL).max(1)).enumerate() {
            let columns = PANEL.min(n - panel * PANEL);
            for from in (0..m).step_by(ROWS) {
                let rows = ROWS.min(m - from);
                let left = Left { words: &left.words[from * left.row..], ..left };
                let c = &mut c[from * stride + panel * PANEL..];
                tile(pairs, &left, right, [alpha, beta], c, stride, [rows, columns]);
            }
        }
    });
}

fn pack_left<'a>(words: &'a mut Vec<u32>, a: Matrix<'_>, m: usize, k: usize) -> Left<'a> {
    let pairs = k.div_ceil(2);
    words.resize(m * pairs, 0);
    match a.transpose {
        Transpose::No => {
            for (i, out) in words.chunks_exact_mut(pairs.max(1)).enumerate() {
                along(&a.elements[i * a.stride..i * a.stride + k], out);
            }
            Left { words, row: pairs, pair: 1 }
        }
        Transpose::Yes => {
            for (p, out) in words.chunks_exact_mut(m.max(1)).enumerate() {
                across(a, p, k, 0..m, out);
            }
            Left { words, row: 1, pair: m }
        }
    }
}

/// Packs panels of columns one after the other, each `[pairs, PANEL]`. Columns from `n` on are left undefined.
fn pack_right(words: &mut Vec<u32>, b: Matrix<'_>, k: usize, n: usize) {
    /// Rows transposed together: a cache line of words.
    const LINE: usize = 16;
    let pairs = k.div_ceil(2);
    words.resize(n.div_ceil(PANEL) * pairs * PANEL, 0);
    let mut rows = match b.transpose {
        Transpose::No => Vec::new(),
        Transpose::Yes => vec![0; LINE * pairs],
    };
    for (panel, words) in words.chunks_exact_mut((pairs * PANEL).max(1)).enumerate() {
        let columns = panel * PANEL..n.min((panel + 1) * PANEL);
        match b.transpose {
            Transpose::No => {
                for (p, out) in words.chunks_exact_mut(PANEL).enumerate() {
                    across(b, p, k, columns.clone(), out);
                }
            }
            Transpose::Yes => {
                for from in columns.clone().step_by(LINE) {
                    let count = LINE.min(columns.end - from);
                    for (i, out) in rows.chunks_exact_mut(pairs.max(1)).take(count).enumerate() {
                        along(&b.elements[(from + i) * b.stride..(from + i) * b.stride + k], out);
                    }
                    let at = from - columns.start;
                    for (p, out) in words.chunks_exact_mut(PANEL).enumerate() {
                        for (i, word) in out[at..at + count].iter_mut().enumerate() {
                            *word = rows[i * pairs + p];
                        }
                    }
                }
            }
        }
    }
}

/// Packs rows `2 p` and `2 p + 1` of `x`, whose rows are the inner dimension, over `columns`.
fn across(x: Matrix<'_>, p: usize, k: usize, columns: std::ops::Range<usize>, out: &mut [u32]) {
    let row = |l: usize| &x.elements[l * x.stride + columns.start..l * x.stride + columns.end];
    match 2 * p + 1 < k {
        true => interleave(row(2 * p), row(2 * p + 1), out),
        false => lone(row(2 * p), out),
    }
}

kernel! {
    /// Packs two rows, element by element.
    fn interleave(upper: &[f32], lower: &[f32], out: &mut [u32]) {
        let n = upper.len();
        let (lower, out) = (&lower[..n], &mut out[..n]);
        for i in 0..n {
            out[i] = pair(upper[i], lower[i]);
        }
    }
}

kernel! {
    /// Packs a row with zeros.
    fn lone(upper: &[f32], out: &mut [u32]) {
        let n = upper.len();
        let out = &mut out[..n];
        for i in 0..n {
            out[i] = pair(upper[i], 0.0);
        }
    }
}

kernel! {
    /// Packs a row whose elements are adjacent along the inner dimension.
    fn along(x: &[f32], out: &mut [u32]) {
        let whole = x.len() / 2;
        let (even, rest) = x.split_at(2 * whole);
        let out = &mut out[..x.len().div_ceil(2)];
        for i in 0..whole {
            out[i] = pair(even[2 * i], even[2 * i + 1]);
        }
        if let Some(&last) = rest.first() {
            out[whole] = pair(last, 0.0);
        }
    }
}

/// Computes `c = alpha left right + beta c` for at most [`ROWS`] rows and one panel.
fn tile(
    pairs: usize,
    left: &Left<'_>,
    right: &[u32],
    factors: [f32; 2],
    c: &mut [f32],
    stride: usize,
    [rows, columns]: [usize; 2],
) {
    assert!((1..=ROWS).contains(&rows) && (1..=PANEL).contains(&columns) && pairs > 0);
    assert!(left.words.len() > (rows - 1) * left.row + (pairs - 1) * left.pair);
    assert!(right.len() >= pairs * PANEL && c.len() >= (rows - 1) * stride + columns);
    #[cfg(target_arch = "x86_64")]
    if instructions() == Instructions::Avx512 && is_x86_feature_detected!("avx512bf16") {
        // SAFETY: the CPU has the instructions, and all three matrices are inside their slices, as asserted.
        #[allow(unsafe_code)]
        return unsafe { x86::tile(pairs, left, right, factors, c, stride, [rows, columns]) };
    }
    for i in 0..rows {
        let mut sums = [0.0; PANEL];
        for p in 0..pairs {
            add(left.words[i * left.row + p * left.pair], &right[p * PANEL..], &mut sums);
        }
        let [alpha, beta] = factors;
        for (c, sum) in c[i * stride..].iter_mut().zip(&sums[..columns]) {
            *c = alpha * sum + if beta == 0.0 { 0.0 } else { beta * *c };
        }
    }
}

kernel! {
    /// Adds the products of a word's two elements with those of a panel.
    fn add(left: u32, right: &[u32], sums: &mut [f32; PANEL]) {
        let (right, a, b) = (&right[..PANEL], first(left), second(left));
        for i in 0..PANEL {
            sums[i] += a * first(right[i]) + b * second(right[i]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Left, PANEL, ROWS};
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_loadu_si512,
        _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_set1_epi32,
        _mm512_set1_ps, _mm512_setzero_ps,
    };

    /// Floats per vector.
    const LANES: usize = 16;

    /// [`super::tile`] with AVX-512-BF16.
    ///
    /// # Safety
    /// The CPU must have AVX-512-BF16, and all three matrices must be inside their slices.
    #[allow(unsafe_code)]
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) unsafe fn tile(
        pairs: usize,
        left: &Left<'_>,
        right: &[u32],
        factors: [f32; 2],
        c: &mut [f32],
        stride: usize,
        [rows, columns]: [usize; 2],
    ) {
        macro_rules! sizes {
            ($($rows:literal)*) => {
                match (rows, columns.div_ceil(LANES)) {
                    $(
                        ($rows, 1) => vectors::<$rows, 1>,
                        ($rows, 2) => vectors::<$rows, 2>,
                        ($rows, 3) => vectors::<$rows, 3>,
                        ($rows, _) => vectors::<$rows, 4>,
                    )*
                    _ => unreachable!("a tile has at most {ROWS} rows"),
                }
            };
        }
        let sized = sizes!(1 2 3 4 5 6);
        // SAFETY: as the caller promises.
        unsafe { sized(pairs, left, right, factors, c, stride, columns) }
    }

    /// `R` rows of `V` vectors; the last vector is masked at `columns`.
    #[allow(unsafe_code)]
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn vectors<const R: usize, const V: usize>(
        pairs: usize,
        left: &Left<'_>,
        right: &[u32],
        [alpha, beta]: [f32; 2],
        c: &mut [f32],
        stride: usize,
        columns: usize,
    ) {
        // SAFETY: both are plain 512-bit vectors.
        let halves = |x: __m512i| unsafe { std::mem::transmute::<__m512i, __m512bh>(x) };
        let (words, panel) = (left.words.as_ptr(), right.as_ptr());
        let mut sums = [[_mm512_setzero_ps(); V]; R];
        for p in 0..pairs {
            let mut b = [_mm512_set1_epi32(0); V];
            for (v, b) in b.iter_mut().enumerate() {
                // SAFETY: `right` has `pairs` rows of `PANEL` words.
                *b = unsafe { _mm512_loadu_si512(panel.add(p * PANEL + v * LANES).cast()) };
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                // SAFETY: `left` has `R` rows of `pairs` words.
                let a = unsafe { *words.add(i * left.row + p * left.pair) };
                let a = halves(_mm512_set1_epi32(a.cast_signed()));
                for (sum, &b) in sums.iter_mut().zip(&b) {
                    *sum = _mm512_dpbf16_ps(*sum, a, halves(b));
                }
            }
        }
        let (alpha, beta_v) = (_mm512_set1_ps(alpha), _mm512_set1_ps(beta));
        for (i, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let lanes = (columns - v * LANES).min(LANES);
                let mask = (u32::MAX >> (32 - lanes)) as u16;
                // SAFETY: `c` has `R` rows of `columns` floats, and the lanes beyond are masked.
                unsafe {
                    let c = c.as_mut_ptr().add(i * stride + v * LANES);
                    let mut value = _mm512_mul_ps(alpha, sum);
                    if beta != 0.0 {
                        value = _mm512_fmadd_ps(beta_v, _mm512_maskz_loadu_ps(mask, c), value);
                    }
                    _mm512_mask_storeu_ps(c, mask, value);
                }
            }
        }
    }
}
