//! Tagging: a tag for every word of a sentence, from CoNLL files. Named entities, chunks (entities in the schemes BIO,
//! IOB1 and BIOES) or parts of speech (plain tags).
//!
//! A sentence that is longer than an input is cut into windows that overlap; each word is learned and predicted once,
//! in the window where it has most context, so no word is without a prediction. A word of which the tokenizer leaves
//! nothing is `[UNK]`.

mod data;
mod details;
mod encode;
mod head;
mod model;
mod task;
mod window;

pub use encode::WordPositions;
pub use head::{TagNet, TokenPredictions};
pub use model::TaggingInfo;
pub use task::{TaggingKind, TaggingTask, Unseen};
