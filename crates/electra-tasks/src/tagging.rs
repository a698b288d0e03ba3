//! Tagging: a tag for every word of a sentence, from CoNLL files.
//!
//! - [`TaggingTask`]: named entities, chunks (entities of a scheme: BIO, IOB1, BIOES) or parts of speech (plain tags);
//! - [`Sentences`]: files of columns, a word a line, an empty line after each sentence;
//! - [`TaggingPredictor`]: a fine-tuned model on words at hand, and on files in constant memory.
//!
//! A sentence that is longer than an input is cut into windows that overlap; each word is learned and predicted once,
//! in the window where it has most context, so no word is left without a prediction. A word
//! of which the tokenizer leaves nothing is `[UNK]`.

mod details;
mod encode;
mod file;
mod head;
mod predict;
mod scheme;
mod task;
mod window;

pub use encode::TagTarget;
pub use file::{Columns, Sentence, Sentences};
pub use head::{TagHead, TagPrediction};
pub use predict::{TaggedWord, TaggingPredictor};
pub use scheme::Scheme;
pub use task::{TaggingData, TaggingInfo, TaggingKind, TaggingTask, Unseen};
