//! A task's files as examples: what is read, what is left out and said, what is an error.

use super::{Answers, Dataset, Example, Kind, Pairs, Target, Task, check_classes};
use crate::{
    Error, Result,
    error::nearest,
    table::{Header, Row, Rows},
};
use std::{collections::BTreeMap, path::Path};

/// Rows that are named one by one; of more, the number is said.
const NAMED: usize = 20;

/// The rows of a file that can be used, and how many cannot.
struct Read {
    rows: Vec<Row>,
    left_out: usize,
}

/// The labelled examples of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// The examples in the file's order.
    pub examples: Vec<Example>,
    /// Rows that were left out: without an answer, or of those that [`Task::unusable_rows`] allows.
    pub left_out: usize,
}

impl Task {
    /// Reads every file of the task below `data`.
    ///
    /// # Errors
    /// Naming file, line and column of the first row that cannot be used, or the file that is empty.
    pub fn load(&self, data: &Path) -> Result<Dataset> {
        let train_path = data.join(&self.files.train);
        let Read { rows, mut left_out } = self.rows(&train_path)?;
        let answers = self.answers(&train_path, &rows)?;
        let mut train = self.examples(&train_path, rows, &answers)?;
        let untrained = untrained(&answers, &train);
        if !untrained.is_empty() {
            tracing::warn!(
                "{}: no row has {untrained:?}, which the key labels has: the model cannot learn it",
                train_path.display()
            );
        }
        if self.pairs == Pairs::Unordered {
            let swapped: Vec<Example> = train.iter().map(Example::swapped).collect();
            train.extend(swapped);
        }
        let mut file = |name: &Path| {
            let path = data.join(name);
            let read = self.rows(&path)?;
            left_out += read.left_out;
            self.trained(&path, &read.rows, &untrained)?;
            self.examples(&path, read.rows, &answers)
        };
        let dev = file(&self.files.dev)?;
        let more_dev = self.files.more_dev.iter();
        let more_dev = more_dev
            .map(|(name, path)| Ok((name.clone(), file(path)?)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        let test = self.files.test.as_deref().map(file).transpose()?;
        Ok(Dataset { answers, train, dev, more_dev, test, left_out })
    }

    /// Reads one labelled file, whose answers look like `answers`.
    ///
    /// # Errors
    /// As [`Task::load`].
    pub fn labelled(&self, path: &Path, answers: &Answers) -> Result<Labelled> {
        let Read { rows, left_out } = self.rows(path)?;
        Ok(Labelled { examples: self.examples(path, rows, answers)?, left_out })
    }

    /// The answers of a labelled file, row by row; `None` for the rows that are left out. Texts are not looked at.
    ///
    /// # Errors
    /// As [`Task::load`].
    pub fn gold(&self, path: &Path, answers: &Answers) -> Result<Vec<Option<Target>>> {
        let mut reader = Rows::open_with(path, &[&self.label], self.header())?;
        let (mut gold, mut unusable) = (Vec::new(), Vec::new());
        while let Some(row) = reader.read()? {
            match row {
                Ok(row) if row.fields.last() == self.no_label.as_ref() => gold.push(None),
                Ok(row) => gold.push(Some(self.target(path, &row, answers)?)),
                Err(error) if self.unusable_rows == 0.0 => return Err(error),
                Err(error) => {
                    unusable.push(error);
                    gold.push(None);
                }
            }
        }
        self.check_unusable(path, &unusable, gold.len() - unusable.len())?;
        if gold.iter().all(Option::is_none) {
            return Err(Error::file(path, "there is no labelled row in it"));
        }
        Ok(gold)
    }

    /// Where the columns' names come from.
    fn header(&self) -> Header<'_> {
        match &self.files.columns {
            Some(names) => Header::Given(names),
            None => Header::FirstLine,
        }
    }

    /// The rows that can be used. What is left out is named.
    fn rows(&self, path: &Path) -> Result<Read> {
        let mut columns = self.text_columns();
        columns.push(&self.label);
        let mut reader = Rows::open_with(path, &columns, self.header())?;
        let (mut rows, mut unusable, mut without_label) = (Vec::new(), Vec::new(), 0);
        while let Some(row) = reader.read()? {
            match row.and_then(|row| self.not_empty(path, row)) {
                Ok(row) if row.fields.last() == self.no_label.as_ref() => without_label += 1,
                Ok(row) => rows.push(row),
                Err(error) if self.unusable_rows == 0.0 => return Err(error),
                Err(error) => unusable.push(error),
            }
        }
        self.check_unusable(path, &unusable, rows.len() + without_label)?;
        if rows.is_empty() {
            return Err(Error::file(path, "there is no row in it"));
        }
        if without_label > 0 {
            let label = self.no_label.as_deref().unwrap_or_default();
            tracing::warn!(
                "{}: {without_label} rows have the label {label:?}: left out",
                path.display()
            );
        }
        Ok(Read { rows, left_out: unusable.len() + without_label })
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
        for error in unusable.iter().take(NAMED) {
            tracing::warn!("left out: {error}");
        }
        let (path, more) = (path.display(), count.saturating_sub(NAMED));
        tracing::warn!("{path}: {count} of {all} rows are left out, {more} of them not named here");
        Ok(())
    }

    fn not_empty(&self, path: &Path, row: Row) -> Result<Row> {
        let mut texts = self.text_columns().into_iter().zip(&row.fields);
        match texts.find(|(_, text)| text.trim().is_empty()) {
            None => Ok(row),
            Some((column, _)) => {
                let message = format!("the text in column {column:?} is empty");
                Err(Error::row(&path.display().to_string(), row.line, message))
            }
        }
    }

    fn answers(&self, path: &Path, rows: &[Row]) -> Result<Answers> {
        match self.kind {
            Kind::Classification => {
                let labels = self.labels.clone().unwrap_or_else(|| {
                    let mut labels: Vec<String> =
                        rows.iter().filter_map(|row| row.fields.last().cloned()).collect();
                    labels.sort();
                    labels.dedup();
                    labels
                });
                check_classes(&labels, self.metric).map_err(|why| {
                    Error::file(
                        path,
                        format!("column {:?} has the labels {labels:?}: {why}", self.label),
                    )
                })?;
                Ok(Answers::Classes(labels))
            }
            Kind::Regression => {
                if let Some([min, max]) = self.range {
                    return Ok(Answers::Range { min, max });
                }
                let mut range = (f64::INFINITY, f64::NEG_INFINITY);
                for row in rows {
                    let value = self.number(path, row)?;
                    range = (range.0.min(value), range.1.max(value));
                }
                if range.0 < range.1 {
                    return Ok(Answers::Range { min: range.0, max: range.1 });
                }
                Err(Error::file(
                    path,
                    format!("column {:?} is {} in every row", self.label, range.0),
                ))
            }
        }
    }

    fn examples(&self, path: &Path, rows: Vec<Row>, answers: &Answers) -> Result<Vec<Example>> {
        rows.into_iter().map(|row| self.example(path, row, answers)).collect()
    }

    /// Checks that no row asks for a class that the training file lacks.
    fn trained(&self, path: &Path, rows: &[Row], untrained: &[&str]) -> Result<()> {
        let label = |row: &Row| row.fields.last().cloned().unwrap_or_default();
        match rows.iter().find(|row| untrained.contains(&label(row).as_str())) {
            None => Ok(()),
            Some(row) => {
                let (label, column) = (label(row), &self.label);
                let message = format!(
                    "label {label:?} in column {column:?} is not in the training file, though the key labels has it: nothing can learn it"
                );
                Err(Error::row(&path.display().to_string(), row.line, message))
            }
        }
    }

    /// The answer in a row's last field.
    fn target(&self, path: &Path, row: &Row, answers: &Answers) -> Result<Target> {
        let Answers::Classes(labels) = answers else {
            return Ok(Target::Value(self.number(path, row)?));
        };
        let label = &row.fields[row.fields.len() - 1];
        let class = labels.iter().position(|known| known == label).ok_or_else(|| {
            let known = nearest(label, labels.iter().map(String::as_str));
            let origin = if self.labels.is_some() { "key labels" } else { "training file" };
            let column = &self.label;
            let message =
                format!("label {label:?} in column {column:?} is not in the {origin}{known}");
            Error::row(&path.display().to_string(), row.line, message)
        })?;
        Ok(Target::Class(class))
    }

    fn example(&self, path: &Path, mut row: Row, answers: &Answers) -> Result<Example> {
        let target = self.target(path, &row, answers)?;
        let mut texts = row.fields.drain(..);
        let text_a = texts.next().unwrap_or_default();
        let text_b = self.text_b.as_ref().and_then(|_| texts.next());
        Ok(Example { text_a, text_b, target })
    }

    fn number(&self, path: &Path, row: &Row) -> Result<f64> {
        let text = row.fields[row.fields.len() - 1].trim();
        text.parse::<f64>().ok().filter(|x| x.is_finite()).ok_or_else(|| {
            let message = format!("{text:?} in column {:?} is not a (finite) number", self.label);
            Error::row(&path.display().to_string(), row.line, message)
        })
    }
}

impl Example {
    /// The pair in the other order.
    fn swapped(&self) -> Self {
        match self.text_b.clone() {
            Some(text_a) => Self { text_a, text_b: Some(self.text_a.clone()), ..self.clone() },
            None => self.clone(),
        }
    }
}

/// Classes that no example is of.
fn untrained<'a>(answers: &'a Answers, examples: &[Example]) -> Vec<&'a str> {
    match answers {
        Answers::Range { .. } => Vec::new(),
        Answers::Classes(labels) => {
            let is_of = |class| examples.iter().any(|e| e.target == Target::Class(class));
            let lacking = labels.iter().enumerate().filter(|(class, _)| !is_of(*class));
            lacking.map(|(_, label)| label.as_str()).collect()
        }
    }
}
