//! The `[files]` section of a `task.toml`.

use crate::{
    error::{Error, Result},
    table::Format,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// The `[files]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// The training set.
    pub train: PathBuf,
    /// The dev set, on which seeds are compared.
    pub dev: PathBuf,
    /// The labeled test set. It is scored at the end; nothing is selected by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The format of tables with another extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Names of all columns, for .tsv and .csv files without a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Further dev sets by name. They are scored as `dev` is; nothing is selected by them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more_dev: BTreeMap<String, PathBuf>,
}

impl Files {
    /// Checks that keys for tables are not set, for tasks whose files are not tables.
    ///
    /// # Errors
    /// Naming the key.
    pub fn without_tables(&self) -> Result<()> {
        if let Some(format) = self.format {
            let expected = "is for tables: the files of this kind of task are not tables";
            return Err(Error::value("files.format", format, expected));
        }
        match &self.columns {
            Some(names) => {
                let expected = "is for tables without a header";
                Err(Error::value("files.columns", format!("{names:?}"), expected))
            }
            None => Ok(()),
        }
    }
}

/// Whether the order of a pair's texts matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairs {
    /// It matters, as for a premise and a hypothesis.
    #[default]
    Ordered,
    /// It does not matter: each training pair is used in both orders (the reference's `double_unordered`), first all as
    /// they are, then all swapped.
    Unordered,
}

impl Pairs {
    pub(crate) fn is_ordered(&self) -> bool {
        *self == Self::Ordered
    }
}

/// Whether a key has its default of 0.
pub(crate) fn is_zero(x: &f64) -> bool {
    *x == 0.0
}
