//! Dropout by counter: whether an element is kept is a function of a key and its place, so no mask is stored.

use tch::{Device, Kind, Tensor};

/// A dropout layer's draw: the same key keeps the same elements, forward and backward.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    key: [u32; 2],
    /// An element is dropped if its hash is below this.
    threshold: u32,
    /// What kept elements are multiplied by: 1 / (1 - p).
    pub(crate) scale: f32,
}

impl Dropout {
    /// A draw with probability `p`, its key from libtorch's generator (so that `tch::manual_seed` decides it); the
    /// identity, which costs no draw, where `p` is 0 or `train` is false.
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

    /// Whether nothing is ever dropped.
    pub(crate) fn is_identity(&self) -> bool {
        self.threshold == 0
    }

    /// The factor of the element at `place`: 0, or [`Self::scale`].
    ///
    /// Source: an integer hash of full avalanche ("lowbias32", C. Wellons 2018) with a word of the key before each
    /// multiplication.
    #[inline(always)]
    pub(crate) fn factor(&self, place: u32) -> f32 {
        let mut x = place ^ self.key[0];
        x ^= x >> 16;
        x = x.wrapping_mul(0x7feb_352d) ^ self.key[1];
        x ^= x >> 15;
        x = x.wrapping_mul(0x846c_a68b);
        x ^= x >> 16;
        if x < self.threshold { 0.0 } else { self.scale }
    }
}
