//! Multi-label classification: a set of labels for a text or a pair of texts.
//!
//! Each label is predicted by itself, whatever the others. A text may have none of them.

mod details;
mod head;
mod model;
mod task;

pub use head::MultiLabelNet;
pub(crate) use model::open;
pub use model::{KIND, MultiLabelInfo};
pub use task::{MultiLabelData, load};
