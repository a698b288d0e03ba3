//! Rows of a task's tables, whatever its answers are: what is read, what is left out and said, what is an error.

use crate::{
    Error, Result,
    report::LeftOut,
    scored::Scored,
    table::{Format, Header, Row, Rows},
    task::{Dataset, Example, Files, Pairs},
};
use std::path::Path;

/// Which columns a task reads, and which rows it may leave out.
#[derive(Debug)]
pub(crate) struct Form<'a> {
    /// Columns of the texts.
    pub(crate) texts: Vec<&'a str>,
    /// Columns of the answer; their fields stand behind those of the texts.
    pub(crate) answer: Vec<&'a str>,
    /// What the last of them has where a row has no answer.
    pub(crate) no_label: Option<&'a str>,
    /// Where the answer may be a list of JSON, what stands between its strings then.
    pub(crate) separator: Option<&'a str>,
    /// Largest share of a file's rows that may be left out because they cannot be used.
    pub(crate) unusable_rows: f64,
    /// Whether the texts of a pair may change places.
    pub(crate) pairs: Pairs,
    /// The files.
    pub(crate) files: &'a Files,
}

/// The rows of a file that can be used, and what is said of the others.
pub(crate) struct Read {
    pub(crate) rows: Vec<Row>,
    pub(crate) left_out: Option<LeftOut>,
}

