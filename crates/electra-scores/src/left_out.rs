//! The rows or questions of a file that are not used.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The rows or questions of a file that cannot be used for training or scored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The file.
    pub file: PathBuf,
    /// The number of rows or questions.
    pub count: usize,
    /// Each one with the reason, one per line: the first [`LeftOut::NAMED`] in reports, all in `left-out.txt`.
    pub named: Vec<String>,
}

impl LeftOut {
    /// The number of lines in reports.
    pub const NAMED: usize = 20;

    /// The lines `named` of a file; `None` if there are none.
    pub fn of(file: &Path, named: Vec<String>) -> Option<Self> {
        let count = named.len();
        (count > 0).then(|| Self { file: file.to_owned(), count, named })
    }

    /// The same with only the first [`LeftOut::NAMED`] lines.
    pub fn shortened(&self) -> Self {
        let named = self.named.iter().take(Self::NAMED).cloned().collect();
        Self { file: self.file.clone(), count: self.count, named }
    }
}
