//! File formats of other programs' weights: bytes to named tensors and back, no meaning of names.

pub mod bundle;
pub mod pickle;
