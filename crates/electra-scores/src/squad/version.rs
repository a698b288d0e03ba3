//! The versions of SQuAD.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of SQuAD, which decides how questions are learned and scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Version {
    /// Every question has an answer. Data of the MRQA shared task belong here too.
    #[serde(rename = "1.1")]
    #[cfg_attr(feature = "clap", value(name = "1.1"))]
    V1,
    /// Some questions have no answer.
    #[serde(rename = "2.0")]
    #[cfg_attr(feature = "clap", value(name = "2.0"))]
    V2,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
