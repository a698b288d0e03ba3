//! The part in a seam, by its name.

use serde::{Deserialize, Serialize};

/// The part in a seam, by its name: `kind = "softmax"` in a config. [`crate::Parts`] says which there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartName {
    kind: String,
}

impl PartName {
    /// The part called `name`.
    pub fn new(name: &str) -> Self {
        Self { kind: name.to_owned() }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.kind
    }
}
