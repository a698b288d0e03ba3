//! JSON files read whole, with errors that name the file, the place in the document, the line and the column.

use crate::{
    error::{Error, Result},
    utf8::Utf8Reader,
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor},
};
use std::{
    collections::HashSet,
    fmt,
    fs::File,
    io::{self, Read},
    marker::PhantomData,
    path::Path,
};

/// The largest file that is read, in bytes: SQuAD's own have up to 42 MB, and a file is held whole.
const LARGEST: u64 = 1 << 30;

/// The value that a file holds.
///
/// # Errors
/// If it cannot be read, is above 1 GiB, is not UTF-8, not JSON, or not of this form.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    read_from(File::open(path).map_err(Error::io(path))?, path)
}

/// [`read`] of any bytes; `path` is what errors call them.
pub(crate) fn read_from<T: DeserializeOwned>(reader: impl Read, path: &Path) -> Result<T> {
    parse(path, &text(path, reader)?)
}

fn text(path: &Path, file: impl Read) -> Result<String> {
    let mut text = String::new();
    let count = Utf8Reader::new(file).take(LARGEST + 1).read_to_string(&mut text);
    match count {
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(Error::file(path, e)),
        Err(e) => Err(Error::io(path)(e)),
        Ok(count) if count as u64 > LARGEST => {
            Err(Error::file(path, format!("above {LARGEST} bytes: is this the right file?")))
        }
        Ok(_) => Ok(text),
    }
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let place = error.path().to_string();
        let inner = error.into_inner();
        let what = not_finite(text, &inner).unwrap_or_else(|| inner.to_string());
        Error::file(path, if place == "." { what } else { format!("{place}: {what}") })
    })?;
    json.end()
        .map_err(|e| Error::file(path, format!("more after the end of the JSON value: {e}")))?;
    Ok(value)
}

/// What to say where Python's NaN or Infinity stands, which JSON does not have.
fn not_finite(text: &str, error: &serde_json::Error) -> Option<String> {
    let (line, column) = (error.line(), error.column());
    let bytes = text.split('\n').nth(line.checked_sub(1)?)?.as_bytes();
    let before = column.min(bytes.len()).saturating_sub("-I".len());
    let word = ["NaN", "Infinity"].into_iter().find(|word| {
        (before..=column).any(|at| bytes.get(at..).is_some_and(|b| b.starts_with(word.as_bytes())))
    })?;
    Some(format!(
        "{word} at line {line} column {column}: it must be a finite number (or a string, if it is text)"
    ))
}

/// The members of an object in the file's order; a duplicate name is an error.
#[derive(Debug)]
pub(crate) struct Members<T>(pub(crate) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData)).map(Self)
    }
}

struct MembersVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MembersVisitor<T> {
    type Value = Vec<(String, T)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object {id: value}")
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let (mut members, mut names) = (Vec::new(), HashSet::new());
        while let Some((name, value)) = map.next_entry::<String, T>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("duplicate key {name:?}")));
            }
            members.push((name, value));
        }
        Ok(members)
    }
}
