//! Kinds of output folders, by a file that each has; how they are written is in `electra_files`.

pub use electra_files::{
    folder::{lock, recover, whole},
    write_file,
};

/// What a model folder has: a model replaces no other folder.
pub const MODEL: &str = "config.json";
/// What a folder with a TensorFlow checkpoint has.
pub const TENSORFLOW: &str = "checkpoint";
