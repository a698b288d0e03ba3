//! What may change in the config of a run that goes on.

use super::RunConfig;
use crate::{Error, Result};
use std::path::Path;
use toml::Value;

/// Keys that may change when a run goes on: they decide how long, where and what is reported, not what is computed.
const MAY_CHANGE: [&str; 7] = [
    "train.device",
    "train.log_every",
    "checkpoint",
    "evaluate",
    "data.shards",
    "data.loader_threads",
    "model.activations",
];

impl RunConfig {
    /// Checks that a run whose own config is the file `known` computes the same by this one.
    ///
    /// # Errors
    /// [`Error::Config`] with the keys that differ and both values.
    pub fn check_resumed(&self, known: &Path) -> Result<()> {
        let value =
            |config: &Self| Value::try_from(config).expect("a config of plain values serialises");
        let mut changed = Vec::new();
        differences("", &value(&Self::read(known, &[])?), &value(self), &mut changed);
        if changed.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the run was made with other values, and a resumed one must compute the same: {} (only {} may change)",
            changed.join("; "),
            MAY_CHANGE.join(", ")
        );
        Err(Error::Config { path: known.to_owned(), message })
    }
}

/// Keys below `path` in which two values differ and must not, with both.
fn differences(path: &str, a: &Value, b: &Value, found: &mut Vec<String>) {
    if MAY_CHANGE.contains(&path) || a == b {
        return;
    }
    match (a, b) {
        (Value::Table(x), Value::Table(y)) => {
            for (key, value) in x {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let missing = Value::String("(absent)".to_owned());
                differences(&path, value, y.get(key).unwrap_or(&missing), found);
            }
        }
        _ => found.push(format!("{path} was {a}, is {b}")),
    }
}
