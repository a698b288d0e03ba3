//! Masking: the trait, and the strategies that choose positions.

mod reference;
mod seam;
mod uniform;

pub use reference::ReferenceMasking;
pub(crate) use seam::is_special;
pub use seam::{MaskedPositions, Masking};
pub use uniform::UniformMasking;
