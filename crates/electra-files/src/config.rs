//! TOML config files: `KEY=VALUE` overrides, and errors that name the file, the line and the key.

mod extend;
mod number;
pub mod section;
pub mod settings;
mod value;

pub use number::number_or_word;

use crate::{Error, Result, read::read_text};
use section::Section;
use serde::de::DeserializeOwned;
use std::path::Path;
use toml::{Table, Value, de::DeTable};
use value::{explain, of_other_kind, of_type, split};

/// Reads a TOML file into `T`, with `KEY=VALUE` overrides. A key that the file does not have is added: `T` rejects those
/// that it does not know.
///
/// A file with the key `extends = "FILE"` is read over that one, whose path is relative to its own; `unset = ["KEY", ...]`
/// removes keys of that one first.
///
/// # Errors
/// [`Error::Io`]; [`Error::Invalid`] naming the file, line and key (and the nearest known key); [`Error::Set`].
pub fn read_toml<T: DeserializeOwned>(path: &Path, overrides: &[String]) -> Result<T> {
    let text = read_text(path)?;
    parse_toml(&text, path, overrides)
}

/// [`read_toml`] for a text that was read from `path`.
///
/// # Errors
/// [`Error::Invalid`] and [`Error::Set`], as [`read_toml`].
pub fn parse_toml<T: DeserializeOwned>(text: &str, path: &Path, overrides: &[String]) -> Result<T> {
    parse(text, path, None, overrides).map(|(value, _)| value)
}

/// [`parse_toml`] for a file that may also have a section `name` for another config. The section is returned with the
/// value; overrides apply to the other keys.
///
/// # Errors
/// [`Error::Invalid`] and [`Error::Set`], as [`read_toml`].
pub fn parse_toml_with<T: DeserializeOwned>(
    text: &str,
    path: &Path,
    name: &str,
    overrides: &[String],
) -> Result<(T, Section)> {
    let (value, values) = parse(text, path, Some(name), overrides)?;
    Ok((value, Section { path: path.to_owned(), name: name.to_owned(), values }))
}

/// The value of a text without the section `extra`, and the values of that section.
fn parse<T: DeserializeOwned>(
    text: &str,
    path: &Path,
    extra: Option<&str>,
    overrides: &[String],
) -> Result<(T, Table)> {
    let invalid = |message: String| Error::invalid(path, message);
    let fail = |e: toml::de::Error| invalid(explain(&e.to_string()));
    let mut table: Table = text.parse().map_err(fail)?;
    let mut document = DeTable::parse(text).map_err(fail)?;
    let extra = extra.and_then(|name| {
        document.get_mut().remove(name);
        table.remove_entry(name)
    });
    // Deserialize once without the overrides, so that messages have the line in the file.
    if extend::extends(&table) {
        table = extend::resolve(table, path)?;
        T::deserialize(table.clone()).map_err(fail)?;
    } else {
        T::deserialize(toml::Deserializer::from(document)).map_err(|mut e| {
            e.set_input(Some(text));
            fail(e)
        })?;
    }
    let values = match extra {
        None => Table::new(),
        Some((_, Value::Table(values))) => values,
        Some((name, other)) => return Err(invalid(format!("{name} = {other}: must be a section"))),
    };
    let other_kind = of_other_kind(&table, path, overrides);
    for assignment in overrides {
        set(&mut table, assignment, &|table| T::deserialize(table.clone()).is_ok())?;
    }
    let value = table.try_into().map_err(|e: toml::de::Error| match overrides {
        [] => fail(e),
        _ => Error::Set {
            assignment: overrides.join(" --set "),
            message: match explain(&e.to_string()) {
                // The other kind exists, and has other keys.
                message if message.contains(" field `") => message + &other_kind,
                message => message,
            },
        },
    })?;
    Ok((value, values))
}

/// Sets a key of the table. The new value must have the type of the old one, unless the config `accepts` another. A key
/// that the table does not have is added, as a value of TOML or, if the config accepts only that, as a string.
fn set(table: &mut Table, assignment: &str, accepts: &dyn Fn(&Table) -> bool) -> Result<()> {
    let fail = |message: String| Error::Set { assignment: assignment.to_owned(), message };
    let (key, text) =
        assignment.split_once('=').ok_or_else(|| fail("expected section.key=value".to_owned()))?;
    let with = |value: Value| -> Result<(Table, Option<Value>)> {
        let mut changed = table.clone();
        let old = insert(&mut changed, key, value).map_err(fail)?;
        Ok((changed, old))
    };
    let (as_written, old) = with(toml_value(text))?;
    *table = match old {
        Some(Value::String(_)) => {
            let as_string = with(string_value(text))?.0;
            if !accepts(&as_string) && accepts(&as_written) { as_written } else { as_string }
        }
        Some(old) => match of_type(toml_value(text), &old) {
            Some(value) => with(value)?.0,
            None if accepts(&as_written) => as_written,
            None => {
                let kind = old.type_str();
                return Err(fail(format!("{text:?} does not have the type of the key, {kind}")));
            }
        },
        None => {
            let as_string = with(string_value(text))?.0;
            if !accepts(&as_written) && accepts(&as_string) { as_string } else { as_written }
        }
    };
    Ok(())
}

/// Sets a key, whose sections are added, and returns its old value.
fn insert(
    table: &mut Table,
    key: &str,
    value: Value,
) -> std::result::Result<Option<Value>, String> {
    let (sections, last) = split(key);
    let mut table = table;
    for name in sections {
        let section = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
        table =
            section.as_table_mut().ok_or_else(|| format!("{name:?} is a key, not a section"))?;
    }
    Ok(table.insert(last.to_owned(), value))
}

/// A text as a TOML value; a string if it is not one.
fn toml_value(text: &str) -> Value {
    let parsed =
        format!("x = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("x"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// A text as a string, with or without quotation marks.
fn string_value(text: &str) -> Value {
    match toml_value(text) {
        string @ Value::String(_) => string,
        _ => Value::String(text.to_owned()),
    }
}
