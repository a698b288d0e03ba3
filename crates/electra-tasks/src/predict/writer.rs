//! Answers as rows of a table or lines of JSON.

use super::Prediction;
use crate::{Error, Result, table::Format, task::Target};
use electra_train::metrics::{Figures, number};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Writes `index` and `prediction`, and the probabilities of the classes that it is given.
pub(super) struct AnswerWriter<'a, W: Write> {
    rows: Rows<W>,
    name: PathBuf,
    classes: &'a [String],
}

enum Rows<W: Write> {
    Table(Box<csv::Writer<W>>),
    JsonLines(W),
}

impl<'a, W: Write> AnswerWriter<'a, W> {
    /// A writer that has written its header; `name` is what errors call it.
    pub(super) fn new(
        writer: W,
        name: &Path,
        format: Format,
        classes: &'a [String],
    ) -> Result<Self> {
        let table = |writer, delimiter| {
            Rows::Table(Box::new(
                csv::WriterBuilder::new().delimiter(delimiter).from_writer(writer),
            ))
        };
        let rows = match format {
            Format::Tsv => table(writer, b'\t'),
            Format::Csv => table(writer, b','),
            Format::JsonLines => Rows::JsonLines(writer),
        };
        let mut answers = Self { rows, name: name.to_owned(), classes };
        let header = ["index", "prediction"].into_iter().chain(classes.iter().map(String::as_str));
        if let Rows::Table(table) = &mut answers.rows {
            table.write_record(header).map_err(csv_error(&answers.name))?;
        }
        Ok(answers)
    }

    pub(super) fn write(&mut self, index: u64, prediction: &Prediction) -> Result<()> {
        let probabilities = self.classes.iter().zip(&prediction.probabilities);
        match &mut self.rows {
            Rows::Table(table) => {
                let mut record = vec![index.to_string(), prediction.label.clone()];
                record.extend(probabilities.map(|(_, p)| p.to_string()));
                table.write_record(record).map_err(csv_error(&self.name))
            }
            Rows::JsonLines(writer) => {
                let mut object = Figures::new();
                object.insert("index".to_owned(), index.into());
                let answer = match prediction.answer {
                    Target::Class(_) => prediction.label.as_str().into(),
                    Target::Value(value) => number(value),
                };
                object.insert("prediction".to_owned(), answer);
                if !self.classes.is_empty() {
                    let by_class = probabilities.map(|(c, &p)| (c.clone(), p.into())).collect();
                    object.insert("probabilities".to_owned(), serde_json::Value::Object(by_class));
                }
                writeln!(writer, "{}", serde_json::Value::Object(object))
                    .map_err(Error::io(&self.name))
            }
        }
    }

    /// Hands on what is written, so that whoever reads a pipe sees it.
    pub(super) fn flush(&mut self) -> Result<()> {
        let flushed = match &mut self.rows {
            Rows::Table(table) => table.flush(),
            Rows::JsonLines(writer) => writer.flush(),
        };
        flushed.map_err(Error::io(&self.name))
    }
}

fn csv_error(name: &Path) -> impl FnOnce(csv::Error) -> Error {
    let path = name.to_owned();
    |error| Error::Io { path, source: error.into() }
}
