//! Documents out of files: text, JSON lines and Parquet, compressed or not, streamed.

mod config;
mod format;
mod open;
mod sentences;
mod text;

pub use config::{CorpusConfig, DocumentBoundary, Encoding};
pub use sentences::{Sentences, split_sentences};
pub use text::Document;

use crate::{Error, Result};
use format::{Format, KINDS, kind};
use open::Reader;
use std::{
    collections::VecDeque,
    ffi::OsStr,
    path::{Path, PathBuf},
};
use walkdir::{DirEntry, WalkDir};

/// Files to read, in the order in which they are read.
#[derive(Clone, Debug)]
pub struct Corpus {
    path: PathBuf,
    config: CorpusConfig,
    files: Vec<PathBuf>,
    left_out: Vec<PathBuf>,
}

impl Corpus {
    /// A file, or all readable files of a folder and its folders, sorted by path; links are followed, hidden files and
    /// folders are not looked at.
    ///
    /// # Errors
    /// If the path is not there, or holds no file of a kind that can be read.
    pub fn open(path: &Path, config: CorpusConfig) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(Error::io(path))?;
        let (mut files, mut left_out) = (Vec::new(), Vec::new());
        if metadata.is_file() {
            files.push(path.to_owned());
            if kind(path).is_none() {
                return Err(unreadable(path, "its ending is not of a kind that can be read"));
            }
        } else {
            // Data may stand elsewhere and be linked to; hidden folders hold other programs' copies.
            let entries = WalkDir::new(path).follow_links(true).sort_by_file_name();
            let hidden = |name: &OsStr| name.to_string_lossy().starts_with('.');
            let shown = |entry: &DirEntry| entry.depth() == 0 || !hidden(entry.file_name());
            for entry in entries.into_iter().filter_entry(shown) {
                let entry = entry.map_err(|e| Error::io(path)(e.into()))?;
                if !entry.file_type().is_file() {
                    continue;
                }
                match kind(entry.path()) {
                    Some(_) => files.push(entry.into_path()),
                    None => left_out.push(entry.into_path()),
                }
            }
        }
        if files.is_empty() {
            return Err(unreadable(path, "no file in this folder is of a kind that can be read"));
        }
        Ok(Self { path: path.to_owned(), config, files, left_out })
    }

    /// What was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it is read.
    pub fn config(&self) -> &CorpusConfig {
        &self.config
    }

    /// Files that are read.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Files of the folder whose ending is not of a kind that can be read.
    pub fn left_out(&self) -> &[PathBuf] {
        &self.left_out
    }

    /// Documents in order; each file is opened when its turn comes. Ends after the first error.
    pub fn documents(&self) -> Documents<'_> {
        Documents { corpus: self, files: self.files.iter().collect(), current: None }
    }
}

fn unreadable(path: &Path, reason: &str) -> Error {
    let endings =
        KINDS.iter().filter(|(_, format)| *format != Format::Parquet).map(|(ending, _)| *ending);
    let endings = endings.map(|ending| format!(".{ending}")).collect::<Vec<_>>().join(" ");
    let message = format!(
        "{reason}: {endings}, each also .gz .xz .zst, and .parquet, which is compressed within and not as a whole"
    );
    Error::Corpus { path: path.to_owned(), message }
}

/// Iterator over a corpus' documents.
pub struct Documents<'a> {
    corpus: &'a Corpus,
    files: VecDeque<&'a PathBuf>,
    current: Option<Reader<'a>>,
}

impl Iterator for Documents<'_> {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(reader) = &mut self.current {
                match reader.next() {
                    Some(Ok(document)) => return Some(Ok(document)),
                    Some(Err(error)) => {
                        self.current = None;
                        self.files.clear();
                        return Some(Err(error));
                    }
                    None => self.current = None,
                }
            }
            let path = self.files.pop_front()?;
            match open::reader(path, &self.corpus.config) {
                Ok(reader) => self.current = Some(reader),
                Err(error) => {
                    self.files.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}

impl std::fmt::Debug for Documents<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents").field("files_left", &self.files.len()).finish_non_exhaustive()
    }
}
