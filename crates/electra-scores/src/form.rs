//! Rows of a task's tables, for any kind of labels: which are read, which are left out, which are errors.

use crate::{
    error::{Error, Result},
    files::{Files, Pairs},
    left_out::LeftOut,
    table::{Row, Rows},
};
use std::path::Path;

/// Which columns a task reads, and which rows it may leave out.
#[derive(Debug)]
pub struct Form<'a> {
    /// Columns of the texts.
    pub texts: Vec<&'a str>,
    /// Columns of the labels; their fields come after those of the texts.
    pub labels: LabelColumns<'a>,
    /// The largest fraction of a file's rows that may be left out because they are malformed.
    pub unusable_rows: f64,
    /// Whether the order of a pair's texts matters.
    pub pairs: Pairs,
    /// The files.
    pub files: &'a Files,
}

/// The columns of a row's label or labels.
#[derive(Clone, Debug)]
pub enum LabelColumns<'a> {
    /// One label, which must not be empty.
    One {
        /// Its column.
        column: &'a str,
        /// The label of rows without a gold label, which are left out.
        no_label: Option<&'a str>,
    },
    /// A set of labels in one column, which may be a JSON list.
    Set {
        /// The column.
        column: &'a str,
        /// The separator of the labels.
        separator: &'a str,
    },
    /// A column for each label.
    Flags(Vec<&'a str>),
}

impl<'a> LabelColumns<'a> {
    fn names(&self) -> Vec<&'a str> {
        match self {
            Self::One { column, .. } | Self::Set { column, .. } => vec![column],
            Self::Flags(columns) => columns.clone(),
        }
    }

    /// Whether a row has a gold label, or why it cannot be used.
    fn is_labeled(&self, row: &Row) -> std::result::Result<bool, String> {
        let Self::One { column, no_label } = self else { return Ok(true) };
        let label = row.fields.last().map(String::as_str).unwrap_or_default();
        let is_empty = label.trim().is_empty();
        match no_label {
            Some(none) if label == *none || (is_empty && none.is_empty()) => Ok(false),
            _ if is_empty => Err(format!(
                "the label in column {column:?} is empty; to leave out rows without a label, set no_label = \"\" in \
                 task.toml, or use --set task.no_label="
            )),
            _ => Ok(true),
        }
    }
}

/// The rows of a file that can be used, and those that are left out.
#[derive(Debug)]
pub struct Read {
    /// The usable rows, their labels after their texts.
    pub rows: Vec<Row>,
    /// The other rows.
    pub left_out: Option<LeftOut>,
}

/// The rows of a file by whether they can be used.
#[derive(Debug, Default)]
struct Selected {
    /// All rows of the file in order; `None` for those that are left out.
    rows: Vec<Option<Row>>,
    /// Why rows cannot be used.
    unusable: Vec<Error>,
    /// The rows without a gold label, as messages.
    unlabeled: Vec<Error>,
}

