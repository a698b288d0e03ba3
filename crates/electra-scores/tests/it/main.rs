//! Behavior of the public interface: tables, readers, metrics, official scores.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod glue_scores;
mod metrics;
mod official;
mod squad;
mod tables;
mod tagging;

use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Checks that the message of an error contains each of `words`.
#[track_caller]
pub(crate) fn says<T: std::fmt::Debug>(result: electra_scores::Result<T>, words: &[&str]) {
    let message = result.unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}
