//! Prediction of tables in constant memory; answers are rows of a table or lines of JSON.

use super::options::{NOT_FINITE, Probabilities, Stream, StreamOptions};
use crate::{
    answer::{Answer, Request, TaskModel},
    error::{Error, Result},
    summary::Truncated,
};
use electra_scores::{
    table::{Format, Row, Rows},
    window::{Filled, WINDOW_BYTES, fill},
};
use electra_train::metrics::{Figures, number};
use serde_json::Value;
use std::{io::Write, path::Path};

/// The output of a stream of rows.
struct Output<'a> {
    /// The writer's name in errors.
    name: &'a Path,
    /// The classes or labels of the model.
    classes: &'a [String],
    /// The separator between the labels of a set in a table.
    separator: &'a str,
}

/// Predicts rows, a window at a time; returns their number.
pub(super) fn stream(
    stream: Stream<'_>,
    columns: &[String],
    classes: &[String],
    separator: &str,
) -> Result<u64> {
    let Stream { model, input, writer, name: output, options, truncated, on_done } = stream;
    let output = &Output { name: output, classes, separator };
    let (layout, file) = (input.layout()?, input.name.display().to_string());
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let rows = Rows::from_reader(input.reader, layout, &file, &columns)?;
    let format = options.format.unwrap_or(layout.format);
    let mut answers = AnswerWriter::new(writer, output, format, options)?;
    let mut rows_done = 0;
    answer_rows(model, rows, options, truncated, &mut |event| match event {
        RowEvent::Answered(index, answer) => answers.write(index, answer),
        RowEvent::Done(done) => {
            answers.flush()?;
            rows_done = done;
            on_done(done);
            Ok(())
        }
    })?;
    answers.finish()?;
    Ok(rows_done)
}

/// An event while rows are answered.
pub(crate) enum RowEvent<'a> {
    /// The answer to the row with this number, from 0.
    Answered(u64, &'a Answer),
    /// The number of finished rows, at the end of each window.
    Done(u64),
}

/// Answers rows in order, a window at a time.
///
/// # Errors
/// The first row that cannot be read or answered, with its line, after the events of all rows before it; or the error
/// of `on_event`.
pub(super) fn answer_rows(
    model: &dyn TaskModel,
    mut rows: Rows,
    options: &StreamOptions,
    truncated: &mut Truncated,
    on_event: &mut dyn FnMut(RowEvent<'_>) -> Result<()>,
) -> Result<()> {
    let bytes = |row: &Row| row.fields.iter().map(String::len).sum();
    let mut done = 0;
    loop {
        let (window, filled) = fill(&mut rows, options.window, WINDOW_BYTES, bytes);
        let requests: Vec<Request> = window.iter().map(|row| Request::row(&row.fields)).collect();
        let answered = model.answer(&requests, options.batch_size)?;
        *truncated = truncated.with(answered.truncated);
        for (answer, row) in answered.answers.iter().zip(&window) {
            if !answer.is_finite() {
                on_event(RowEvent::Done(done))?;
                return Err(Error::row(rows.file(), row.line, NOT_FINITE));
            }
            on_event(RowEvent::Answered(done, answer))?;
            done += 1;
        }
        on_event(RowEvent::Done(done))?;
        if let Filled::Ended = filled? {
            return Ok(());
        }
    }
}

/// Writes the columns `index` and `prediction`, and optionally the probabilities of classes.
struct AnswerWriter<'a> {
    rows: Encoder<'a>,
    output: &'a Output<'a>,
    /// The classes whose probabilities are written.
    classes: &'a [String],
}

