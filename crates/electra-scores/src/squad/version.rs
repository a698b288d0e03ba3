//! The versions of SQuAD, and reading a file of any version.

use super::{file::SquadFile, mrqa};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, fs::File, io::Read, path::Path};

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

/// Reads questions: in the format of MRQA if the name ends in `.jsonl` or `.jsonl.gz`, else in that of SQuAD.
///
/// # Errors
/// Naming the file and the place in it: if it cannot be read, has another format, or has a duplicate id.
pub fn read(path: &Path) -> Result<SquadFile> {
    read_from(File::open(path).map_err(Error::io(path))?, path)
}

/// [`read`] of any bytes; `name` names them in errors, and its extension decides the format.
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
