//! Question answering by spans of a text: SQuAD 1.1 and 2.0, and what is written like them.

pub mod file;

pub use file::SquadFile;
