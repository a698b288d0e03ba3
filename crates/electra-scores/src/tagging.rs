//! Tagging: CoNLL files, schemes of tags, and the scores of entities.

mod file;
mod scheme;
mod score;

pub use file::{Columns, Sentence, Sentences};
pub use scheme::Scheme;
pub use score::{Entity, Rule, TaggingScores, Tags, accuracy, entities, read_pair, score};
