//! The code that kinds of tasks on rows of texts share: reading and encoding data, the layers of heads, predictions.

pub mod data;
pub mod layers;
