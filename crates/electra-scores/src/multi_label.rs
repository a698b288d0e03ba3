//! Multi-label classification: sets of labels, and their scores.

mod score;
mod task;

pub use score::{by_label, score, scores};
pub use task::{MultiLabelKind, MultiLabelTask, names};