impl Form<'_> {
    /// Checks that the keys are consistent.
    ///
    /// # Errors
    /// Naming the first key that is not.
    pub fn validate(&self) -> Result<()> {
        if self.pairs == Pairs::Unordered && self.texts.len() < 2 {
            return Err(Error::value("pairs", "unordered", "there is no second text: set text_b"));
        }
        if !(0.0..1.0).contains(&self.unusable_rows) {
            let expected = "must be at least 0 and below 1";
            return Err(Error::value("unusable_rows", self.unusable_rows, expected));
        }
        if let Some(columns) = &self.files.columns {
            let mut wanted = self.texts.iter().copied().chain(self.labels.names());
            if let Some(column) =
                wanted.find(|&wanted| !columns.iter().any(|known| known == wanted))
            {
                let expected = format!("must include the column {column:?}, which the task reads");
                return Err(Error::value("files.columns", format!("{columns:?}"), expected));
            }
        }
        Ok(())
    }

    /// Opens a file and finds `columns` in its header.
    ///
    /// # Errors
    /// Naming the file that cannot be read or lacks a column.
    pub fn open(&self, path: &Path, columns: &[&str]) -> Result<Rows> {
        let rows = Rows::open_with(path, self.files.layout(path)?, columns)?;
        Ok(match self.labels {
            LabelColumns::One { column, .. } => rows.with_label(column, None),
            LabelColumns::Set { column, separator } => rows.with_label(column, Some(separator)),
            LabelColumns::Flags(_) => rows,
        })
    }

    /// The rows that can be used. The others are logged and listed.
    ///
    /// # Errors
    /// Naming file, line and column of the first row that cannot be used, if none or too many may be left out; or
    /// if no row remains.
    pub fn rows(&self, path: &Path) -> Result<Read> {
        let Selected { rows, unusable, unlabeled } = self.select(path, &self.texts)?;
        let rows: Vec<Row> = rows.into_iter().flatten().collect();
        if rows.is_empty() {
            return Err(Error::file(path, "the file has no rows"));
        }
        if !unlabeled.is_empty() {
            let (path, count) = (path.display(), unlabeled.len());
            tracing::warn!("{path}: {count} rows have no gold label and are left out");
        }
        let named = unusable.iter().chain(&unlabeled).map(Error::to_string);
        Ok(Read { rows, left_out: LeftOut::of(path, named.collect()) })
    }

    /// `parse` applied to the labels of each row of a labeled file; `None` for the rows that are left out. Texts are
    /// not read.
    ///
    /// # Errors
    /// Naming file and line of the first row that cannot be used, if none or too many may be left out; or if no row
    /// remains.
    pub fn gold<T>(
        &self,
        path: &Path,
        parse: impl Fn(&Row) -> Result<T>,
    ) -> Result<Vec<Option<T>>> {
        let rows = self.select(path, &[])?.rows;
        if rows.iter().all(Option::is_none) {
            return Err(Error::file(path, "the file has no labeled row"));
        }
        rows.iter().map(|row| row.as_ref().map(&parse).transpose()).collect()
    }

    /// Reads the columns `texts` and those of the labels, and tells apart the rows that can be used, cannot be used and
    /// have no gold label.
    fn select(&self, path: &Path, texts: &[&str]) -> Result<Selected> {
        let columns: Vec<&str> = texts.iter().copied().chain(self.labels.names()).collect();
        let mut reader = self.open(path, &columns)?;
        let fail = |line, message| Error::row(&path.display().to_string(), line, message);
        let mut selected = Selected::default();
        while let Some(row) = reader.read()? {
            let row = row.and_then(|row| match empty_text(texts, &row) {
                None => Ok(row),
                Some(column) => {
                    Err(fail(row.line, format!("the text in column {column:?} is empty")))
                }
            });
            let row = row.and_then(|row| match self.labels.is_labeled(&row) {
                Ok(is_labeled) => Ok((row, is_labeled)),
                Err(message) => Err(fail(row.line, message)),
            });
            let usable = match row {
                Ok((row, true)) => Some(row),
                Ok((row, false)) => {
                    let label = row.fields.last().map(String::as_str).unwrap_or_default();
                    let message = format!("the label {label:?} means that there is no gold label");
                    selected.unlabeled.push(fail(row.line, message));
                    None
                }
                Err(error) if self.unusable_rows == 0.0 => return Err(error),
                Err(error) => {
                    selected.unusable.push(error);
                    None
                }
            };
            selected.rows.push(usable);
        }
        self.check_unusable(path, &selected.unusable, selected.rows.len())?;
        Ok(selected)
    }

    /// The numbers of the rows that are left out because a text is empty; none if `unusable_rows` is 0.
    pub fn without_text(&self, path: &Path) -> Vec<usize> {
        // A labeled file may lack the texts, or have them in other columns.
        let reader = self.open(path, &self.texts).ok().filter(|_| self.unusable_rows > 0.0);
        let Some(mut reader) = reader else { return Vec::new() };
        let mut found = Vec::new();
        while let Ok(Some(row)) = reader.read() {
            let empty = row.ok().filter(|row| empty_text(&self.texts, row).is_some());
            found.extend(empty.map(|row| row.index));
        }
        found
    }

    /// Logs the rows that cannot be used; too many of them among `all` are an error.
    fn check_unusable(&self, path: &Path, unusable: &[Error], all: usize) -> Result<()> {
        let Some(first) = unusable.first() else { return Ok(()) };
        let (count, allowed) = (unusable.len(), self.unusable_rows);
        if count as f64 > allowed * all as f64 {
            let message = format!(
                "{count} of {all} rows cannot be used, and the key unusable_rows allows a fraction of {allowed}; the first: {first}"
            );
            return Err(Error::file(path, message));
        }
        for error in unusable.iter().take(LeftOut::NAMED) {
            tracing::warn!("left out: {error}");
        }
        let (path, more) = (path.display(), count.saturating_sub(LeftOut::NAMED));
        tracing::warn!(
            "{path}: {count} of {all} rows are left out; {more} of them are not listed here"
        );
        Ok(())
    }
}

/// The column of a row's first text that is empty; the fields of `texts` are the first of the row.
fn empty_text<'a>(texts: &[&'a str], row: &Row) -> Option<&'a str> {
    let mut texts = texts.iter().zip(&row.fields);
    texts.find(|(_, text)| text.trim().is_empty()).map(|(column, _)| *column)
}
