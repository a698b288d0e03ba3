//! Tables of named columns: TSV, CSV and JSON lines, read row by row in constant memory.
//!
//! - `.tsv`: a header, no quoting (as in GLUE: a quotation mark is a character);
//! - `.csv`: a header, quoted as in RFC 4180; empty lines are skipped (a row of one empty field is `""`);
//!   both may lack the header if the names of the columns are given;
//! - `.jsonl`, `.ndjson`: one object per line; strings, numbers and booleans are fields, and lists of strings where
//!   sets are read.
//!
//! An empty line of a TSV with one column is a row with an empty field. Elsewhere, empty lines at the end of a file are
//! skipped, and an empty line before the end is a row that cannot be used.

use crate::{
    error::{Error, Result},
    lines::{Bytes, EMPTY_LINE, LONGEST_LINE, Lines},
};
use electra_files::nearest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fmt::{self, Display},
    fs::File,
    io::{Read, Take},
    path::Path,
};

/// How rows are written: `tsv`, `csv` or `jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Format {
    /// Tab-separated with a header, no quoting.
    Tsv,
    /// Comma-separated with a header, quoted.
    Csv,
    /// A JSON object per line.
    #[serde(rename = "jsonl")]
    #[cfg_attr(feature = "clap", value(name = "jsonl"))]
    JsonLines,
}

impl Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Format {
    /// The format that a file's extension names.
    ///
    /// # Errors
    /// For another extension.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("tsv") => Ok(Self::Tsv),
            Some("csv") => Ok(Self::Csv),
            Some("jsonl" | "ndjson") => Ok(Self::JsonLines),
            _ => Err(Error::file(path, "the extension must be .tsv, .csv, .jsonl or .ndjson")),
        }
    }
}

/// Where the names of the columns come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header<'a> {
    /// The first line (of JSON lines: each line).
    FirstLine,
    /// All columns in order; the first line is a row.
    Given(&'a [String]),
}

/// The requested fields of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The row's number in the file, from 0. Rows that cannot be used are counted.
    pub index: usize,
    /// The row's (first) line in the file, from 1.
    pub line: u64,
    /// The values of the requested columns, in the order of the request.
    pub fields: Vec<String>,
}

/// The rows of a file: an iterator that holds one row at a time.
pub struct Rows {
    file: String,
    source: Source,
    /// The requested columns.
    columns: Vec<String>,
    /// The positions of the requested columns in a row; empty for JSON lines.
    positions: Vec<usize>,
    /// The number of columns in the header; 0 for JSON lines.
    width: usize,
    /// The column in which a JSON list of strings is a field too, and the separator that joins the strings.
    list: Option<(String, String)>,
    /// The number of the next row.
    index: usize,
    ended: bool,
}

/// A row that was read: its line, and its requested fields or why it cannot be used.
type RawRow = (u64, std::result::Result<Vec<String>, String>);

enum Source {
    Tsv(Lines),
    Csv(Box<csv::Reader<Take<Bytes>>>),
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

    /// [`Rows::open`] with a format that does not depend on the extension; the file may have no header.
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

    /// [`Rows::open`] for any bytes; `file` names them in errors.
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
        let bytes: Bytes = Box::new(reader);
        let mut source = match format {
            Format::Tsv => Source::Tsv(Lines::new(bytes)),
            Format::Csv => {
                let mut options = csv::ReaderBuilder::new();
                options.has_headers(false).flexible(true);
                Source::Csv(Box::new(options.from_reader(bytes.take(LONGEST_LINE))))
            }
            Format::JsonLines => Source::JsonLines(Lines::new(bytes)),
        };
        let names = match (header, format) {
            (Header::Given(_), Format::JsonLines) => {
                let message = "JSON lines name their own columns: no column names can be given";
                return Err(Error::file(file, message));
            }
            (Header::Given(names), _) => names.to_vec(),
            (Header::FirstLine, _) => source.header(file)?,
        };
        let positions = match format {
            Format::JsonLines => Vec::new(),
            Format::Tsv | Format::Csv => positions(file, columns, &names)?,
        };
        Ok(Self {
            file: file.to_owned(),
            source,
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            positions,
            width: names.len(),
            list: None,
            index: 0,
            ended: false,
        })
    }

    /// Accepts JSON lists of strings in one column; a field is the strings joined by `separator`.
    pub(crate) fn joining(self, column: &str, separator: &str) -> Self {
        Self { list: Some((column.to_owned(), separator.to_owned())), ..self }
    }

    /// The file's name in errors.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The next row. After an outer error nothing more can be read; an inner error is about a row that cannot be used,
    /// and the rows after it can be read.
    ///
    /// # Errors
    /// If nothing more can be read.
    pub(crate) fn read(&mut self) -> Result<Option<Result<Row>>> {
        let Some((line, fields)) = self.fields()? else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        Ok(Some(match fields {
            Ok(fields) => Ok(Row { index, line, fields }),
            Err(message) => Err(Error::row(&self.file, line, message)),
        }))
    }

    fn fields(&mut self) -> Result<Option<RawRow>> {
        let file = &self.file;
        let pick = |fields: &[&str]| match fields.len() == self.width {
            true => {
                Ok(self.positions.iter().map(|&position| fields[position].to_owned()).collect())
            }
            false => Err(format!("{} columns instead of {}", fields.len(), self.width)),
        };
        match &mut self.source {
            Source::Tsv(lines) => {
                let line = if self.width == 1 { lines.any(file)? } else { lines.row(file)? };
                Ok(line.map(|(line, text)| match text.is_empty() && self.width > 1 {
                    true => (line, Err(EMPTY_LINE.to_owned())),
                    false => (line, pick(&text.split('\t').collect::<Vec<_>>())),
                }))
            }
            Source::Csv(reader) => Ok(csv_record(reader, file)?
                .map(|(line, record)| (line, pick(&record.iter().collect::<Vec<_>>())))),
            Source::JsonLines(lines) => Ok(lines.row(file)?.map(|(line, text)| match text {
                "" => (line, Err(EMPTY_LINE.to_owned())),
                text => (line, json_fields(text, &self.columns, self.list.as_ref())),
            })),
        }
    }
}

