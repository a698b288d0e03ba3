//! Multiple choice: the right one of several choices for a text, as in SWAG, HellaSwag and RACE.
//!
//! An input is `[CLS] text [SEP] choice [SEP]`, and a row has one for each of its choices.

mod details;
mod head;
mod model;
mod set;
mod task;

pub use head::{ChoiceNet, ChoicePrediction};
pub use model::ChoiceInfo;
pub use task::{ChoiceKind, ChoiceTask, LabelIs};
