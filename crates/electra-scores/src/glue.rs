//! GLUE: its tasks as one table, the official scores, and the files of a submission.

mod score;
pub mod submission;
mod tasks;
#[cfg(test)]
mod tests;

pub use score::{Average, average, read_scores, score};
pub use tasks::{GlueLabels, GlueTask, TASKS, TestFile, Training, UNUSABLE_ROWS, find, open};
