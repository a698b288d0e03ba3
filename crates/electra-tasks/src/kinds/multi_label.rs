//! Multi-label classification: a set of labels for a text or a pair of texts.
//!
//! Each label is predicted independently of the others; the set may be empty.

mod details;
mod head;
mod model;
mod task;

pub use head::MultiLabelNet;
pub use model::MultiLabelInfo;
