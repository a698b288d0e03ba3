//! Lines of UTF-8 text files, with their numbers.

use crate::error::{Error, Result};
use std::{
    io::{BufRead, BufReader, Read},
    iter,
    string::FromUtf8Error,
};

/// The longest line of a TSV or JSON lines file, and the longest row of a CSV file, in bytes. A longer one means that
/// the file is not a table.
pub const LONGEST_LINE: u64 = 64 << 20;

/// The message for an empty line that is not a row.
pub(crate) const EMPTY_LINE: &str = "an empty line in the middle of the file";

/// A source of bytes.
pub(crate) type Bytes = Box<dyn Read + Send>;

/// Lines of UTF-8 without their ends (`\n` or `\r\n`), of at most [`LONGEST_LINE`] bytes. A byte-order mark is skipped.
///
/// ```
/// use electra_scores::Lines;
///
/// let mut lines = Lines::from_reader("one\n\nthree".as_bytes());
/// assert_eq!(lines.any("words.txt")?, Some((1, "one")));
/// assert_eq!(lines.any("words.txt")?, Some((2, "")));
/// assert_eq!(lines.any("words.txt")?, Some((3, "three")));
/// assert_eq!(lines.any("words.txt")?, None);
/// # Ok::<(), electra_scores::Error>(())
/// ```
pub struct Lines {
    reader: BufReader<Bytes>,
    /// The last line that was read.
    text: String,
    /// Its number, from 1.
    line: u64,
    /// Bytes up to its end.
    offset: u64,
    /// How many lines [`Lines::row`] has read and not returned yet: `text`, and empty lines before it.
    pending: u64,
}

impl Lines {
    /// The lines of any bytes.
    pub fn from_reader(reader: impl Read + Send + 'static) -> Self {
        Self::new(Box::new(reader))
    }

    pub(crate) fn new(bytes: Bytes) -> Self {
        let reader = BufReader::with_capacity(64 * 1024, bytes);
        Self { reader, text: String::new(), line: 0, offset: 0, pending: 0 }
    }

    /// The next line, which may be empty, with its number, from 1; `None` at the end. Errors name the file as `file`.
    ///
    /// # Errors
    /// A line that is too long or not UTF-8, by its number; or the error of the reader.
    pub fn any(&mut self, file: &str) -> Result<Option<(u64, &str)>> {
        Ok(self.read(file)?.then_some((self.line, &self.text)))
    }

    /// The remaining lines, empty ones too, with their numbers, from 1. Errors name the file as `file`, and a line that is
    /// too long or not UTF-8 by its number.
    pub fn numbered(mut self, file: &str) -> impl Iterator<Item = Result<(u64, String)>> {
        let file = file.to_owned();
        iter::from_fn(move || {
            self.any(&file).map(|line| line.map(|(line, text)| (line, text.to_owned()))).transpose()
        })
    }

    /// Reads the next line into `text`; false at the end.
    fn read(&mut self, file: &str) -> Result<bool> {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        bytes.clear();
        let mut limited = (&mut self.reader).take(LONGEST_LINE);
        let count = limited
            .read_until(b'\n', &mut bytes)
            .map_err(|error| Error::row(file, self.line + 1, error))?;
        if count == 0 {
            return Ok(false);
        }
        self.line += 1;
        if count as u64 == LONGEST_LINE && !bytes.ends_with(b"\n") {
            let message =
                format!("a line longer than {LONGEST_LINE} bytes; this may not be a table");
            return Err(Error::row(file, self.line, message));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            Error::row(file, self.line, not_utf8(&error, self.offset, self.line))
        })?;
        self.text = match text.strip_prefix('\u{feff}').filter(|_| self.offset == 0) {
            Some(rest) => rest.to_owned(),
            None => text,
        };
        self.offset += count as u64;
        for end in ['\n', '\r'] {
            if self.text.ends_with(end) {
                self.text.pop();
            }
        }
        Ok(true)
    }

    /// The next line with its number. Empty lines at the end of the file are skipped.
    pub(crate) fn row(&mut self, file: &str) -> Result<Option<(u64, &str)>> {
        while self.pending == 0 || self.text.is_empty() {
            if !self.read(file)? {
                self.pending = 0;
                return Ok(None);
            }
            self.pending += 1;
        }
        self.pending -= 1;
        let text = if self.pending == 0 { self.text.as_str() } else { "" };
        Ok(Some((self.line - self.pending, text)))
    }

    /// [`Lines::row`] of a file in which an empty line before the end is an error.
    pub(crate) fn next(&mut self, file: &str) -> Result<Option<(u64, &str)>> {
        match self.row(file)? {
            Some((line, "")) => Err(Error::row(file, line, EMPTY_LINE)),
            found => Ok(found),
        }
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("line", &self.line).finish_non_exhaustive()
    }
}

/// The message for bytes that are not UTF-8 and start at byte `offset` of a file, in line `line`.
pub(crate) fn not_utf8(error: &FromUtf8Error, offset: u64, line: u64) -> String {
    let (valid, rest) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
    let offset = offset + valid.len() as u64;
    let line = line + valid.iter().filter(|&&byte| byte == b'\n').count() as u64;
    let byte = rest[0];
    let advice = match valid.is_empty()
        && [b"\xff\xfe", b"\xfe\xff"].contains(&&[byte, *rest.get(1).unwrap_or(&0)])
    {
        true => "it seems to be UTF-16; convert it with iconv -f UTF-16 -t UTF-8",
        false => "convert it, for instance with iconv",
    };
    format!("not UTF-8: byte {offset} of the file (line {line}) is 0x{byte:02x}; {advice}")
}
