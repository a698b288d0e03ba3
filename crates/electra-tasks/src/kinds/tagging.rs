//! Token classification: a tag for every word of a sentence, from CoNLL files. The tags are named entities or chunks
//! (in the schemes BIO, IOB1 and BIOES) or plain, such as parts of speech.
//!
//! A sentence that is longer than an input is cut into overlapping windows; each word is trained on and predicted once,
//! in the window where it has most context, so every word has a prediction. A word without tokens becomes `[UNK]`.

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
