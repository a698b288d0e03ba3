//! Documents out of files: text, JSON lines and Parquet, compressed or not, streamed.

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

/// How a corpus is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusConfig {
    /// The field of JSON lines and Parquet that holds the text.
    pub field: String,
    /// What divides documents in plain text; in other formats each record is one.
    pub documents: DocumentBoundary,
    /// What a sentence is.
    pub sentences: Sentences,
    /// What happens to bytes that are not UTF-8.
    pub encoding: Encoding,
}

impl Default for CorpusConfig {
    /// Field `text`, documents divided by blank lines, Unicode sentences, strict UTF-8.
    fn default() -> Self {
        Self {
            field: "text".to_owned(),
            documents: DocumentBoundary::BlankLine,
            sentences: Sentences::Unicode,
            encoding: Encoding::Strict,
        }
    }
}

/// What divides documents in plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentBoundary {
    /// Blank lines, as the reference; the end of a file always does.
    BlankLine,
    /// The end of a file only.
    File,
}

/// What happens to bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// An error that names file, byte and line.
    Strict,
    /// They become U+FFFD, which the tokenizer drops.
    Lossy,
}

/// Text of one document, or of a part of one that is long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Lines; blank ones mean nothing here.
    pub text: String,
    /// Whether it goes on with the document before it, which was too long for one piece.
    pub continues: bool,
    /// Bytes that were not UTF-8 and became U+FFFD ([`Encoding::Lossy`]).
    pub replaced_bytes: u64,
}

/// Files to read, in the order in which they are read.
#[derive(Clone, Debug)]
pub struct Corpus {
    path: PathBuf,
    config: CorpusConfig,
    files: Vec<PathBuf>,
    left_out: Vec<PathBuf>,
}

/// Endings that are read as plain text, one JSON object a line, or Parquet.
const KINDS: [(&str, Format); 6] = [
    ("txt", Format::Text),
    ("text", Format::Text),
    ("jsonl", Format::JsonLines),
    ("ndjson", Format::JsonLines),
    ("json", Format::JsonLines),
    ("parquet", Format::Parquet),
];

/// Endings of compressed files.
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

/// The format and the compression that a file's ending names, in capitals or not.
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
    // Parquet is read from its end, which a compressed file has no way to.
    let readable = *format != Format::Parquet || compression == Compression::None;
    readable.then_some((*format, compression))
}

type Reader<'a> = Box<dyn Iterator<Item = Result<Document>> + Send + 'a>;

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
