//! Several tasks on one encoder: a head for each, examples of all of them mixed.

mod data;
mod mixture;
mod task;

pub use mixture::Mixture;
pub use task::{MultiTask, OneOf};
