//! Reads JSON files: one object per line, or an array of objects.

use super::{
    config::CorpusConfig,
    text::{Decoder, Document, Lines, Origin},
};
use crate::{Error, Result};
use electra_files::LONE_SURROGATES;
use std::{
    borrow::Cow,
    io::{BufRead, BufReader, Cursor, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

type Object = serde_json::Map<String, serde_json::Value>;
type Bytes = Box<dyn Read + Send>;

/// The text of the objects of a file.
pub(super) struct JsonDocuments {
    records: Records,
    field: String,
}

/// The objects of a file, as text.
enum Records {
    Lines(Lines<Bytes>),
    Array(Elements),
}

impl JsonDocuments {
    /// Reads one object per line.
    pub(super) fn lines(reader: Bytes, path: &Path, config: &CorpusConfig) -> Self {
        let records = Records::Lines(Lines::new(reader, path, config.encoding));
        Self { records, field: config.field.clone() }
    }

    /// Reads an array of objects, or one object per line, whichever the first character begins.
    pub(super) fn open(mut reader: Bytes, path: &Path, config: &CorpusConfig) -> Result<Self> {
        let mut start = Vec::new();
        let first = loop {
            let mut byte = [0];
            let read = reader.read(&mut byte).map_err(Error::io(path))?;
            start.extend_from_slice(&byte[..read]);
            let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start);
            match text.last() {
                _ if read == 0 => break None,
                Some(byte) if !byte.is_ascii_whitespace() && *byte < 0x80 => break Some(*byte),
                _ => {}
            }
        };
        if first == Some(b'[') {
            let line = 1 + start.iter().filter(|byte| **byte == b'\n').count() as u64;
            let elements = Elements {
                reader: BufReader::with_capacity(1 << 18, reader),
                decoder: Decoder::new(path, config.encoding),
                offset: start.len() as u64,
                line,
                ended: false,
            };
            return Ok(Self { records: Records::Array(elements), field: config.field.clone() });
        }
        Ok(Self::lines(Box::new(Cursor::new(start).chain(reader)), path, config))
    }

    fn read(&mut self) -> Result<Option<Document>> {
        loop {
            let (record, line, decoder) = match &mut self.records {
                Records::Lines(lines) => match lines.next_line()? {
                    Some(record) => (record, lines.line, &mut lines.decoder),
                    None => return Ok(None),
                },
                Records::Array(elements) => match elements.next_element()? {
                    Some((record, line)) => (record, line, &mut elements.decoder),
                    None => return Ok(None),
                },
            };
            if record.trim().is_empty() {
                continue;
            }
            let path = Arc::clone(&decoder.path);
            let invalid = |message| Error::Record { path: PathBuf::from(&*path), line, message };
            let (record, surrogates) = without_lone_surrogates(&record);
            if surrogates > 0 && !decoder.is_lossy() {
                return Err(invalid(format!(
                    "{surrogates} {LONE_SURROGATES}; correct the file, or use --lossy to replace them by U+FFFD"
                )));
            }
            let text = field_of(&record, &self.field).map_err(invalid)?;
            if text.trim().is_empty() {
                continue;
            }
            return Ok(Some(Document {
                text,
                continues: false,
                replaced_bytes: decoder.take_replaced(),
                replaced_surrogates: surrogates,
                origin: Origin { path, line, spans_lines: false },
            }));
        }
    }
}

impl Iterator for JsonDocuments {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn field_of(record: &str, field: &str) -> std::result::Result<String, String> {
    let mut object: Object = serde_json::from_str(record).map_err(|e| {
        format!("not a JSON object: {e}; a file has one object per line, or a .json file one array of objects")
    })?;
    match object.remove(field) {
        Some(serde_json::Value::String(text)) => Ok(text),
        Some(_) => Err(format!("field {field:?} is not a string")),
        None => {
            let known: Vec<_> = object.keys().map(String::as_str).collect();
            Err(format!("no field {field:?}; use --field with one of: {}", known.join(", ")))
        }
    }
}

/// JSON with U+FFFD for each escape of a lone surrogate, and the number of these. Pairs of surrogates stay.
fn without_lone_surrogates(json: &str) -> (Cow<'_, str>, u64) {
    const REPLACEMENT: &str = "\\ufffd";
    if !json.contains("\\ud") && !json.contains("\\uD") {
        return (Cow::Borrowed(json), 0);
    }
    // The code of an escape `\uXXXX` at the start of a text.
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (mut clean, mut rest, mut replaced) = (String::with_capacity(json.len()), json, 0);
    while let Some(at) = rest.find('\\') {
        clean.push_str(&rest[..at]);
        rest = &rest[at..];
        let is_low = |text: &str| matches!(unit(text), Some(0xdc00..=0xdfff));
        let (escape, length) = match unit(rest) {
            Some(0xd800..=0xdbff) if is_low(&rest[6..]) => (&rest[..12], 12),
            Some(0xd800..=0xdfff) => {
                replaced += 1;
                (REPLACEMENT, 6)
            }
            // A backslash and the character that it escapes.
            _ => {
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                (&rest[..length], length)
            }
        };
        clean.push_str(escape);
        rest = &rest[length..];
    }
    clean.push_str(rest);
    (Cow::Owned(clean), replaced)
}

/// The elements of an array, read one at a time.
struct Elements {
    reader: BufReader<Bytes>,
    decoder: Decoder,
    offset: u64,
    line: u64,
    ended: bool,
}

impl Elements {
    /// The text of the next element and its first line; `None` after the array's end.
    fn next_element(&mut self) -> Result<Option<(String, u64)>> {
        let (mut element, mut depth, mut in_string, mut escaped) = (Vec::new(), 0u64, false, false);
        let (mut offset, mut line) = (self.offset, self.line);
        while !self.ended {
            let Some(byte) = self.next_byte()? else {
                return Err(self.invalid("the array has no end: the file is truncated"));
            };
            let outside = depth == 0 && !in_string;
            match byte {
                _ if in_string => {
                    in_string = escaped || byte != b'"';
                    escaped = !escaped && byte == b'\\';
                }
                b'"' => in_string = true,
                b'{' | b'[' => depth += 1,
                b']' if outside => self.ended = true,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if outside && (byte == b',' || self.ended) {
                break;
            }
            if element.is_empty() {
                if byte.is_ascii_whitespace() {
                    continue;
                }
                (offset, line) = (self.offset - 1, self.line);
            }
            element.push(byte);
        }
        if element.is_empty() {
            return match self.ended {
                true => self.end().map(|()| None),
                false => Err(self.invalid("expected an object before the comma")),
            };
        }
        Ok(Some((self.decoder.text(&element, offset, line)?, line)))
    }

    /// Checks that only white space follows the array.
    fn end(&mut self) -> Result<()> {
        while let Some(byte) = self.next_byte()? {
            if !byte.is_ascii_whitespace() {
                return Err(
                    self.invalid("text after the end of the array: a .json file is one array")
                );
            }
        }
        Ok(())
    }

    fn next_byte(&mut self) -> Result<Option<u8>> {
        let buffer = self.reader.fill_buf().map_err(Error::io(&*self.decoder.path))?;
        let Some(&byte) = buffer.first() else { return Ok(None) };
        self.reader.consume(1);
        self.offset += 1;
        self.line += u64::from(byte == b'\n');
        Ok(Some(byte))
    }

    fn invalid(&self, message: &str) -> Error {
        let path = PathBuf::from(&*self.decoder.path);
        Error::Record { path, line: self.line, message: message.to_owned() }
    }
}