enum Encoder<'a> {
    Table(Box<csv::Writer<&'a mut dyn Write>>),
    JsonLines(&'a mut dyn Write),
    /// An array, with the text before the next object.
    Json(&'a mut dyn Write, &'static str),
}

impl<'a> AnswerWriter<'a> {
    /// Writes the header.
    ///
    /// # Errors
    /// If the classes' names cannot be written in the format, or the writer's error.
    fn new(
        writer: &'a mut dyn Write,
        output: &'a Output<'a>,
        format: Format,
        options: &StreamOptions,
    ) -> Result<Self> {
        let Output { name, classes, .. } = output;
        let mut table = csv::WriterBuilder::new();
        let rows = match format {
            // TSV has no quotation: a name with a separator cannot be written.
            Format::Tsv => {
                if let Some(class) = classes.iter().find(|class| class.contains(['\t', '\n', '\r']))
                {
                    let message = format!(
                        "the class {class:?} cannot be written as TSV: write a .csv or .jsonl file, or give --format"
                    );
                    return Err(Error::file(*name, message));
                }
                table.delimiter(b'\t').quote_style(csv::QuoteStyle::Never);
                Encoder::Table(Box::new(table.from_writer(writer)))
            }
            Format::Csv => Encoder::Table(Box::new(table.from_writer(writer))),
            Format::Json => Encoder::Json(writer, "[\n"),
            _ => Encoder::JsonLines(writer),
        };
        let classes = match options.probabilities {
            Probabilities::Write if classes.is_empty() => {
                let message = "the model does not predict classes, so there are no probabilities";
                return Err(Error::file(*name, message));
            }
            Probabilities::Write => classes,
            Probabilities::Omit => &[][..],
        };
        let mut answers = Self { rows, output, classes };
        let header = ["index", "prediction"].into_iter().chain(classes.iter().map(String::as_str));
        if let Encoder::Table(table) = &mut answers.rows {
            table.write_record(header).map_err(csv_error(name))?;
        }
        Ok(answers)
    }

    fn write(&mut self, index: u64, answer: &Answer) -> Result<()> {
        let name = self.output.name;
        match &mut self.rows {
            Encoder::Table(table) => {
                let text = match answer {
                    Answer::Labels { labels, .. } => labels.join(self.output.separator),
                    other => other.text(),
                };
                let mut record = vec![index.to_string(), text];
                let probabilities = self.classes.iter().zip(answer.probabilities());
                record.extend(probabilities.map(|(_, p)| p.to_string()));
                table.write_record(record).map_err(csv_error(name))
            }
            Encoder::JsonLines(writer) => {
                writeln!(writer, "{}", object(self.classes, index, answer)).map_err(Error::io(name))
            }
            Encoder::Json(writer, before) => {
                let object = object(self.classes, index, answer);
                let before = std::mem::replace(before, ",\n");
                write!(writer, "{before}{object}").map_err(Error::io(name))
            }
        }
    }

    /// Writes the end of an array.
    fn finish(&mut self) -> Result<()> {
        if let Encoder::Json(writer, before) = &mut self.rows {
            let start = if *before == ",\n" { "" } else { "[" };
            writeln!(writer, "{start}\n]").map_err(Error::io(self.output.name))?;
        }
        self.flush()
    }

    /// Flushes the output, so that the reader of a pipe gets it.
    fn flush(&mut self) -> Result<()> {
        let flushed = match &mut self.rows {
            Encoder::Table(table) => table.flush(),
            Encoder::JsonLines(writer) | Encoder::Json(writer, _) => writer.flush(),
        };
        flushed.map_err(Error::io(self.output.name))
    }
}

/// The answer to a row as JSON, with the probabilities of `classes`.
fn object(classes: &[String], index: u64, answer: &Answer) -> Value {
    let prediction = match answer {
        Answer::Labels { labels, .. } => labels.clone().into(),
        Answer::Number(value) => number(*value),
        other => other.text().into(),
    };
    let mut object = Figures::new();
    object.insert("index".to_owned(), index.into());
    object.insert("prediction".to_owned(), prediction);
    if !classes.is_empty() {
        let probabilities = classes.iter().zip(answer.probabilities());
        let by_class = probabilities.map(|(class, &p)| (class.clone(), p.into()));
        object.insert("probabilities".to_owned(), Value::Object(by_class.collect()));
    }
    Value::Object(object)
}

fn csv_error(name: &Path) -> impl FnOnce(csv::Error) -> Error {
    let path = name.to_owned();
    |error| Error::io(path)(error.into())
}
