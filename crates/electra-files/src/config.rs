//! TOML config files: `KEY=VALUE` overrides, and errors that name the file, the line and the key.

mod extend;
mod number;
pub mod section;
mod value;

pub use number::number_or_word;

use crate::{Error, Result, nearest};
use section::Section;
use serde::de::DeserializeOwned;
use std::{fs, path::Path};
use toml::{Table, Value, de::DeTable};
use value::{explain, of_type, split};

/// Reads a TOML file into `T`, with `KEY=VALUE` overrides of keys in the file.
///
/// A file with the key `extends = "FILE"` is read over that one, whose path is relative to its own; `unset = ["KEY", ...]`
/// removes keys of that one first.
///
/// # Errors
/// [`Error::Io`]; [`Error::Invalid`] naming the file, line and key (and the nearest known key); [`Error::Set`].
pub fn read_toml<T: DeserializeOwned>(path: &Path, overrides: &[String]) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
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
    for assignment in overrides {
        set(&mut table, assignment, &|table| T::deserialize(table.clone()).is_ok())?;
    }
    let value = table.try_into().map_err(|e: toml::de::Error| match overrides {
        [] => fail(e),
        _ => Error::Set { assignment: overrides.join(" --set "), message: explain(&e.to_string()) },
    })?;
    Ok((value, values))
}

/// Sets an existing key of the table. The new value must have the type of the old one, unless the config `accepts` another.
fn set(table: &mut Table, assignment: &str, accepts: &dyn Fn(&Table) -> bool) -> Result<()> {
    let fail = |message: String| Error::Set { assignment: assignment.to_owned(), message };
    let (key, text) =
        assignment.split_once('=').ok_or_else(|| fail("expected section.key=value".to_owned()))?;
    let old = find(table, key).map_err(fail)?.clone();
    let parsed = format!("x = {text}").parse::<Table>().ok().and_then(|mut t| t.remove("x"));
    let typed = match (parsed.clone().and_then(|value| of_type(value, &old)), &old) {
        (None, Value::String(_)) => Some(Value::String(text.to_owned())),
        (value, _) => value,
    };
    let as_written = || parsed.unwrap_or_else(|| Value::String(text.to_owned()));
    let mut changed = table.clone();
    let fits = typed.is_some();
    *find(&mut changed, key).map_err(fail)? = typed.unwrap_or_else(as_written);
    if !fits && !accepts(&changed) {
        let kind = old.type_str();
        return Err(fail(format!("{text:?} does not have the type of the key, {kind}")));
    }
    *table = changed;
    Ok(())
}

/// The value of an existing key.
fn find<'a>(table: &'a mut Table, key: &str) -> std::result::Result<&'a mut Value, String> {
    let unknown = |what: &str, name: &str, table: &Table| {
        let near = nearest(name, table.keys().map(String::as_str));
        format!("there is no {what} {name:?}{near}")
    };
    let (sections, last) = split(key);
    let mut table = table;
    for name in sections {
        if !table.get(name).is_some_and(Value::is_table) {
            return Err(unknown("section", name, table));
        }
        table = table.get_mut(name).and_then(Value::as_table_mut).expect("it is a table");
    }
    match table.contains_key(last) {
        true => Ok(table.get_mut(last).expect("it is there")),
        false => Err(unknown("key", last, table)),
    }
}
