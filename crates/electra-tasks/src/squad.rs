//! Question answering by spans of a text: SQuAD 1.1 and 2.0, and what is written like them.

pub mod answer;
mod details;
pub mod encode;
pub mod file;
pub mod head;
pub mod mrqa;
pub mod predict;
pub mod task;
pub mod window;

pub use file::SquadFile;
pub use predict::{SquadOutputs, SquadPredictor};
pub use task::{SquadInfo, SquadTask};

use crate::Result;
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path};

/// By which rules questions are learned and scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// Every question has an answer. Data of the MRQA shared task are of this kind too.
    #[serde(rename = "1.1")]
    V1,
    /// Some have none.
    #[serde(rename = "2.0")]
    V2,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "1.1",
            Self::V2 => "2.0",
        })
    }
}

/// Reads questions: MRQA's form if the name ends in `.jsonl` or `.jsonl.gz`, else SQuAD's.
///
/// # Errors
/// As [`SquadFile::read`] and [`mrqa::read`].
pub fn read(path: &Path) -> Result<SquadFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    match name.ends_with(".jsonl") || name.ends_with(".jsonl.gz") {
        true => mrqa::read(path),
        false => SquadFile::read(path),
    }
}
