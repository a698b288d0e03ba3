//! Sentence tasks: classification or regression of a text or a pair of texts.

mod score;
mod task;

pub use score::{FileScores, score};
pub use task::{Label, LabelSpace, SentenceKind, SentenceTask, check_classes, classes, values};
