//! Counter-based dropout: whether an element is kept is a function of a key and its index, so no mask is stored.

use tch::{Device, Kind, Tensor};

/// The random draw of a dropout layer: the same key drops the same elements, forward and backward.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    key: [u32; 2],
    /// An element is dropped if its hash is below this value.
    threshold: u32,
    /// Factor for kept elements: 1 / (1 - p).
    pub(crate) scale: f32,
}

impl Dropout {
    /// Draws a key for dropout probability `p` from libtorch's generator, so that `tch::manual_seed` controls it.
    /// If `p` is 0 or `train` is false, draws nothing and returns the identity.
    pub(crate) fn draw(p: f64, train: bool) -> Self {
        if !train || p <= 0.0 {
            return Self { key: [0; 2], threshold: 0, scale: 1.0 };
        }
        let bits = Tensor::randint_low(i64::MIN, i64::MAX, [1], (Kind::Int64, Device::Cpu));
        let bits = bits.int64_value(&[0]).cast_unsigned();
        let threshold = (p * 2f64.powi(32)).round() as u32;
        Self {
            key: [bits as u32, (bits >> 32) as u32],
            threshold,
            scale: (1.0 / (1.0 - f64::from(threshold) / 2f64.powi(32))) as f32,
        }
    }

    /// Whether this is the identity: nothing is dropped.
    pub(crate) fn is_identity(&self) -> bool {
        self.threshold == 0
    }

    /// The factor of the element at `index`: 0, or [`Self::scale`].
    ///
    /// Source: the integer hash "lowbias32" (C. Wellons 2018), with a word of the key mixed in before each
    /// multiplication.
    #[inline(always)]
    pub(crate) fn factor(&self, index: u32) -> f32 {
        let mut x = index ^ self.key[0];
        x ^= x >> 16;
        x = x.wrapping_mul(0x7feb_352d) ^ self.key[1];
        x ^= x >> 15;
        x = x.wrapping_mul(0x846c_a68b);
        x ^= x >> 16;
        if x < self.threshold { 0.0 } else { self.scale }
    }
}
