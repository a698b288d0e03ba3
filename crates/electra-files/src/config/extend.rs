//! Configs that extend another one: `extends = "FILE"`.

use super::value::{explain, split};
use crate::{Error, Result, nearest, read::read_text};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

const EXTENDS: &str = "extends";
const UNSET: &str = "unset";

/// `table`, read from `path`, over the config that its key `extends` names, relative to its own folder, without the keys of
/// that config that its key `unset` lists. A table without `extends` is returned unchanged.
///
/// # Errors
/// [`Error::Io`] and [`Error::Invalid`] naming the file; if the files extend each other; if an unset key does not exist.
pub(super) fn resolve(table: Table, path: &Path) -> Result<Table> {
    resolve_after(table, path, &mut vec![path.to_owned()])
}

/// Whether a table extends another config.
pub(super) fn extends(table: &Table) -> bool {
    table.contains_key(EXTENDS)
}

fn resolve_after(mut table: Table, path: &Path, seen: &mut Vec<PathBuf>) -> Result<Table> {
    let invalid = |message: String| Error::invalid(path, message);
    let (base, unset) = (table.remove(EXTENDS), table.remove(UNSET));
    let Some(base) = base else {
        return match unset {
            None => Ok(table),
            Some(_) => Err(invalid(format!("{UNSET} requires {EXTENDS}, the config to change"))),
        };
    };
    let Value::String(base) = base else {
        return Err(invalid(format!("{EXTENDS} = {base}: must be the path of a config")));
    };
    let base = path.parent().unwrap_or(Path::new("")).join(base);
    if seen.contains(&base) {
        return Err(invalid(format!("{EXTENDS} itself through {}", base.display())));
    }
    seen.push(base.clone());
    let text = read_text(&base)?;
    let read: Table = text
        .parse()
        .map_err(|e: toml::de::Error| Error::invalid(&base, explain(&e.to_string())))?;
    let mut resolved = resolve_after(read, &base, seen)?;
    for key in unset.as_ref().map(names).transpose().map_err(invalid)?.into_iter().flatten() {
        remove(&mut resolved, key).map_err(|near| {
            invalid(format!("{UNSET}: {} has no key {key:?}{near}", base.display()))
        })?;
    }
    lay(&mut resolved, table);
    Ok(resolved)
}

/// The strings of an array.
fn names(unset: &Value) -> std::result::Result<Vec<&str>, String> {
    let names = unset.as_array().and_then(|names| names.iter().map(Value::as_str).collect());
    names.ok_or_else(|| format!("{UNSET} = {unset}: must be an array of keys"))
}

/// Removes a key, or returns a hint at the nearest one.
fn remove(table: &mut Table, key: &str) -> std::result::Result<(), String> {
    let (sections, last) = split(key);
    let mut table = table;
    for name in sections {
        let near = nearest(name, table.keys().map(String::as_str));
        table = table.get_mut(name).and_then(Value::as_table_mut).ok_or(near)?;
    }
    let near = nearest(last, table.keys().map(String::as_str));
    table.remove(last).map(drop).ok_or(near)
}

/// Sets the keys of `table` to those of `values`, section by section.
fn lay(table: &mut Table, values: Table) {
    for (key, value) in values {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(values)) => lay(inner, values),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}
