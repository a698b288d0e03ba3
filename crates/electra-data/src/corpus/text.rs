//! Lines of text files, decoded, with their place in errors.

use super::config::{DocumentBoundary, Encoding};
use crate::{Error, Result};
use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

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

/// Lines of a decompressed file.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    path: PathBuf,
    encoding: Encoding,
    bytes: Vec<u8>,
    /// Lines read.
    pub(super) line: u64,
    offset: u64,
    replaced: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R, path: &Path, encoding: Encoding) -> Self {
        let reader = BufReader::with_capacity(1 << 18, reader);
        let (path, bytes) = (path.to_owned(), Vec::new());
        Self { reader, path, encoding, bytes, line: 0, offset: 0, replaced: 0 }
    }

    /// Bytes that were not UTF-8, since the last call.
    pub(super) fn take_replaced(&mut self) -> u64 {
        std::mem::take(&mut self.replaced)
    }

    /// The next line without its end; `None` at the end of the file.
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
            (Err(_), Encoding::Lossy) => {
                let wrong = bytes.utf8_chunks().map(|chunk| chunk.invalid().len() as u64);
                self.replaced += wrong.sum::<u64>();
                String::from_utf8_lossy(bytes).into_owned()
            }
            (Err(error), Encoding::Strict) => {
                let offset = start + error.valid_up_to() as u64;
                return Err(Error::NotUtf8 { path: self.path.clone(), offset, line: self.line });
            }
        };
        Ok(Some(text))
    }
}

/// Documents of a plain text file.
pub(super) struct TextDocuments<R> {
    lines: Lines<R>,
    boundary: DocumentBoundary,
    /// Whether the next one goes on with the last.
    continues: bool,
}

impl<R: Read> TextDocuments<R> {
    /// A document that is longer comes in parts, cut at a line's end, so that a file of any size is read in
    /// bounded memory.
    const LONGEST: usize = 16 << 20;

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
            if has_text && (ends || text.len() >= Self::LONGEST) {
                return Ok(Some(self.document(text, !ends)));
            }
            if ends {
                self.continues = false;
            }
        }
        Ok((!text.trim().is_empty()).then(|| self.document(text, false)))
    }

    /// `goes_on` is whether the next one continues this.
    fn document(&mut self, text: String, goes_on: bool) -> Document {
        let continues = std::mem::replace(&mut self.continues, goes_on);
        Document { text, continues, replaced_bytes: self.lines.take_replaced() }
    }
}

impl<R: Read> Iterator for TextDocuments<R> {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
