//! JSON files, with errors that name the file, the place in the document, the line and the column.

use crate::{
    error::{Error, Result},
    lines::not_utf8,
};
use electra_files::LONE_SURROGATES;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor},
};
use std::{collections::HashSet, fmt, io::Read, marker::PhantomData, path::Path};

/// The largest file that is read, in bytes. SQuAD's own files have up to 42 MB; a file is read into memory.
const LARGEST: u64 = 1 << 30;

/// The value in a file.
///
/// # Errors
/// If the file cannot be read, is larger than 1 GiB, is not UTF-8 or JSON, or has a value of another type.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse(path, &text(electra_files::open(path)?, path)?)
}

/// The text of any bytes, without a byte-order mark; `path` names them in errors.
pub(crate) fn text(reader: impl Read, path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let count = reader.take(LARGEST + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    if count as u64 > LARGEST {
        let message = format!("larger than the limit of {LARGEST} bytes for JSON files");
        return Err(Error::file(path, message));
    }
    let text = String::from_utf8(bytes).map_err(|e| Error::file(path, not_utf8(&e, 0, 1)))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The value of the text of a file.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    value(text).map_err(|message| Error::file(path, message))
}

/// The value of a text, or a message with the place in it.
pub(crate) fn value<T: DeserializeOwned>(text: &str) -> std::result::Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let place = error.path().to_string();
        let inner = error.into_inner();
        let message = lone_surrogate(&inner)
            .map(|message| format!("line {} column {}: {message}", inner.line(), inner.column()))
            .or_else(|| not_finite(text, &inner))
            .unwrap_or_else(|| inner.to_string());
        match place.as_str() {
            "." if inner.is_syntax() && lone_surrogate(&inner).is_none() => {
                format!("not JSON: {message}")
            }
            "." => message,
            _ => format!("{place}: {message}"),
        }
    })?;
    json.end().map_err(|e| format!("more after the end of the JSON value: {e}"))?;
    Ok(value)
}

/// The message for an escape of a lone surrogate, if the error is about one.
pub(crate) fn lone_surrogate(error: &serde_json::Error) -> Option<String> {
    // These errors of serde_json have no kind of their own. The second one is about an escape without `\\u` after it.
    let messages = ["lone leading surrogate in hex escape", "unexpected end of hex escape"];
    let found = error.to_string();
    messages
        .iter()
        .any(|message| found.starts_with(message))
        .then(|| format!("{LONE_SURROGATES}; correct the file"))
}

/// The message for Python's NaN or Infinity, which JSON does not have, if the error is about one.
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

/// The members of an object, in the file's order. A duplicate key is an error.
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
