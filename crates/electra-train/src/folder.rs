//! Kinds of output folders, each identified by a file; `electra_files` writes them.

pub use electra_files::{
    folder::{lock, recover, whole},
    write_file,
};

/// The file that identifies a model folder.
pub const MODEL: &str = "config.json";
/// The file that identifies a folder with a TensorFlow checkpoint.
pub const TENSORFLOW: &str = "checkpoint";
