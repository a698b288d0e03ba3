//! Rows of JSON: an object per line, or an array of objects.

use super::delimited::Fields;
use crate::{
    error::{Error, Result},
    json::{Members, lone_surrogate},
    lines::{Bytes, EMPTY_LINE, LONGEST_LINE, Lines},
};
use electra_files::nearest;
use serde::Deserialize;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read};

/// The rows of a file. The first character decides how they are written.
pub(super) enum JsonRows {
    /// An object per line.
    Lines(Lines),
    /// An array of objects, with line breaks anywhere.
    Array(Array),
}

/// A column whose fields may be more than strings, numbers and booleans.
#[derive(Clone, Debug)]
pub(super) struct LabelColumn {
    pub(super) name: String,
    /// Lists of strings are joined by it; without it, they are not allowed.
    pub(super) separator: Option<String>,
}

impl JsonRows {
    pub(super) fn new(bytes: Bytes, file: &str) -> Result<Self> {
        let mut reader = BufReader::with_capacity(64 * 1024, bytes);
        let start = reader.fill_buf().map_err(|error| Error::row(file, 1, error))?;
        let start = start.strip_prefix("\u{feff}".as_bytes()).unwrap_or(start);
        match start.trim_ascii_start().first() {
            Some(b'[') => Ok(Self::Array(Array { reader: Counted { reader, line: 1 }, rows: 0 })),
            _ => Ok(Self::Lines(Lines::new(Box::new(reader)))),
        }
    }

    /// The fields `columns` of the next object, with its line.
    pub(super) fn row(
        &mut self,
        file: &str,
        columns: &[String],
        label: Option<&LabelColumn>,
    ) -> Result<Option<(u64, Fields<Vec<String>>)>> {
        let row = match self {
            Self::Array(array) => array.next(file)?.map(|(line, object)| (line, Ok(object))),
            Self::Lines(lines) => lines.row(file)?.map(|(line, text)| match text {
                "" => (line, Err(EMPTY_LINE.to_owned())),
                text => (line, serde_json::from_str(text).map_err(|e| not_an_object(text, &e))),
            }),
        };
        Ok(row.map(|(line, object)| (line, object.and_then(|o| fields(&o, columns, label)))))
    }
}

fn not_an_object(line: &str, error: &serde_json::Error) -> String {
    if let Some(message) = lone_surrogate(error) {
        return format!("column {}: {message}", error.column());
    }
    let hint = match line.trim_start().starts_with('{') && error.is_eof() {
        true => "; an object must be on one line, or in an array",
        false => "",
    };
    format!("not a JSON object: {error}{hint}")
}

/// The values of `columns` in a JSON object.
fn fields(
    Members(object): &Members<Value>,
    columns: &[String],
    label: Option<&LabelColumn>,
) -> Fields<Vec<String>> {
    let field = |name: &String| {
        let label = label.filter(|label| label.name == *name);
        let separator = label.and_then(|label| label.separator.as_deref());
        match (object.iter().find(|(key, _)| key == name).map(|(_, value)| value), separator) {
            (None, _) => {
                let known = nearest(name, object.iter().map(|(key, _)| key.as_str()));
                Err(format!("there is no field {name:?}{known}"))
            }
            (Some(Value::String(text)), _) => Ok(text.clone()),
            (Some(value @ (Value::Number(_) | Value::Bool(_))), _) => Ok(value.to_string()),
            // As an empty field of a table: there is no label. It is not an empty set.
            (Some(Value::Null), None) if label.is_some() => Ok(String::new()),
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
fn joined(list: &[Value], separator: &str) -> Fields<String> {
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
    let texts: Vec<String> = list.iter().map(text).collect::<Fields<_>>()?;
    Ok(texts.join(separator))
}

/// An array of objects, one of which is in memory at a time.
pub(super) struct Array {
    reader: Counted,
    /// The number of objects that were read.
    rows: u64,
}

impl Array {
    /// The next object with its first line.
    fn next(&mut self, file: &str) -> Result<Option<(u64, Members<Value>)>> {
        let failed = |line: u64, message: String| Err(Error::row(file, line, message));
        let before = self.byte(file)?;
        let byte = match before {
            Some(b'[') if self.rows == 0 => self.byte(file)?,
            Some(b',') if self.rows > 0 => {
                self.byte(file)?.filter(|byte| *byte != b']').or(Some(0))
            }
            other => other,
        };
        let line = self.reader.line;
        let follows = self.rows == 0 || before == Some(b',');
        match byte {
            Some(b'{') if follows => {}
            Some(b']') => {
                return match self.byte(file)? {
                    None => Ok(None),
                    Some(_) => {
                        failed(self.reader.line, "more after the end of the array".to_owned())
                    }
                };
            }
            None => return failed(line, "the array is not closed with ]".to_owned()),
            Some(_) => {
                let message = format!("entry {} of the array is not an object", self.rows);
                return failed(line, message);
            }
        }
        let mut limited = io::Cursor::new(b"{").chain(&mut self.reader).take(LONGEST_LINE);
        let object = Members::deserialize(&mut serde_json::Deserializer::from_reader(&mut limited));
        let limit = limited.limit();
        match object {
            Ok(object) => {
                self.rows += 1;
                Ok(Some((line, object)))
            }
            Err(_) if limit == 0 => failed(line, format!("a row longer than {LONGEST_LINE} bytes")),
            Err(error) => {
                let cause = lone_surrogate(&error).unwrap_or_else(|| error.to_string());
                let message = format!("entry {} of the array: {cause}", self.rows);
                failed(line + (error.line() as u64).saturating_sub(1), message)
            }
        }
    }

    /// The next byte that is not white space.
    fn byte(&mut self, file: &str) -> Result<Option<u8>> {
        loop {
            let mut byte = [0];
            let count = self.reader.read(&mut byte);
            match count.map_err(|error| Error::row(file, self.reader.line, error))? {
                0 => return Ok(None),
                // A byte-order mark comes before the array.
                _ if byte[0].is_ascii_whitespace() || b"\xef\xbb\xbf".contains(&byte[0]) => {}
                _ => return Ok(Some(byte[0])),
            }
        }
    }
}

/// A reader with the number of the current line, from 1.
struct Counted {
    reader: BufReader<Bytes>,
    line: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.line += buffer[..count].iter().filter(|&&byte| byte == b'\n').count() as u64;
        Ok(count)
    }
}