impl Form<'_> {
    /// Checks that the keys fit each other.
    ///
    /// # Errors
    /// Naming the first that does not.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.pairs == Pairs::Unordered && self.texts.len() < 2 {
            return Err(Error::value("pairs", "unordered", "there is no second text: give text_b"));
        }
        if !(0.0..1.0).contains(&self.unusable_rows) {
            let expected = "must be a share from 0 up to, not including, 1";
            return Err(Error::value("unusable_rows", self.unusable_rows, expected));
        }
        if let Some(columns) = &self.files.columns {
            let mut wanted = self.texts.iter().chain(&self.answer);
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
    pub(crate) fn open(&self, path: &Path, columns: &[&str]) -> Result<Rows> {
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
        Ok(match (self.separator, self.answer.last()) {
            (Some(separator), Some(column)) => rows.joining(column, separator),
            _ => rows,
        })
    }

    /// Whether the row has no answer.
    pub(crate) fn is_unlabelled(&self, row: &Row) -> bool {
        self.no_label.is_some() && row.fields.last().map(String::as_str) == self.no_label
    }

    /// The rows that can be used. What is left out is named.
    pub(crate) fn rows(&self, path: &Path) -> Result<Read> {
        let columns: Vec<&str> = self.texts.iter().chain(&self.answer).copied().collect();
        let mut reader = self.open(path, &columns)?;
        let (mut rows, mut unusable, mut unlabelled) = (Vec::new(), Vec::new(), Vec::new());
        let label = self.no_label.unwrap_or_default();
        while let Some(row) = reader.read()? {
            match row.and_then(|row| self.not_empty(path, row)) {
                Ok(row) if self.is_unlabelled(&row) => {
                    let message = format!("the label {label:?} is no answer");
                    unlabelled.push(Error::row(&path.display().to_string(), row.line, message));
                }
                Ok(row) => rows.push(row),
                Err(error) if self.unusable_rows == 0.0 => return Err(error),
                Err(error) => unusable.push(error),
            }
        }
        self.check_unusable(path, &unusable, rows.len() + unlabelled.len())?;
        if rows.is_empty() {
            return Err(Error::file(path, "there is no row in it"));
        }
        if !unlabelled.is_empty() {
            let (path, count) = (path.display(), unlabelled.len());
            tracing::warn!("{path}: {count} rows have the label {label:?}: left out");
        }
        let named = unusable.iter().chain(&unlabelled).map(Error::to_string);
        Ok(Read { rows, left_out: LeftOut::of(path, named.collect()) })
    }

    /// What `answer` makes of the answers of a labelled file, row by row; `None` for the rows that are left out. Texts
    /// are not looked at.
    ///
    /// # Errors
    /// Naming file and line of the first row that cannot be used, where none or too many may be left out; or if none is
    /// left.
    pub(crate) fn gold<T>(
        &self,
        path: &Path,
        answer: impl Fn(&Row) -> Result<T>,
    ) -> Result<Vec<Option<T>>> {
        let mut reader = self.open(path, &self.answer)?;
        let (mut gold, mut unusable) = (Vec::new(), Vec::new());
        while let Some(row) = reader.read()? {
            match row {
                Ok(row) if self.is_unlabelled(&row) => gold.push(None),
                Ok(row) => gold.push(Some(answer(&row)?)),
                Err(error) if self.unusable_rows == 0.0 => return Err(error),
                Err(error) => {
                    unusable.push(error);
                    gold.push(None);
                }
            }
        }
        self.check_unusable(path, &unusable, gold.len() - unusable.len())?;
        match gold.iter().all(Option::is_none) {
            true => Err(Error::file(path, "there is no labelled row in it")),
            false => Ok(gold),
        }
    }

    /// The rows of a file that are left out because a text is empty, where such rows may be.
    pub(crate) fn without_text(&self, path: &Path) -> Vec<usize> {
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
                "{count} of {all} rows cannot be used, and the key unusable_rows allows a share of {}; the first: {first}",
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

/// A task whose inputs are texts or pairs of texts in rows of tables.
pub(crate) trait TextTask {
    /// Which answers there can be.
    type Space;
    /// The answer of a row.
    type Target: Clone;

    /// What is read.
    fn form(&self) -> Form<'_>;

    /// Which answers there can be, by the description and the rows of the training file.
    fn space(&self, path: &Path, rows: &[Row]) -> Result<Self::Space>;

    /// The answer of a row, from the fields behind its texts.
    fn target(&self, path: &Path, row: &Row, space: &Self::Space) -> Result<Self::Target>;

    /// Checks the rows of a file that is scored against what is learned from.
    fn check_scored(
        &self,
        _path: &Path,
        _rows: &[Row],
        _space: &Self::Space,
        _train: &[Example<Self::Target>],
    ) -> Result<()> {
        Ok(())
    }
}

/// Every file of a task below `data`.
///
/// # Errors
/// Naming file, line and column of the first row that cannot be used, or the file that is empty.
pub(crate) fn dataset<T: TextTask>(task: &T, data: &Path) -> Result<Dataset<T::Space, T::Target>> {
    let form = task.form();
    let path = data.join(&form.files.train);
    let Read { rows, left_out } = form.rows(&path)?;
    let mut left_out: Vec<LeftOut> = left_out.into_iter().collect();
    let space = task.space(&path, &rows)?;
    let mut train = examples(task, &path, rows, &space)?;
    if form.pairs == Pairs::Unordered {
        let swapped: Vec<_> = train.iter().map(Example::swapped).collect();
        train.extend(swapped);
    }
    let scored = Scored::read(form.files, data, |path| {
        let read = form.rows(path)?;
        left_out.extend(read.left_out);
        task.check_scored(path, &read.rows, &space, &train)?;
        examples(task, path, read.rows, &space)
    })?;
    Ok(Dataset { answers: space, train, scored, left_out })
}

/// Rows as examples.
pub(crate) fn examples<T: TextTask>(
    task: &T,
    path: &Path,
    rows: Vec<Row>,
    space: &T::Space,
) -> Result<Vec<Example<T::Target>>> {
    let pair = task.form().texts.len() > 1;
    let example = |row: Row| {
        let (target, index) = (task.target(path, &row, space)?, row.index);
        let mut texts = row.fields.into_iter();
        let text_a = texts.next().unwrap_or_default();
        let text_b = texts.next().filter(|_| pair);
        Ok(Example { text_a, text_b, target, row: index })
    };
    rows.into_iter().map(example).collect()
}
