//! Streams documents from text, JSON lines and Parquet files, optionally compressed.

mod config;
mod format;
mod json;
mod open;
mod sentences;
mod text;

pub use config::{CorpusConfig, DecodeErrors, DocumentBoundary};
pub use sentences::{Sentences, split_sentences};
pub use text::{Document, Origin};

use crate::{Error, Result};
use format::{Format, KINDS, kind};
use open::Reader;
use std::{
    collections::VecDeque,
    ffi::OsStr,
    path::{Path, PathBuf},
};
use walkdir::{DirEntry, WalkDir};

/// The files of a corpus, in reading order.
#[derive(Clone, Debug)]
pub struct Corpus {
    path: PathBuf,
    config: CorpusConfig,
    files: Vec<PathBuf>,
    skipped: Vec<PathBuf>,
}

impl Corpus {
    /// Opens a file, or all readable files in a folder and its subfolders, sorted by path. Symbolic links are followed;
    /// hidden files and folders are skipped.
    ///
    /// # Errors
    /// If the path does not exist or has no readable file.
    pub fn open(path: &Path, config: CorpusConfig) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(Error::io(path))?;
        let (mut files, mut skipped) = (Vec::new(), Vec::new());
        if metadata.is_file() {
            files.push(path.to_owned());
            if kind(path).is_none() {
                return Err(unreadable(path, "unsupported file extension"));
            }
        } else {
            // Follow links, as data is often linked; skip hidden folders, which often have copies by other programs.
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
                    None => skipped.push(entry.into_path()),
                }
            }
        }
        if files.is_empty() {
            return Err(unreadable(path, "no readable file in this folder"));
        }
        Ok(Self { path: path.to_owned(), config, files, skipped })
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The settings.
    pub fn config(&self) -> &CorpusConfig {
        &self.config
    }

    /// The files that are read.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The files in the folder that are skipped because of their extension.
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    /// Iterates over the documents in order. Each file is opened when it is reached. Ends after the first error.
    pub fn documents(&self) -> Documents<'_> {
        Documents { corpus: self, files: self.files.iter().collect(), current: None }
    }
}

fn unreadable(path: &Path, reason: &str) -> Error {
    let endings =
        KINDS.iter().filter(|(_, format)| *format != Format::Parquet).map(|(ending, _)| *ending);
    let endings = endings.map(|ending| format!(".{ending}")).collect::<Vec<_>>().join(" ");
    let message = format!(
        "{reason}: supported are {endings}, optionally with .gz .xz .zst, and .parquet without external compression"
    );
    Error::Corpus { path: path.to_owned(), message }
}

/// Iterator over the documents of a corpus.
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
