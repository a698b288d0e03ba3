//! A section of a file that is for another config than the rest of the file: its keys are laid over that config's.

use super::{explain, keys, nearest, of_type};
use crate::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A section of a file whose keys replace those of a config; by default, one without keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    /// The file.
    pub(super) path: PathBuf,
    /// What the file calls it.
    pub(super) name: String,
    pub(super) values: Table,
}

impl Section {
    /// Whether it has no key.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The file that it is in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it has a key of the config, such as `train.epochs`.
    pub fn has(&self, key: &str) -> bool {
        let (section, last) = key.rsplit_once('.').map_or((None, key), |(a, b)| (Some(a), b));
        let mut names = section.iter().flat_map(|path| path.split('.'));
        let inner = names.try_fold(&self.values, |table, name| table.get(name)?.as_table());
        inner.is_some_and(|table| table.contains_key(last))
    }

    /// `base` with the section's keys in the place of its own.
    ///
    /// # Errors
    /// [`Error::Config`] naming the file and the first key that the config lacks, or whose value cannot be one of it.
    pub fn over<T: Serialize + DeserializeOwned>(&self, base: &T) -> Result<T> {
        let fail = |message| Error::Config { path: self.path.clone(), message };
        let mut table = Table::try_from(base).expect("a config of plain values serialises");
        lay(&mut table, &self.values, &self.name).map_err(fail)?;
        table.try_into().map_err(|e: toml::de::Error| {
            let why = explain(&e.to_string());
            fail(format!("section [{}]: {why}", self.name))
        })
    }
}

/// Puts `values`, which stand in the section `place`, where `table` has others; or says which key it lacks.
fn lay(table: &mut Table, values: &Table, place: &str) -> std::result::Result<(), String> {
    for (key, value) in values {
        let place = format!("{place}.{key}");
        let known = keys(table);
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(values)) => lay(inner, values, &place)?,
            (Some(old), value) => {
                let wanted = old.type_str();
                *old = of_type(value.clone(), old).ok_or_else(|| {
                    format!("{place} = {value}: must be of the key's type, {wanted}")
                })?;
            }
            // A section that a config may have, and this one has not.
            (None, Value::Table(_)) => {
                table.insert(key.clone(), value.clone());
            }
            (None, _) => {
                return Err(format!("{place}: there is no such key{}", nearest(key, &known)));
            }
        }
    }
    Ok(())
}
