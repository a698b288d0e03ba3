//! bfloat16 (the upper half of an `f32`), and 32-bit words of two of them.

use crate::{
    floats::{contiguous, elements, elements_mut},
    parallel::Shared,
    simd::kernel,
};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// Rounds to the nearest bfloat16, ties to even; the result is in the upper half of the word. NaN stays NaN.
#[inline(always)]
fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
    (if x.is_nan() { bits | 0x0040_0000 } else { nearest }) & 0xffff_0000
}

/// Rounds two values and packs them into a word, the first in the low half.
#[inline(always)]
pub(crate) fn pair(first: f32, second: f32) -> u32 {
    rounded(first) >> 16 | rounded(second)
}

/// The element in the low half of a word.
#[inline(always)]
pub(crate) fn first(word: u32) -> f32 {
    f32::from_bits(word << 16)
}

/// The element in the high half of a word.
#[inline(always)]
pub(crate) fn second(word: u32) -> f32 {
    f32::from_bits(word & 0xffff_0000)
}

kernel! {
    /// Rounds floats to bfloat16.
    fn narrow(x: &[f32], y: &mut [u16]) {
        let n = y.len();
        let x = &x[..n];
        for i in 0..n {
            y[i] = (rounded(x[i]) >> 16) as u16;
        }
    }
}

kernel! {
    /// Converts bfloat16 to floats.
    fn widen(x: &[u16], y: &mut [f32]) {
        let n = y.len();
        let x = &x[..n];
        for i in 0..n {
            y[i] = f32::from_bits(u32::from(x[i]) << 16);
        }
    }
}

/// The input of kernels that support both `f32` and bfloat16.
#[derive(Clone, Copy)]
pub(crate) enum Elements<'a> {
    Float(&'a [f32]),
    Half(&'a [u16]),
}

impl<'a> Elements<'a> {
    /// The elements of a tensor from [`dense`].
    pub(crate) fn of(tensor: &'a Tensor) -> Self {
        match tensor.kind() {
            Kind::BFloat16 => Self::Half(elements(tensor)),
            _ => Self::Float(elements(tensor)),
        }
    }

    /// The elements `at` as floats; bfloat16 is converted into `buffer`.
    pub(crate) fn read<'b>(self, at: Range<usize>, buffer: &'b mut Vec<f32>) -> &'b [f32]
    where
        'a: 'b,
    {
        match self {
            Self::Float(all) => &all[at],
            Self::Half(all) => {
                buffer.resize(at.len(), 0.0);
                widen(&all[at], buffer);
                buffer
            }
        }
    }
}

/// The output of kernels that support both, writable by several threads.
#[derive(Clone, Copy)]
pub(crate) enum SharedElements<'a> {
    Float(Shared<'a, f32>),
    Half(Shared<'a, u16>),
}

impl<'a> SharedElements<'a> {
    /// The elements of a tensor that nothing else accesses during the borrow.
    pub(crate) fn of(tensor: &'a mut Tensor) -> Self {
        match tensor.kind() {
            Kind::BFloat16 => Self::Half(Shared::new(elements_mut(tensor))),
            _ => Self::Float(Shared::new(elements_mut(tensor))),
        }
    }

    /// Calls `fill` to write the elements `at`. For bfloat16 it writes into `buffer`, which is then rounded.
    ///
    /// # Safety
    /// No overlapping range may be in use.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn write(
        self,
        at: Range<usize>,
        buffer: &mut Vec<f32>,
        fill: impl FnOnce(&mut [f32]),
    ) {
        match self {
            // SAFETY: as the caller promises.
            Self::Float(all) => fill(unsafe { all.part(at) }),
            Self::Half(all) => {
                buffer.resize(at.len(), 0.0);
                fill(buffer);
                // SAFETY: as the caller promises.
                narrow(buffer, unsafe { all.part(at) });
            }
        }
    }
}

/// A contiguous `f32` or bfloat16 tensor with the same values, detached.
pub(crate) fn dense(tensor: &Tensor) -> Tensor {
    match tensor.kind() {
        Kind::BFloat16 => tensor.detach().contiguous(),
        _ => contiguous(tensor),
    }
}

/// An uninitialized tensor of the kind of `like`.
pub(crate) fn empty_like(like: &Tensor, size: &[i64]) -> Tensor {
    Tensor::empty(size, (like.kind(), Device::Cpu))
}
