//! The versions of SQuAD, and reading a file of any of them.

use super::{file::SquadFile, mrqa};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, fs::File, io::Read, path::Path};

/// The rules by which questions are learned and scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Version {
    /// Every question has an answer. Data of the MRQA shared task are of this kind too.
    #[serde(rename = "1.1")]
    #[cfg_attr(feature = "clap", value(name = "1.1"))]
    V1,
    /// Some have none.
    #[serde(rename = "2.0")]
    #[cfg_attr(feature = "clap", value(name = "2.0"))]
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
/// Naming the file and the place in it: if it cannot be read, is not of the form, or has a duplicate id.
pub fn read(path: &Path) -> Result<SquadFile> {
    read_from(File::open(path).map_err(Error::io(path))?, path)
}

/// [`read`] of any bytes; `name` is what errors call them, and its ending says which form they have.
///
/// # Errors
/// As [`read`].
pub fn read_from(reader: impl Read + Send + 'static, name: &Path) -> Result<SquadFile> {
    let file = name.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    match file.ends_with(".jsonl") || file.ends_with(".jsonl.gz") {
        true => mrqa::read(reader, name),
        false => SquadFile::from_reader(reader, name),
    }
}
