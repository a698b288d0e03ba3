//! A sentence task's rows as examples: its classes or its range, and the answer of each row.

use super::{Answers, Dataset, Example, Kind, Target, Task, check_classes};
use crate::{
    Error, Result,
    report::LeftOut,
    rows::{self, Form, Read, TextTask},
    table::Row,
};
use electra_files::nearest;
use std::path::Path;

/// The labelled examples of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// The examples in the file's order.
    pub examples: Vec<Example>,
    /// Rows that were left out: without an answer, or of those that [`Task::unusable_rows`] allows.
    pub left_out: Option<LeftOut>,
}

impl Task {
    /// Reads every file of the task below `data`.
    ///
    /// # Errors
    /// Naming file, line and column of the first row that cannot be used, or the file that is empty.
    pub fn load(&self, data: &Path) -> Result<Dataset> {
        let dataset = rows::dataset(self, data)?;
        let untrained = untrained(&dataset.answers, &dataset.train);
        if !untrained.is_empty() {
            tracing::warn!(
                "{}: no row has {untrained:?}, which the key labels has: the model cannot learn it",
                data.join(&self.files.train).display()
            );
        }
        Ok(dataset)
    }

    /// Reads one labelled file, whose answers look like `answers`.
    ///
    /// # Errors
    /// As [`Task::load`].
    pub fn labelled(&self, path: &Path, answers: &Answers) -> Result<Labelled> {
        let Read { rows, left_out } = self.form().rows(path)?;
        Ok(Labelled { examples: rows::examples(self, path, rows, answers)?, left_out })
    }

    /// The answers of a labelled file, row by row; `None` for the rows that are left out. Texts are not looked at.
    ///
    /// # Errors
    /// As [`Task::load`].
    pub fn gold(&self, path: &Path, answers: &Answers) -> Result<Vec<Option<Target>>> {
        self.form().gold(path, |row| self.target(path, row, answers))
    }

    fn number(&self, path: &Path, row: &Row) -> Result<f64> {
        let text = row.fields[row.fields.len() - 1].trim();
        text.parse::<f64>().ok().filter(|x| x.is_finite()).ok_or_else(|| {
            let message = format!("{text:?} in column {:?} is not a (finite) number", self.label);
            Error::row(&path.display().to_string(), row.line, message)
        })
    }
}

impl TextTask for Task {
    type Space = Answers;
    type Target = Target;

    fn form(&self) -> Form<'_> {
        Form {
            texts: self.text_columns(),
            answer: vec![&self.label],
            no_label: self.no_label.as_deref(),
            separator: None,
            unusable_rows: self.unusable_rows,
            pairs: self.pairs,
            files: &self.files,
        }
    }

    fn space(&self, path: &Path, rows: &[Row]) -> Result<Answers> {
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

    /// Checks that no row asks for a class that the training file lacks.
    fn check_scored(
        &self,
        path: &Path,
        rows: &[Row],
        answers: &Answers,
        train: &[Example],
    ) -> Result<()> {
        let untrained = untrained(answers, train);
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
