//! Rows of delimited text: fields as they are, or in quotation marks as in RFC 4180.

use super::layout::{Delimiter, Quoting};
use crate::{
    error::{Error, Result},
    lines::{Bytes, EMPTY_LINE, LONGEST_LINE, Lines},
};
use std::{
    collections::VecDeque,
    io::{self, Read, Take},
};

/// The rows of a delimited text.
pub(super) enum Delimited {
    /// A row is a line; a quotation mark is a character.
    Plain {
        lines: Lines,
        delimiter: char,
    },
    Quoted(Box<Quoted>),
}

/// The fields of a row, or why it cannot be used.
pub(super) type Fields<T> = std::result::Result<T, String>;

impl Delimited {
    pub(super) fn new(bytes: Bytes, delimiter: Delimiter, quoting: Quoting) -> Self {
        match quoting {
            Quoting::None => {
                Self::Plain { lines: Lines::new(bytes), delimiter: char::from(delimiter.byte()) }
            }
            Quoting::DoubleQuotes => Self::Quoted(Box::new(Quoted::new(bytes, delimiter))),
        }
    }

    /// The names of the columns in the first line.
    ///
    /// # Errors
    /// If the file has no line.
    pub(super) fn header(&mut self, file: &str) -> Result<Vec<String>> {
        let names: Option<Vec<String>> = match self {
            Self::Plain { lines, delimiter } => lines
                .next(file)?
                .map(|(_, text)| text.split(*delimiter).map(str::to_owned).collect()),
            Self::Quoted(quoted) => {
                quoted.read(file)?.then(|| quoted.record.iter().map(str::to_owned).collect())
            }
        };
        let message = "the file is empty: its first line must name the columns";
        names.ok_or_else(|| Error::row(file, 1, message))
    }

    /// `pick` of the fields of the next row, which must be `width` in number, with the row's line.
    pub(super) fn row<T>(
        &mut self,
        file: &str,
        width: usize,
        pick: impl Fn(&[&str]) -> T,
    ) -> Result<Option<(u64, Fields<T>)>> {
        let columns = |count: usize| format!("{count} columns instead of {width}");
        match self {
            Self::Plain { lines, delimiter } => {
                // In a table of one column, an empty line is an empty field.
                let line = if width == 1 { lines.any(file)? } else { lines.row(file)? };
                let Some((line, text)) = line else { return Ok(None) };
                let fields: Vec<&str> = text.split(*delimiter).collect();
                Ok(Some((
                    line,
                    match fields.len() {
                        count if count == width => Ok(pick(&fields)),
                        _ if text.is_empty() => Err(EMPTY_LINE.to_owned()),
                        count if text.contains('"') => Err(format!(
                            "{}; if fields are enclosed in quotation marks, set quoting to \"double-quotes\" (files.quoting in task.toml, --quoting of electra predict)",
                            columns(count)
                        )),
                        count => Err(columns(count)),
                    },
                )))
            }
            Self::Quoted(quoted) => {
                if !quoted.read(file)? {
                    return Ok(None);
                }
                let (line, last) = (quoted.line, quoted.last_line());
                let fields: Vec<&str> = quoted.record.iter().collect();
                Ok(Some((
                    line,
                    match fields.len() {
                        count if count == width => Ok(pick(&fields)),
                        count if last > line => Err(format!(
                            "{}; the row ends in line {last}: a quotation mark may be missing, or set quoting to \"none\"",
                            columns(count)
                        )),
                        count => Err(columns(count)),
                    },
                )))
            }
        }
    }
}

/// Records whose fields may be enclosed in quotation marks.
pub(super) struct Quoted {
    reader: csv::Reader<Take<Watched>>,
    /// The last record that was read.
    record: csv::StringRecord,
    /// Its first line.
    line: u64,
}

impl Quoted {
    fn new(bytes: Bytes, delimiter: Delimiter) -> Self {
        let mut options = csv::ReaderBuilder::new();
        options.has_headers(false).flexible(true).delimiter(delimiter.byte());
        let reader = options.from_reader(Watched::new(bytes).take(LONGEST_LINE));
        Self { reader, record: csv::StringRecord::new(), line: 0 }
    }

    /// Reads the next record; false at the end.
    fn read(&mut self, file: &str) -> Result<bool> {
        let start = self.reader.position().byte();
        self.reader.get_mut().set_limit(LONGEST_LINE);
        let found = self.reader.read_record(&mut self.record);
        let limit = self.reader.get_ref().limit();
        let watched = self.reader.get_mut().get_mut();
        self.line = watched.line(start);
        let fail = |message: String| Err(Error::row(file, self.line, message));
        match found {
            _ if limit == 0 => fail(format!(
                "a row longer than {LONGEST_LINE} bytes; a closing quotation mark may be missing"
            )),
            Ok(true) if watched.is_open(self.record.iter().next_back().unwrap_or_default()) => fail(
                "the quotation mark of the last field is not closed before the end of the file; if quotation marks are \
                 characters, set quoting to \"none\""
                    .to_owned(),
            ),
            Ok(found) => Ok(found),
            Err(error) => fail(match error.kind() {
                csv::ErrorKind::Utf8 { err, .. } => format!(
                    "not UTF-8: column {} after {} bytes; convert the file, for instance with iconv",
                    err.field() + 1,
                    err.valid_up_to()
                ),
                _ => error.to_string(),
            }),
        }
    }

    /// The last line of the record.
    fn last_line(&self) -> u64 {
        self.line + self.record.as_slice().matches('\n').count() as u64
    }
}

/// Bytes, watched for line breaks and the end: the reader of records counts neither `\r\n` nor empty lines right.
struct Watched {
    bytes: Bytes,
    /// The number of bytes so far, and whether there are no more.
    count: u64,
    ended: bool,
    /// The last byte that is not a line break.
    last: u8,
    /// The places of line breaks that are not counted in `line` yet, with their bytes.
    breaks: VecDeque<(u64, u8)>,
    line: u64,
}

impl Watched {
    fn new(bytes: Bytes) -> Self {
        Self { bytes, count: 0, ended: false, last: b'"', breaks: VecDeque::new(), line: 1 }
    }

    /// The line of the first byte at or after `start` that is not a line break. `start` must not be less than before.
    fn line(&mut self, start: u64) -> u64 {
        let mut at = start;
        while let Some(&(place, byte)) = self.breaks.front().filter(|(place, _)| *place <= at) {
            at = at.max(place + 1);
            self.line += u64::from(byte == b'\n');
            self.breaks.pop_front();
        }
        self.line
    }

    /// Whether a field at the end lacks its closing quotation mark: it has a line break, so it is quoted, but the last
    /// character is another one.
    fn is_open(&self, field: &str) -> bool {
        self.ended && self.last != b'"' && field.contains('\n')
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.ended = count == 0 && !buffer.is_empty();
        for (place, &byte) in (self.count..).zip(&buffer[..count]) {
            match byte {
                b'\n' | b'\r' => self.breaks.push_back((place, byte)),
                _ => self.last = byte,
            }
        }
        self.count += count as u64;
        Ok(count)
    }
}
