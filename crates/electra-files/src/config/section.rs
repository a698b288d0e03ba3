//! A section of a TOML file that overrides keys of another config.

use super::value::{explain, of_type, split};
use crate::{Error, Result, nearest};
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A section of a TOML file that overrides keys of another config. The default has no keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    /// The file.
    pub(super) path: PathBuf,
    /// The name of the section in the file.
    pub(super) name: String,
    pub(super) values: Table,
}

impl Section {
    /// Whether it has no key.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The file that contains the section.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it has a key of the config, such as `train.epochs`.
    pub fn has(&self, key: &str) -> bool {
        let (mut sections, last) = split(key);
        let inner = sections.try_fold(&self.values, |table, name| table.get(name)?.as_table());
        inner.is_some_and(|table| table.contains_key(last))
    }

    /// `base` with the values of this section.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the file and the first key that the config lacks or whose value has the wrong type.
    pub fn over<T: Serialize + DeserializeOwned>(&self, base: &T) -> Result<T> {
        let fail = |message: String| Error::invalid(&self.path, message);
        let mut table = Table::try_from(base).expect("a config of plain values serializes");
        override_keys(&mut table, &self.values, &self.name).map_err(fail)?;
        table.try_into().map_err(|e: toml::de::Error| {
            let why = explain(&e.to_string());
            fail(format!("section [{}]: {why}", self.name))
        })
    }
}

/// Sets the keys of `table` to those of `values`, or returns a message about the first that it lacks; `path` is the name
/// of `values` in the file.
fn override_keys(table: &mut Table, values: &Table, path: &str) -> std::result::Result<(), String> {
    for (key, value) in values {
        let path = format!("{path}.{key}");
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(values)) => {
                override_keys(inner, values, &path)?
            }
            (Some(old), value) => {
                let wanted = old.type_str();
                *old = of_type(value.clone(), old).ok_or_else(|| {
                    format!("{path} = {value}: must have the type of the key, {wanted}")
                })?;
            }
            // An optional section that is not set in `base`.
            (None, Value::Table(_)) => {
                table.insert(key.clone(), value.clone());
            }
            (None, _) => {
                let near = nearest(key, table.keys().map(String::as_str));
                return Err(format!("{path}: there is no such key{near}"));
            }
        }
    }
    Ok(())
}
