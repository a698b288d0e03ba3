//! Reads lines and documents of text files.

use super::config::{DecodeErrors, DocumentBoundary};
use crate::{Error, Result};
use std::{
    io::{BufRead, BufReader, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
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
    /// Escapes of lone surrogates in JSON that were replaced by U+FFFD ([`DecodeErrors::Lossy`]).
    pub replaced_surrogates: u64,
    /// Where the document begins.
    pub origin: Origin,
}

impl Document {
    /// Longer documents of plain text (in bytes) are split at line ends, to bound memory.
    pub(crate) const MAX_BYTES: usize = 16 << 20;

    /// Whether this may be a part of a longer document.
    pub(crate) fn is_part(&self) -> bool {
        self.continues || self.text.len() >= Self::MAX_BYTES
    }

    /// A part of the text. The first part has the numbers of replaced characters.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        let is_first = range.start == 0;
        let replaced = |n: u64| if is_first { n } else { 0 };
        Self {
            continues: self.continues || !is_first,
            replaced_bytes: replaced(self.replaced_bytes),
            replaced_surrogates: replaced(self.replaced_surrogates),
            origin: Origin { line: self.line_at(range.start), ..self.origin.clone() },
            text: self.text[range].to_owned(),
        }
    }

    /// The line of the file with the byte `offset` of the text.
    pub fn line_at(&self, offset: usize) -> u64 {
        let Origin { line, spans_lines, .. } = self.origin;
        let before = self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        line + if spans_lines { before as u64 } else { 0 }
    }
}

/// The place of a document in a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub path: Arc<Path>,
    /// The first line, or the record, from 1.
    pub line: u64,
    /// Whether line ends of the text are line ends of the file.
    pub spans_lines: bool,
}

/// Converts bytes of a file to text.
pub(super) struct Decoder {
    pub(super) path: Arc<Path>,
    encoding: DecodeErrors,
    replaced: u64,
}

impl Decoder {
    pub(super) fn new(path: &Path, encoding: DecodeErrors) -> Self {
        Self { path: path.into(), encoding, replaced: 0 }
    }

    pub(super) fn is_lossy(&self) -> bool {
        self.encoding == DecodeErrors::Lossy
    }

    /// Number of invalid bytes replaced since the last call.
    pub(super) fn take_replaced(&mut self) -> u64 {
        std::mem::take(&mut self.replaced)
    }

    /// The text of the bytes at `offset` in line `line` of the decompressed file.
    pub(super) fn text(&mut self, bytes: &[u8], offset: u64, line: u64) -> Result<String> {
        match (std::str::from_utf8(bytes), self.encoding) {
            (Ok(text), _) => Ok(text.to_owned()),
            (Err(_), DecodeErrors::Lossy) => {
                let wrong = bytes.utf8_chunks().map(|chunk| chunk.invalid().len() as u64);
                self.replaced += wrong.sum::<u64>();
                Ok(String::from_utf8_lossy(bytes).into_owned())
            }
            (Err(error), DecodeErrors::Strict) => {
                let offset = offset + error.valid_up_to() as u64;
                Err(Error::NotUtf8 { path: PathBuf::from(&*self.path), offset, line })
            }
        }
    }
}

/// Lines of a decompressed file.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    pub(super) decoder: Decoder,
    bytes: Vec<u8>,
    /// Number of lines read.
    pub(super) line: u64,
    offset: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R, path: &Path, encoding: DecodeErrors) -> Self {
        let reader = BufReader::with_capacity(1 << 18, reader);
        let decoder = Decoder::new(path, encoding);
        Self { reader, decoder, bytes: Vec::new(), line: 0, offset: 0 }
    }

    /// The next line without its line ending; `None` at the end of the file.
    pub(super) fn next_line(&mut self) -> Result<Option<String>> {
        self.bytes.clear();
        let read = self.reader.read_until(b'\n', &mut self.bytes);
        let read = read.map_err(Error::io(&*self.decoder.path))?;
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
        self.decoder.text(bytes, start, self.line).map(Some)
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
    pub(super) fn new(lines: Lines<R>, boundary: DocumentBoundary) -> Self {
        Self { lines, boundary, continues: false }
    }

    fn read(&mut self) -> Result<Option<Document>> {
        let (mut text, mut first) = (String::new(), 1);
        while let Some(line) = self.lines.next_line()? {
            let blank = line.trim().is_empty();
            let ends = blank && self.boundary == DocumentBoundary::BlankLine;
            if !ends {
                if text.is_empty() {
                    first = self.lines.line;
                }
                text.push_str(&line);
                text.push('\n');
            }
            let has_text = !text.trim_start().is_empty();
            if has_text && (ends || text.len() >= Document::MAX_BYTES) {
                return Ok(Some(self.document(text, first, !ends)));
            }
            if ends {
                self.continues = false;
            }
        }
        Ok((!text.trim().is_empty()).then(|| self.document(text, first, false)))
    }

    /// `continued` says whether the next document continues this one.
    fn document(&mut self, text: String, line: u64, continued: bool) -> Document {
        let decoder = &mut self.lines.decoder;
        Document {
            text,
            continues: std::mem::replace(&mut self.continues, continued),
            replaced_bytes: decoder.take_replaced(),
            replaced_surrogates: 0,
            origin: Origin { path: Arc::clone(&decoder.path), line, spans_lines: true },
        }
    }
}

impl<R: Read> Iterator for TextDocuments<R> {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
