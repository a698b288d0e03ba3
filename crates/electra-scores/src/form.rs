//! Rows of a task's tables, whatever its labels are: which are read, which are left out and named, which are errors.

use crate::{
    error::{Error, Result},
    files::{Files, Pairs},
    left_out::LeftOut,
    table::{Format, Header, Row, Rows},
};
use std::path::Path;

/// Which columns a task reads, and which rows it may leave out.
#[derive(Debug)]
pub struct Form<'a> {
    /// Columns of the texts.
    pub texts: Vec<&'a str>,
    /// Columns of the labels; their fields come after those of the texts.
    pub labels: Vec<&'a str>,
    /// The last label of rows without gold.
    pub no_label: Option<&'a str>,
    /// What separates the labels of a row, where they may be a JSON list.
    pub separator: Option<&'a str>,
    /// The largest fraction of a file's rows that may be left out because they are malformed.
    pub unusable_rows: f64,
    /// Whether the order of a pair's texts matters.
    pub pairs: Pairs,
    /// The files.
    pub files: &'a Files,
}

/// The rows of a file that can be used, and which are left out.
#[derive(Debug)]
pub struct Read {
    /// The rows, their labels after their texts.
    pub rows: Vec<Row>,
    /// The others.
    pub left_out: Option<LeftOut>,
}

