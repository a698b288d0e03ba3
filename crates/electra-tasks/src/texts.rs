//! What kinds of tasks on rows of texts share: reading and encoding their data, the layers of their heads, the answers.

pub mod data;
pub mod layers;
