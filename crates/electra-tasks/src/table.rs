//! Tables of named columns: TSV, CSV and JSON lines, read row by row in constant memory.
//!
//! - `.tsv`: a header, no quoting at all (GLUE's rule: a quotation mark is a character);
//! - `.csv`: a header, quoted as RFC 4180; empty lines are no rows (an empty field alone in its row is `""`);
//!   either may lack its header where the columns' names are given;
//! - `.jsonl`, `.ndjson`: one object a line; strings, numbers and truth values are fields, and lists of strings where
//!   sets are read.
//!
//! An empty line of a TSV of one column is a row whose field is empty. Elsewhere empty lines at the end of a file are no
//! rows, and one before that is a row that cannot be used.

use crate::{
    Error, Result,
    text::{NotUtf8, Utf8Reader},
};
use electra_files::nearest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fmt::{self, Display},
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

/// The longest line of a TSV or JSON lines file, and the longest row of a CSV file, in bytes: above it, the file is
/// something else.
pub const LONGEST_LINE: u64 = 64 << 20;

/// How rows are written: `tsv`, `csv` or `jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// Tab-separated with a header, no quoting.
    Tsv,
    /// Comma-separated with a header, quoted.
    Csv,
    /// A JSON object a line.
    #[serde(rename = "jsonl")]
    JsonLines,
}

impl Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tsv => "tsv",
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        })
    }
}

impl Format {
    /// The format that a file's extension names.
    ///
    /// # Errors
    /// For an extension that names none.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("tsv") => Ok(Self::Tsv),
            Some("csv") => Ok(Self::Csv),
            Some("jsonl" | "ndjson") => Ok(Self::JsonLines),
            _ => Err(Error::file(path, "the extension must be .tsv, .csv, .jsonl or .ndjson")),
        }
    }
}

/// Where the columns' names come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header<'a> {
    /// The first line (of JSON lines: each line).
    FirstLine,
    /// These are all of them, in order; the first line is a row.
    Given(&'a [String]),
}

/// A row's wanted fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number among the file's rows, from 0: those that cannot be used count.
    pub index: usize,
    /// Its (first) line in the file, from 1.
    pub line: u64,
    /// The wanted columns' values, in the order in which they were asked for.
    pub fields: Vec<String>,
}

/// The rows of a file: an iterator that holds one row at a time.
pub struct Rows {
    file: String,
    columns: Vec<String>,
    reader: Reader,
    /// The column in which a list of JSON is a field, and what then stands between its strings.
    list: Option<(String, String)>,
    /// The number of the next row.
    index: usize,
    ended: bool,
}

pub(crate) type Bytes = Utf8Reader<Box<dyn Read + Send>>;

enum Reader {
    Tsv { lines: Lines, places: Vec<usize>, width: usize },
    Csv { reader: Box<csv::Reader<Bytes>>, places: Vec<usize>, width: usize },
    JsonLines(Lines),
}

impl Rows {
    /// Opens a file and finds `columns` in its header.
    ///
    /// # Errors
    /// If the file cannot be read, is empty, or lacks a column (the nearest name is suggested).
    pub fn open(path: &Path, columns: &[&str]) -> Result<Self> {
        Self::open_with(path, Format::of(path)?, columns, Header::FirstLine)
    }

