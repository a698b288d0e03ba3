//! Checks the config of a resumed run.

use super::RunConfig;
use crate::{Error, Result};
use std::path::Path;
use toml::Value;

/// Keys that may change when a run is resumed: they do not change what is computed.
const MAY_CHANGE: [&str; 8] = [
    "train.device",
    "train.max_hours",
    "train.log_every",
    "checkpoint",
    "evaluate",
    "data.shards",
    "data.loader_threads",
    "model.activations",
];

impl RunConfig {
    /// Checks that this config computes the same as the run's own config, the file `saved`.
    ///
    /// # Errors
    /// [`Error::Config`] with the keys that differ and both values.
    pub fn check_resumed(&self, saved: &Path) -> Result<()> {
        let value =
            |config: &Self| Value::try_from(config).expect("a config of plain values serializes");
        let mut changed = Vec::new();
        differences("", &value(&Self::read(saved, &[])?), &value(self), &mut changed);
        if changed.is_empty() {
            return Ok(());
        }
        let message = format!(
            "a resumed run must use the same values: {} (only {} may change)",
            changed.join("; "),
            MAY_CHANGE.join(", ")
        );
        Err(Error::Config { path: saved.to_owned(), message })
    }
}

/// Collects the keys below `path` whose values differ but must not, with both values.
fn differences(path: &str, a: &Value, b: &Value, found: &mut Vec<String>) {
    if MAY_CHANGE.contains(&path) || a == b {
        return;
    }
    match (a, b) {
        (Value::Table(x), Value::Table(y)) => {
            for (key, value) in x {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let missing = Value::String("(missing)".to_owned());
                differences(&path, value, y.get(key).unwrap_or(&missing), found);
            }
        }
        _ => found.push(format!("{path} was {a}, now is {b}")),
    }
}