impl Source {
    /// The names of the columns in the first line; none for JSON lines.
    fn header(&mut self, file: &str) -> Result<Vec<String>> {
        let names = match self {
            Self::Tsv(lines) => {
                lines.next(file)?.map(|(_, text)| text.split('\t').map(str::to_owned).collect())
            }
            Self::Csv(reader) => csv_record(reader, file)?
                .map(|(_, record)| record.iter().map(str::to_owned).collect()),
            Self::JsonLines(_) => Some(Vec::new()),
        };
        let message = "the file is empty: its first line must name the columns";
        names.ok_or_else(|| Error::row(file, 1, message))
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

/// The values of `columns` in a JSON object; in the column of `list` also lists of strings, joined by the separator.
fn json_fields(
    text: &str,
    columns: &[String],
    list: Option<&(String, String)>,
) -> std::result::Result<Vec<String>, String> {
    let object: serde_json::Map<String, Value> =
        serde_json::from_str(text).map_err(|e| format!("not a JSON object: {e}"))?;
    let field = |name: &String| {
        let separator = list.filter(|(column, _)| column == name).map(|(_, separator)| separator);
        match (object.get(name), separator) {
            (None, _) => {
                let known = nearest(name, object.keys().map(String::as_str));
                Err(format!("there is no field {name:?}{known}"))
            }
            (Some(Value::String(text)), _) => Ok(text.clone()),
            (Some(value @ (Value::Number(_) | Value::Bool(_))), _) => Ok(value.to_string()),
            (Some(Value::Array(values)), Some(separator)) => {
                joined(values, separator).map_err(|why| format!("field {name:?}: {why}"))
            }
            (Some(other), _) => {
                let lists = if separator.is_some() { " or a list of strings" } else { "" };
                Err(format!("field {name:?} is {other}: it must be a string or a number{lists}"))
            }
        }
    };
    columns.iter().map(field).collect()
}

/// The strings of a list joined by `separator`, or why they could not be split again.
fn joined(list: &[Value], separator: &str) -> std::result::Result<String, String> {
    let text = |value: &Value| match value.as_str() {
        Some(text) if text.trim().is_empty() => {
            Err("the list has an empty string: a label must have a name".to_owned())
        }
        Some(text) if text.contains(separator) => {
            Err(format!("{text:?} in the list contains the separator {separator:?}"))
        }
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("{value} in the list is not a string")),
    };
    let texts: Vec<String> = list.iter().map(text).collect::<std::result::Result<_, _>>()?;
    Ok(texts.join(separator))
}

/// The position of each requested column among `names`.
fn positions(file: &str, columns: &[&str], names: &[String]) -> Result<Vec<usize>> {
    let position = |column: &&str| {
        let mut found = (0..names.len()).filter(|&position| names[position] == *column);
        let message = match (found.next(), found.next()) {
            (Some(position), None) => return Ok(position),
            (Some(_), Some(_)) => format!("duplicate column {column:?} in the header"),
            (None, _) => {
                let known = nearest(column, names.iter().map(String::as_str));
                format!("there is no column {column:?} in the header{known}")
            }
        };
        Err(Error::row(file, 1, message))
    };
    columns.iter().map(position).collect()
}

/// The next record of a CSV file, with its line.
fn csv_record(
    reader: &mut csv::Reader<Take<Bytes>>,
    file: &str,
) -> Result<Option<(u64, csv::StringRecord)>> {
    let mut record = csv::StringRecord::new();
    let start = reader.position().line();
    reader.get_mut().set_limit(LONGEST_LINE);
    let found = reader.read_record(&mut record);
    if reader.get_ref().limit() == 0 {
        let message = format!(
            "a row longer than {LONGEST_LINE} bytes; a closing quotation mark may be missing"
        );
        return Err(Error::row(file, start, message));
    }
    let found = found.map_err(|error| {
        let message = match error.kind() {
            csv::ErrorKind::Utf8 { err, .. } => format!(
                "not UTF-8: column {} after {} bytes; convert the file, for instance with iconv",
                err.field() + 1,
                err.valid_up_to()
            ),
            _ => error.to_string(),
        };
        Error::row(file, error.position().map_or(start, csv::Position::line), message)
    })?;
    let line = record.position().map_or(start, csv::Position::line);
    Ok(found.then_some((line, record)))
}
