//! What of a file is not used.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The rows or questions of a file that cannot be learned from or scored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The file.
    pub file: PathBuf,
    /// How many of its rows or questions.
    pub count: usize,
    /// Which and why, a line each; in reports the first [`LeftOut::NAMED`], in `left-out.txt` all.
    pub named: Vec<String>,
}

impl LeftOut {
    /// How many are named in reports.
    pub const NAMED: usize = 20;

    /// The lines `named`, each of something that is left out of a file; `None` where there are none.
    pub fn of(file: &Path, named: Vec<String>) -> Option<Self> {
        let count = named.len();
        (count > 0).then(|| Self { file: file.to_owned(), count, named })
    }

    /// The same with the first [`LeftOut::NAMED`] lines alone.
    pub fn shortened(&self) -> Self {
        let named = self.named.iter().take(Self::NAMED).cloned().collect();
        Self { file: self.file.clone(), count: self.count, named }
    }
}
