//! Sentence tasks: a class or a number for a text or a pair of texts.

mod details;
mod head;
mod model;
mod task;

pub use head::{SentenceNet, SentencePrediction};
pub use model::SentenceInfo;
