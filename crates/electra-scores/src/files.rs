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
    /// The set that seeds are compared on.
    pub dev: PathBuf,
    /// The labelled set that is scored at the end and that nothing is chosen by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The format of tables whose extensions do not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Names of all columns of .tsv and .csv files that have no header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Further dev sets by name: scored as `dev` is, and nothing is chosen by them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more_dev: BTreeMap<String, PathBuf>,
}

impl Files {
    /// Checks that the keys of tables are not used, for files with a format of their own.
    ///
    /// # Errors
    /// Naming the key.
    pub fn without_tables(&self) -> Result<()> {
        if let Some(format) = self.format {
            let expected =
                "is for tables: the files of this kind of task have a format of their own";
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
    /// It does, as for a premise and a hypothesis.
    #[default]
    Ordered,
    /// It does not: each training pair is learned in both orders (the reference's `double_unordered`), first all as
    /// they are, then all swapped.
    Unordered,
}

impl Pairs {
    pub(crate) fn is_ordered(&self) -> bool {
        *self == Self::Ordered
    }
}
