//! Behavior of the public interface.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod files;
mod folders;
mod paths;

/// Checks that the message of an error contains each of `words`.
#[track_caller]
fn says<T: std::fmt::Debug>(result: electra_files::Result<T>, words: &[&str]) {
    let message = result.unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}
