//! Tagging of words: CoNLL files, tagging schemes, and scores of entities.

mod file;
mod scheme;
mod score;

pub use file::{Columns, Comments, Sentence, SentenceLine, Sentences};
pub use scheme::Scheme;
pub use score::{Entity, Rule, TaggingScores, Tags, accuracy, entities, read_pair, score};
