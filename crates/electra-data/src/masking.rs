//! Masking: the trait, and the strategies that choose positions.

mod n_gram;
mod rare;
mod reference;
mod seam;
mod uniform;
mod whole_word;

pub use n_gram::NGramMasking;
pub use rare::RareMasking;
pub use reference::ReferenceMasking;
pub(crate) use seam::is_special;
pub use seam::{MaskedPositions, Masking};
pub use uniform::UniformMasking;
pub use whole_word::WholeWordMasking;
