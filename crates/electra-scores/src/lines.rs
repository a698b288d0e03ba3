//! Lines of text files, checked to be UTF-8, with their numbers.

use crate::{
    error::{Error, Result},
    utf8::{NotUtf8, Utf8Reader},
};
use std::io::{self, BufRead, BufReader, Read};

/// The longest line of a TSV or JSON lines file, and the longest row of a CSV file, in bytes: above it, the file is
/// something else.
pub const LONGEST_LINE: u64 = 64 << 20;

/// What is said of an empty line that is no row.
pub(crate) const EMPTY_LINE: &str = "an empty line in the middle of the file";

/// The checked bytes of a file.
pub(crate) type Bytes = Utf8Reader<Box<dyn Read + Send>>;

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
    text: String,
    line: u64,
    /// How many lines after the last that was handed on the one in `text` stands; those between are empty.
    empty: u64,
}

impl Lines {
    /// The lines of any bytes.
    pub fn from_reader(reader: impl Read + Send + 'static) -> Self {
        Self::new(Utf8Reader::new(Box::new(reader)))
    }

    pub(crate) fn new(bytes: Bytes) -> Self {
        let reader = BufReader::with_capacity(64 * 1024, bytes);
        Self { reader, text: String::new(), line: 0, empty: 0 }
    }

    /// The next line, which may be empty, with its number, from 1; `None` at the end. Errors name the file as `file`.
    ///
    /// # Errors
    /// A line that is too long or not UTF-8, by its number; or the error of the reader.
    pub fn any(&mut self, file: &str) -> Result<Option<(u64, &str)>> {
        Ok(self.read(file)?.then_some((self.line, &self.text)))
    }

    /// Reads the next line into `text`; false at the end.
    fn read(&mut self, file: &str) -> Result<bool> {
        self.text.clear();
        let mut limited = (&mut self.reader).take(LONGEST_LINE);
        let count =
            limited.read_line(&mut self.text).map_err(|e| read_error(file, self.line + 1, e))?;
        if count == 0 {
            return Ok(false);
        }
        self.line += 1;
        if count as u64 == LONGEST_LINE && !self.text.ends_with('\n') {
            let message = format!("a line longer than {LONGEST_LINE} bytes: is this a table?");
            return Err(Error::row(file, self.line, message));
        }
        let length = self.text.trim_end_matches('\n').len();
        self.text.truncate(length);
        if self.text.ends_with('\r') {
            self.text.pop();
        }
        Ok(true)
    }

    /// The next line with its number. Empty lines at the end of a file are left out.
    pub(crate) fn row(&mut self, file: &str) -> Result<Option<(u64, &str)>> {
        match self.empty {
            0 => {
                while self.read(file)? {
                    if !self.text.is_empty() {
                        let text = if self.empty > 0 { "" } else { self.text.as_str() };
                        return Ok(Some((self.line - self.empty, text)));
                    }
                    self.empty += 1;
                }
                self.empty = 0;
                Ok(None)
            }
            1 => {
                self.empty = 0;
                Ok(Some((self.line, &self.text)))
            }
            _ => {
                self.empty -= 1;
                Ok(Some((self.line - self.empty, "")))
            }
        }
    }

    /// [`Lines::row`] of a file that has no empty lines but at its end.
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

/// An error of reading a line; 0 where the line is not known.
pub(crate) fn read_error(file: &str, line: u64, error: io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<NotUtf8>()) {
        Some(bad) => Error::row(file, bad.line, bad),
        None if line == 0 => Error::Io { path: file.into(), source: error },
        None => Error::row(file, line, error),
    }
}