    /// [`Rows::open`] of a file of a format, whatever its extension, that may have no header.
    ///
    /// # Errors
    /// As [`Rows::open`].
    pub fn open_with(
        path: &Path,
        format: Format,
        columns: &[&str],
        header: Header<'_>,
    ) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        Self::from_reader(file, format, &path.display().to_string(), columns, header)
    }

    /// [`Rows::open`] of any bytes; `file` names them in errors.
    ///
    /// # Errors
    /// As [`Rows::open`].
    pub fn from_reader(
        reader: impl Read + Send + 'static,
        format: Format,
        file: &str,
        columns: &[&str],
        header: Header<'_>,
    ) -> Result<Self> {
        let bytes: Bytes = Utf8Reader::new(Box::new(reader));
        let given: Option<Vec<&str>> = match header {
            Header::FirstLine => None,
            Header::Given(names) => Some(names.iter().map(String::as_str).collect()),
        };
        let reader = match format {
            Format::Tsv => {
                let mut lines = Lines::new(bytes);
                let names: Vec<&str> = match given {
                    Some(names) => names,
                    None => {
                        let (_, header) = lines.next(file)?.ok_or_else(|| no_header(file))?;
                        header.split('\t').collect()
                    }
                };
                let (places, width) = (places(file, columns, &names)?, names.len());
                Reader::Tsv { lines, places, width }
            }
            Format::Csv => {
                let mut reader = csv::ReaderBuilder::new()
                    .has_headers(given.is_none())
                    .flexible(true)
                    .from_reader(bytes);
                let header;
                let names: Vec<&str> = match given {
                    Some(names) => names,
                    None => {
                        reader.get_mut().allow(LONGEST_LINE);
                        header = reader.headers().map_err(|e| csv_error(file, 0, e))?.clone();
                        header.iter().collect()
                    }
                };
                if names.is_empty() {
                    return Err(no_header(file));
                }
                let (places, width) = (places(file, columns, &names)?, names.len());
                Reader::Csv { reader: Box::new(reader), places, width }
            }
            Format::JsonLines if given.is_some() => {
                return Err(Error::file(
                    file,
                    "every line of JSON names its own columns: none can be given",
                ));
            }
            Format::JsonLines => Reader::JsonLines(Lines::new(bytes)),
        };
        let columns = columns.iter().map(|&name| name.to_owned()).collect();
        Ok(Self { file: file.to_owned(), columns, reader, list: None, index: 0, ended: false })
    }

    /// Lists of JSON are fields too in one of the columns: their strings with `separator` between them.
    pub(crate) fn joining(self, column: &str, separator: &str) -> Self {
        Self { list: Some((column.to_owned(), separator.to_owned())), ..self }
    }

    /// What errors call the file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The next row. The outer error ends the file: the place in it is not certain any more; the inner one is
    /// of a row that cannot be used, and the rows after it can.
    ///
    /// # Errors
    /// If nothing more can be read.
    pub(crate) fn read(&mut self) -> Result<Option<Result<Row>>> {
        let (file, index) = (&self.file, self.index);
        self.index += 1;
        let empty = |line| Ok(Some(Err(Error::row(file, line, EMPTY_LINE))));
        let width_error = |line, found, width| {
            let message = format!("{found} columns where there must be {width}");
            Ok(Some(Err(Error::row(file, line, message))))
        };
        match &mut self.reader {
            Reader::Tsv { lines, places, width } => {
                let line = if *width == 1 { lines.any(file)? } else { lines.row(file)? };
                let Some((line, text)) = line else { return Ok(None) };
                if text.is_empty() && *width > 1 {
                    return empty(line);
                }
                let fields: Vec<&str> = text.split('\t').collect();
                if fields.len() != *width {
                    return width_error(line, fields.len(), *width);
                }
                let fields = places.iter().map(|&i| fields[i].to_owned()).collect();
                Ok(Some(Ok(Row { index, line, fields })))
            }
            Reader::Csv { reader, places, width } => {
                let mut record = csv::StringRecord::new();
                let start = reader.position().line();
                reader.get_mut().allow(LONGEST_LINE);
                if !reader.read_record(&mut record).map_err(|e| csv_error(file, start, e))? {
                    return Ok(None);
                }
                let line = record.position().map_or(0, csv::Position::line);
                if record.len() != *width {
                    return width_error(line, record.len(), *width);
                }
                let fields = places.iter().map(|&i| record[i].to_owned()).collect();
                Ok(Some(Ok(Row { index, line, fields })))
            }
            Reader::JsonLines(lines) => {
                let Some((line, text)) = lines.row(file)? else { return Ok(None) };
                if text.is_empty() {
                    return empty(line);
                }
                let fail = |message: String| Error::row(file, line, message);
                let object: serde_json::Map<String, Value> = match serde_json::from_str(text) {
                    Ok(object) => object,
                    Err(e) => return Ok(Some(Err(fail(format!("not a JSON object: {e}"))))),
                };
                let field = |name: &String| {
                    let separator = self.list.as_ref().filter(|(column, _)| column == name);
                    match (object.get(name), separator) {
                        (None, _) => {
                            let known = nearest(name, object.keys().map(String::as_str));
                            Err(fail(format!("there is no field {name:?}{known}")))
                        }
                        (Some(Value::String(text)), _) => Ok(text.clone()),
                        (Some(value @ (Value::Number(_) | Value::Bool(_))), _) => {
                            Ok(value.to_string())
                        }
                        (Some(Value::Array(list)), Some((_, separator))) => joined(list, separator)
                            .map_err(|why| fail(format!("field {name:?} has {why}"))),
                        (Some(other), _) => {
                            let lists =
                                if separator.is_some() { " or a list of strings" } else { "" };
                            Err(fail(format!(
                                "field {name:?} is {other}: it must be a string or a number{lists}"
                            )))
                        }
                    }
                };
                let fields = self.columns.iter().map(field).collect::<Result<_>>();
                Ok(Some(fields.map(|fields| Row { index, line, fields })))
            }
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.read().transpose().map(Result::flatten);
        self.ended = !matches!(row, Some(Ok(_)));
        row
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("file", &self.file)
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

/// What is said of an empty line that is no row.
const EMPTY_LINE: &str = "an empty line in the middle of the file";

/// The strings of a list with `separator` between them, or what keeps them from being told apart again.
fn joined(list: &[Value], separator: &str) -> std::result::Result<String, String> {
    let text = |value: &Value| match value.as_str() {
        Some(text) if text.trim().is_empty() => {
            Err("an empty string in its list: a label must have a name".to_owned())
        }
        Some(text) if text.contains(separator) => Err(format!(
            "{text:?} in its list: a label must not have the separator {separator:?} in it"
        )),
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("{value} in its list: it must be of strings")),
    };
    let texts: Vec<String> = list.iter().map(text).collect::<std::result::Result<_, _>>()?;
    Ok(texts.join(separator))
}

/// Where each wanted column stands among `names`.
fn places(file: &str, columns: &[&str], names: &[&str]) -> Result<Vec<usize>> {
    let place = |column: &&str| {
        let mut found =
            names.iter().enumerate().filter(|(_, name)| name == &column).map(|(i, _)| i);
        match (found.next(), found.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => {
                Err(Error::row(file, 1, format!("column {column:?} stands twice in the header")))
            }
            _ => {
                let known = nearest(column, names.iter().copied());
                Err(Error::row(
                    file,
                    1,
                    format!("there is no column {column:?} in the header{known}"),
                ))
            }
        }
    };
    columns.iter().map(place).collect()
}

fn no_header(file: &str) -> Error {
    Error::row(file, 1, "the file is empty: its first line must name the columns")
}

fn read_error(file: &str, line: u64, error: io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<NotUtf8>()) {
        Some(bad) => Error::row(file, bad.line, bad),
        None if line == 0 => Error::Io { path: file.into(), source: error },
        None => Error::row(file, line, error),
    }
}

/// An error of the record that begins in the line `start`; 0 where that says nothing.
fn csv_error(file: &str, start: u64, error: csv::Error) -> Error {
    let line = error.position().map_or(start, csv::Position::line);
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => read_error(file, line, error),
        _ => Error::row(file, line, text),
    }
}

/// Lines without their ends.
pub(crate) struct Lines {
    reader: BufReader<Bytes>,
    text: String,
    line: u64,
    /// How many lines after the last that was handed on the one in `text` stands; those between are empty.
    empty: u64,
}

impl Lines {
    pub(crate) fn new(bytes: Bytes) -> Self {
        let reader = BufReader::with_capacity(64 * 1024, bytes);
        Self { reader, text: String::new(), line: 0, empty: 0 }
    }

    /// The next line, which may be empty, with its number, from 1; `file` names it in errors.
    pub(crate) fn any(&mut self, file: &str) -> Result<Option<(u64, &str)>> {
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
