//! Behaviour of the public interface: tables, scores, fine-tuning, prediction, and the whole line.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod bad_input;
mod batches;
mod e2e;
mod glue;
mod glue_scores;
mod grid;
mod multi_label;
mod official;
mod predict;
mod presets;
mod questions;
mod report;
mod scores;
mod several;
mod spans;
mod squad;
mod submit;
mod tables;
mod tagging;
mod tags;
mod winograd;

use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Checks that an error says each of `words`.
#[track_caller]
pub(crate) fn says<T: std::fmt::Debug>(result: electra_tasks::Result<T>, words: &[&str]) {
    let message = result.unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}
