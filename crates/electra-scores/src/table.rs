//! Tables of named columns: TSV, CSV and JSON, read row by row in constant memory.
//!
//! - `.tsv`: a header, no quoting (as in GLUE: a quotation mark is a character);
//! - `.csv`: a header, quoted as in RFC 4180; empty lines are skipped (a row of one empty field is `""`);
//!   both may have another [`Delimiter`] and [`Quoting`], and may lack the header if the names of the columns are given;
//! - `.jsonl`, `.ndjson`, `.json`: one object per line, or an array of objects; strings, numbers and booleans are fields,
//!   and lists of strings where sets are read.
//!
//! An empty line of an unquoted table with one column is a row with an empty field. Elsewhere, empty lines at the end of
//! a file are skipped, and an empty line before the end is a row that cannot be used.

mod delimited;
mod json;
mod layout;

use crate::{
    error::{Error, Result},
    lines::Bytes,
};
use delimited::{Delimited, Fields};
use electra_files::nearest;
use json::{JsonRows, LabelColumn};
pub use layout::{Delimiter, Format, Header, Layout, Quoting};
use std::{fmt, io::Read, path::Path};

/// The first characters of a zip file.
const ZIP: &str = "PK\u{3}\u{4}";

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
    /// The column in which JSON may have null or lists.
    label: Option<LabelColumn>,
    /// The number of the next row.
    index: usize,
    ended: bool,
}

enum Source {
    Delimited {
        rows: Delimited,
        /// The number of columns.
        width: usize,
        /// The positions of the requested columns.
        positions: Vec<usize>,
    },
    Json(JsonRows),
}

impl Rows {
    /// Opens a file and finds `columns` in its header.
    ///
    /// # Errors
    /// If the file cannot be read, is empty, or lacks a column (the nearest name is suggested).
    pub fn open(path: &Path, columns: &[&str]) -> Result<Self> {
        Self::open_with(path, Format::of(path)?, columns)
    }

    /// [`Rows::open`] with a layout that does not depend on the extension.
    ///
    /// # Errors
    /// As [`Rows::open`].
    pub fn open_with<'a>(
        path: &Path,
        layout: impl Into<Layout<'a>>,
        columns: &[&str],
    ) -> Result<Self> {
        let file = electra_files::open(path)?;
        Self::from_reader(file, layout, &path.display().to_string(), columns)
    }

    /// [`Rows::open_with`] for any bytes; `file` names them in errors.
    ///
    /// # Errors
    /// As [`Rows::open`].
    pub fn from_reader<'a>(
        reader: impl Read + Send + 'static,
        layout: impl Into<Layout<'a>>,
        file: &str,
        columns: &[&str],
    ) -> Result<Self> {
        Ok(Self {
            file: file.to_owned(),
            source: Source::new(Box::new(reader), &layout.into(), file, columns)?,
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            label: None,
            index: 0,
            ended: false,
        })
    }

    /// Accepts more than strings and numbers in one column of JSON: with a separator lists of strings, as the strings
    /// joined by it, and without one null, as an empty field.
    pub(crate) fn with_label(self, column: &str, separator: Option<&str>) -> Self {
        let separator = separator.map(str::to_owned);
        Self { label: Some(LabelColumn { name: column.to_owned(), separator }), ..self }
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

    /// The line of the next row, and its requested fields or why it cannot be used.
    fn fields(&mut self) -> Result<Option<(u64, Fields<Vec<String>>)>> {
        match &mut self.source {
            Source::Delimited { rows, width, positions } => {
                let pick = |fields: &[&str]| {
                    positions.iter().map(|&position| fields[position].to_owned()).collect()
                };
                rows.row(&self.file, *width, pick)
            }
            Source::Json(rows) => rows.row(&self.file, &self.columns, self.label.as_ref()),
        }
    }
}

impl Source {
    fn new(bytes: Bytes, layout: &Layout<'_>, file: &str, columns: &[&str]) -> Result<Self> {
        let (delimiter, quoting) = match layout.format {
            Format::Tsv => (Delimiter::TAB, Quoting::None),
            Format::Csv => (Delimiter::COMMA, Quoting::DoubleQuotes),
            Format::JsonLines | Format::Json => {
                if let Header::Given(_) = layout.header {
                    let message =
                        "JSON objects name their own columns: no column names can be given";
                    return Err(Error::file(file, message));
                }
                if layout.delimiter.is_some() || layout.quoting.is_some() {
                    let message = "JSON has no delimiter or quoting that could be set";
                    return Err(Error::file(file, message));
                }
                return Ok(Self::Json(JsonRows::new(bytes, file)?));
            }
        };
        let delimiter = layout.delimiter.unwrap_or(delimiter);
        let mut rows = Delimited::new(bytes, delimiter, layout.quoting.unwrap_or(quoting));
        let names = match layout.header {
            Header::Given(names) => names.to_vec(),
            Header::FirstLine => rows.header(file)?,
        };
        if names.first().is_some_and(|name| name.starts_with(ZIP)) {
            let message = "is not a text: an .xlsx or .ods file must be saved as .csv";
            return Err(Error::file(file, message));
        }
        let positions = positions(file, columns, &names)?;
        Ok(Self::Delimited { rows, width: names.len(), positions })
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

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("file", &self.file)
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

/// The position of each requested column among `names`.
fn positions(file: &str, columns: &[&str], names: &[String]) -> Result<Vec<usize>> {
    let position = |column: &&str| {
        let mut found = (0..names.len()).filter(|&position| names[position] == *column);
        let message = match (found.next(), found.next()) {
            (Some(position), None) => return Ok(position),
            (Some(_), Some(_)) => format!("duplicate column {column:?} in the header"),
            (None, _) => {
                let hint = divided(names)
                    .unwrap_or_else(|| nearest(column, names.iter().map(String::as_str)));
                format!("there is no column {column:?} in the header{hint}")
            }
        };
        Err(Error::row(file, 1, message))
    };
    columns.iter().map(position).collect()
}

/// A hint if the only column of a header has another delimiter in its name.
fn divided(names: &[String]) -> Option<String> {
    let [name] = names else { return None };
    let found = ['\t', ';', ',', '|'].into_iter().find(|&delimiter| name.contains(delimiter))?;
    Some(format!(
        "; it has one column, {name:?}: if {found:?} separates columns, set the delimiter (files.delimiter in task.toml, \
         --delimiter of electra predict)"
    ))
}
