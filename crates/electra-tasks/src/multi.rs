//! Several tasks on one encoder: a head for each task, and batches with examples of all tasks.

mod data;
mod mixture;
mod task;

pub use mixture::Mixture;
pub use task::{MultiTask, OneOf};
