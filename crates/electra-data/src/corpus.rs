//! Streams documents from text, JSON lines and Parquet files, optionally compressed.

mod open;
mod sentences;
mod text;

pub use sentences::{Sentences, split_sentences};

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    ffi::OsStr,
    path::{Path, PathBuf},
};
use walkdir::{DirEntry, WalkDir};

/// How to read a corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusConfig {
    /// The text field of JSON lines and Parquet.
    pub field: String,
    /// How documents are separated in plain text. In other formats each record is a document.
    pub documents: DocumentBoundary,
    /// How sentences are separated.
    pub sentences: Sentences,
    /// How to handle invalid UTF-8.
    pub encoding: DecodeErrors,
}

impl Default for CorpusConfig {
    /// Field `text`, documents separated by blank lines, Unicode sentences, strict UTF-8.
    fn default() -> Self {
        Self {
            field: "text".to_owned(),
            documents: DocumentBoundary::BlankLine,
            sentences: Sentences::Unicode,
            encoding: DecodeErrors::Strict,
        }
    }
}

/// How documents are separated in plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentBoundary {
    /// By blank lines, as in the reference, and the end of a file.
    BlankLine,
    /// Only by the end of a file.
    File,
}

/// How to handle invalid UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecodeErrors {
    /// An error that names the file, byte and line.
    Strict,
    /// Invalid bytes are replaced by U+FFFD, which the tokenizer drops.
    Lossy,
}

/// A document, or a part of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The text. It may contain blank lines.
    pub text: String,
    /// Whether this continues the previous document, which was too long for one part.
    pub continues: bool,
    /// Invalid bytes that were replaced by U+FFFD ([`DecodeErrors::Lossy`]).
    pub replaced_bytes: u64,
}

/// The files of a corpus, in reading order.
#[derive(Clone, Debug)]
pub struct Corpus {
    path: PathBuf,
    config: CorpusConfig,
    files: Vec<PathBuf>,
    skipped: Vec<PathBuf>,
}

/// File extensions by format.
const KINDS: [(&str, Format); 6] = [
    ("txt", Format::Text),
    ("text", Format::Text),
    ("jsonl", Format::JsonLines),
    ("ndjson", Format::JsonLines),
    ("json", Format::JsonLines),
    ("parquet", Format::Parquet),
];

/// File extensions of compressed files.
const COMPRESSIONS: [(&str, Compression); 4] = [
    ("gz", Compression::Gzip),
    ("xz", Compression::Xz),
    ("zst", Compression::Zstd),
    ("zstd", Compression::Zstd),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    JsonLines,
    Parquet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
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

/// The format and compression of a file by its extension, ignoring case.
fn kind(path: &Path) -> Option<(Format, Compression)> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let mut endings = name.rsplit('.');
    let mut ending = endings.next()?;
    let mut compression = Compression::None;
    if let Some((_, found)) = COMPRESSIONS.iter().find(|(known, _)| *known == ending) {
        compression = *found;
        ending = endings.next()?;
    }
    let (_, format) = KINDS.iter().find(|(known, _)| *known == ending)?;
    // Parquet needs random access, which a compressed file does not offer.
    let readable = *format != Format::Parquet || compression == Compression::None;
    readable.then_some((*format, compression))
}

type Reader<'a> = Box<dyn Iterator<Item = Result<Document>> + Send + 'a>;

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
