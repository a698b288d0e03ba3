//! Extractive question answering: SQuAD 1.1 and 2.0, and data sets in their format.

mod data;
mod decode;
mod details;
mod encode;
mod head;
mod model;
mod task;
mod window;

pub use decode::decode;
pub use encode::{AnswerTokens, Passage, QuestionEncoder, QuestionWindows};
pub use head::{Span, SpanNet, SpanTarget, WindowPrediction};
pub use model::SquadInfo;
pub(crate) use task::NAMED;
pub use task::{SquadKind, SquadTask};
pub use window::{Context, Misaligned, most_context, windows};