impl Form<'_> {
    /// Checks that the keys fit each other.
    ///
    /// # Errors
    /// Naming the first that does not.
    pub fn validate(&self) -> Result<()> {
        if self.pairs == Pairs::Unordered && self.texts.len() < 2 {
            return Err(Error::value("pairs", "unordered", "there is no second text: set text_b"));
        }
        if !(0.0..1.0).contains(&self.unusable_rows) {
            let expected = "must be at least 0 and below 1";
            return Err(Error::value("unusable_rows", self.unusable_rows, expected));
        }
        if let Some(columns) = &self.files.columns {
            let mut wanted = self.texts.iter().chain(&self.labels);
            if let Some(column) =
                wanted.find(|&wanted| !columns.iter().any(|known| known == wanted))
            {
                let expected = format!("must name the column {column:?} that the task reads");
                return Err(Error::value("files.columns", format!("{columns:?}"), expected));
            }
        }
        Ok(())
    }

    /// The wanted columns of a file.
    ///
    /// # Errors
    /// Naming the file that cannot be read or lacks a column.
    pub fn open(&self, path: &Path, columns: &[&str]) -> Result<Rows> {
        let header = match &self.files.columns {
            Some(names) => Header::Given(names),
            None => Header::FirstLine,
        };
        let unknown = "the extension must be .tsv, .csv, .jsonl or .ndjson, or the key files.format \
                       must say what the files are";
        let format = match self.files.format {
            Some(format) => format,
            None => Format::of(path).map_err(|_| Error::file(path, unknown))?,
        };
        let rows = Rows::open_with(path, format, columns, header)?;
        Ok(match (self.separator, self.labels.last()) {
            (Some(separator), Some(column)) => rows.joining(column, separator),
            _ => rows,
        })
    }

    /// Whether the row has no gold label.
    fn is_unlabelled(&self, row: &Row) -> bool {
        self.no_label.is_some() && row.fields.last().map(String::as_str) == self.no_label
    }

    /// The rows that can be used. What is left out is named.
    ///
    /// # Errors
    /// Naming file, line and column of the first row that cannot be used, where none or too many may be left out; or
    /// if none is left.
    pub fn rows(&self, path: &Path) -> Result<Read> {
        let columns: Vec<&str> = self.texts.iter().chain(&self.labels).copied().collect();
        let mut reader = self.open(path, &columns)?;
        let (mut rows, mut unusable, mut unlabelled) = (Vec::new(), Vec::new(), Vec::new());
        let label = self.no_label.unwrap_or_default();
        while let Some(row) = reader.read()? {
            match row.and_then(|row| self.not_empty(path, row)) {
                Ok(row) if self.is_unlabelled(&row) => {
                    let message = format!("the label {label:?} means that there is no gold");
                    unlabelled.push(Error::row(&path.display().to_string(), row.line, message));
                }
                Ok(row) => rows.push(row),
                Err(error) if self.unusable_rows == 0.0 => return Err(error),
                Err(error) => unusable.push(error),
            }
        }
        self.check_unusable(path, &unusable, rows.len() + unlabelled.len())?;
        if rows.is_empty() {
            return Err(Error::file(path, "it has no rows"));
        }
        if !unlabelled.is_empty() {
            let (path, count) = (path.display(), unlabelled.len());
            tracing::warn!("{path}: {count} rows have the label {label:?}: left out");
        }
        let named = unusable.iter().chain(&unlabelled).map(Error::to_string);
        Ok(Read { rows, left_out: LeftOut::of(path, named.collect()) })
    }

    /// `parse` applied to the labels of a labelled file, row by row; `None` for the rows that are left out. Texts are
    /// not read.
    ///
    /// # Errors
    /// Naming file and line of the first row that cannot be used, where none or too many may be left out; or if none is
    /// left.
    pub fn gold<T>(
        &self,
        path: &Path,
        parse: impl Fn(&Row) -> Result<T>,
    ) -> Result<Vec<Option<T>>> {
        let mut reader = self.open(path, &self.labels)?;
        let (mut gold, mut unusable) = (Vec::new(), Vec::new());
        while let Some(row) = reader.read()? {
            match row {
                Ok(row) if self.is_unlabelled(&row) => gold.push(None),
                Ok(row) => gold.push(Some(parse(&row)?)),
                Err(error) if self.unusable_rows == 0.0 => return Err(error),
                Err(error) => {
                    unusable.push(error);
                    gold.push(None);
                }
            }
        }
        self.check_unusable(path, &unusable, gold.len() - unusable.len())?;
        match gold.iter().all(Option::is_none) {
            true => Err(Error::file(path, "it has no labelled row")),
            false => Ok(gold),
        }
    }

    /// The rows of a file that are left out because a text is empty, where such rows may be.
    pub fn without_text(&self, path: &Path) -> Vec<usize> {
        // A file whose texts cannot be read, or stand in other columns, says nothing of them.
        let reader = self.open(path, &self.texts).ok().filter(|_| self.unusable_rows > 0.0);
        let Some(mut reader) = reader else { return Vec::new() };
        let mut found = Vec::new();
        while let Ok(Some(row)) = reader.read() {
            let empty = row.ok().filter(|row| self.empty_text(row).is_some());
            found.extend(empty.map(|row| row.index));
        }
        found
    }

    /// Names the rows that cannot be used; too many of them are an error.
    fn check_unusable(&self, path: &Path, unusable: &[Error], usable: usize) -> Result<()> {
        let Some(first) = unusable.first() else { return Ok(()) };
        let (count, all) = (unusable.len(), unusable.len() + usable);
        if count as f64 > self.unusable_rows * all as f64 {
            let message = format!(
                "{count} of {all} rows cannot be used, and the key unusable_rows allows a fraction of {}; the first: {first}",
                self.unusable_rows
            );
            return Err(Error::file(path, message));
        }
        for error in unusable.iter().take(LeftOut::NAMED) {
            tracing::warn!("left out: {error}");
        }
        let (path, more) = (path.display(), count.saturating_sub(LeftOut::NAMED));
        tracing::warn!("{path}: {count} of {all} rows are left out, {more} of them not named here");
        Ok(())
    }

    fn not_empty(&self, path: &Path, row: Row) -> Result<Row> {
        match self.empty_text(&row) {
            None => Ok(row),
            Some(column) => {
                let message = format!("the text in column {column:?} is empty");
                Err(Error::row(&path.display().to_string(), row.line, message))
            }
        }
    }

    /// The column of a row's first text that is empty.
    fn empty_text(&self, row: &Row) -> Option<&str> {
        let mut texts = self.texts.iter().zip(&row.fields);
        texts.find(|(_, text)| text.trim().is_empty()).map(|(column, _)| *column)
    }
}

/// Checks that a label can be told from what separates the columns and rows of `predictions.tsv`.
///
/// # Errors
/// If it has a tab or a line break.
pub fn check_label(label: &str) -> std::result::Result<(), String> {
    match label.contains(['\t', '\n', '\r']) {
        true => Err(format!("{label:?} has a tab or a line break in it")),
        false => Ok(()),
    }
}
