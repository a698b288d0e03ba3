//! The name of a part.

use serde::{Deserialize, Serialize};

/// The name of the part in a seam: `kind = "softmax"` in a config. [`crate::Parts`] holds the available parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a section with `kind = \"NAME\"`")]
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
