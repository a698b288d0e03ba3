//! Multi-label classification: a set of labels for a text or a pair of texts.
//!
//! - [`MultiLabelTask`]: the task, from tables that have the labels of a row in one column or a column for each label;
//! - [`MultiLabelPredictor`]: a fine-tuned model on texts at hand, and on files in constant memory.
//!
//! Each label is a question of its own: whether it holds, whatever the others. A text may have none of them.

mod details;
mod head;
mod predict;
mod task;

pub use head::MultiLabelHead;
pub use predict::{LabelSet, MultiLabelInfo, MultiLabelPredictor};
pub use task::{MultiLabelData, MultiLabelKind, MultiLabelTask};
