//! Answers as rows of a table or lines of JSON.

use super::{PredictOptions, Probabilities, TextInfo};
use crate::{Error, Result, table::Format};
use electra_train::metrics::Figures;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Writes `index` and `prediction`, and the probabilities of the classes where they are asked for.
pub(super) struct AnswerWriter<'a, W: Write, I> {
    rows: Rows<W>,
    name: PathBuf,
    info: &'a I,
    /// Whose probabilities are written.
    classes: &'a [String],
}

enum Rows<W: Write> {
    Table(Box<csv::Writer<W>>),
    JsonLines(W),
}

impl<'a, W: Write, I: TextInfo> AnswerWriter<'a, W, I> {
    /// A writer that has written its header; `name` is what errors call it.
    ///
    /// # Errors
    /// If the classes' names cannot stand in the format, or whatever `writer` says.
    pub(super) fn new(
        writer: W,
        name: &Path,
        info: &'a I,
        options: &PredictOptions,
    ) -> Result<Self> {
        let mut table = csv::WriterBuilder::new();
        let rows = match options.format {
            // A quotation mark is a character there, so nothing can guard what divides fields and rows.
            Format::Tsv => {
                let mut classes = info.classes().iter();
                if let Some(class) = classes.find(|class| class.contains(['\t', '\n', '\r'])) {
                    let message = format!(
                        "the class {class:?} cannot stand in TSV: name a .csv or .jsonl file, or give --format"
                    );
                    return Err(Error::file(name, message));
                }
                table.delimiter(b'\t').quote_style(csv::QuoteStyle::Never);
                Rows::Table(Box::new(table.from_writer(writer)))
            }
            Format::Csv => Rows::Table(Box::new(table.from_writer(writer))),
            Format::JsonLines => Rows::JsonLines(writer),
        };
        let classes = match options.probabilities {
            Probabilities::Write if info.classes().is_empty() => {
                let message =
                    "the model answers with a number, which has no classes with probabilities";
                return Err(Error::file(name, message));
            }
            Probabilities::Write => info.classes(),
            Probabilities::Omit => &[],
        };
        let mut answers = Self { rows, name: name.to_owned(), info, classes };
        let header = ["index", "prediction"].into_iter().chain(classes.iter().map(String::as_str));
        if let Rows::Table(table) = &mut answers.rows {
            table.write_record(header).map_err(csv_error(&answers.name))?;
        }
        Ok(answers)
    }

    pub(super) fn write(&mut self, index: u64, prediction: &I::Prediction) -> Result<()> {
        let probabilities = self.classes.iter().zip(self.info.probabilities(prediction));
        match &mut self.rows {
            Rows::Table(table) => {
                let mut record = vec![index.to_string(), self.info.text(prediction)];
                record.extend(probabilities.map(|(_, p)| p.to_string()));
                table.write_record(record).map_err(csv_error(&self.name))
            }
            Rows::JsonLines(writer) => {
                let mut object = Figures::new();
                object.insert("index".to_owned(), index.into());
                object.insert("prediction".to_owned(), self.info.json(prediction));
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
