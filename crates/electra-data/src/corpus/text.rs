//! Reads lines and documents of text files.

use super::config::{DecodeErrors, DocumentBoundary};
use crate::{Error, Result};
use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

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

/// Lines of a decompressed file.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    path: PathBuf,
    encoding: DecodeErrors,
    bytes: Vec<u8>,
    /// Number of lines read.
    pub(super) line: u64,
    offset: u64,
    replaced: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R, path: &Path, encoding: DecodeErrors) -> Self {
        let reader = BufReader::with_capacity(1 << 18, reader);
        let (path, bytes) = (path.to_owned(), Vec::new());
        Self { reader, path, encoding, bytes, line: 0, offset: 0, replaced: 0 }
    }

    /// Number of invalid bytes replaced since the last call.
    pub(super) fn take_replaced(&mut self) -> u64 {
        std::mem::take(&mut self.replaced)
    }

    /// The next line without its line ending; `None` at the end of the file.
    pub(super) fn next_line(&mut self) -> Result<Option<String>> {
        self.bytes.clear();
        let read = self.reader.read_until(b'\n', &mut self.bytes).map_err(Error::io(&self.path))?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        let mut bytes = self.bytes.as_slice();
        if self.line == 1 {
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        }
        let start = self.offset + (read - bytes.len()) as u64;
        self.offset += read as u64;
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let text = match (std::str::from_utf8(bytes), self.encoding) {
            (Ok(text), _) => text.to_owned(),
            (Err(_), DecodeErrors::Lossy) => {
                let wrong = bytes.utf8_chunks().map(|chunk| chunk.invalid().len() as u64);
                self.replaced += wrong.sum::<u64>();
                String::from_utf8_lossy(bytes).into_owned()
            }
            (Err(error), DecodeErrors::Strict) => {
                let offset = start + error.valid_up_to() as u64;
                return Err(Error::NotUtf8 { path: self.path.clone(), offset, line: self.line });
            }
        };
        Ok(Some(text))
    }
}

/// Iterator over the documents of a plain text file.
pub(super) struct TextDocuments<R> {
    lines: Lines<R>,
    boundary: DocumentBoundary,
    /// Whether the next document continues the last.
    continues: bool,
}

impl<R: Read> TextDocuments<R> {
    /// Longer documents (in bytes) are split at line ends, to bound memory.
    const MAX_BYTES: usize = 16 << 20;

    pub(super) fn new(lines: Lines<R>, boundary: DocumentBoundary) -> Self {
        Self { lines, boundary, continues: false }
    }

    fn read(&mut self) -> Result<Option<Document>> {
        let mut text = String::new();
        while let Some(line) = self.lines.next_line()? {
            let blank = line.trim().is_empty();
            let ends = blank && self.boundary == DocumentBoundary::BlankLine;
            if !ends {
                text.push_str(&line);
                text.push('\n');
            }
            let has_text = !text.trim_start().is_empty();
            if has_text && (ends || text.len() >= Self::MAX_BYTES) {
                return Ok(Some(self.document(text, !ends)));
            }
            if ends {
                self.continues = false;
            }
        }
        Ok((!text.trim().is_empty()).then(|| self.document(text, false)))
    }

    /// `continued` says whether the next document continues this one.
    fn document(&mut self, text: String, continued: bool) -> Document {
        let continues = std::mem::replace(&mut self.continues, continued);
        Document { text, continues, replaced_bytes: self.lines.take_replaced() }
    }
}

impl<R: Read> Iterator for TextDocuments<R> {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
