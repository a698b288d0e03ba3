//! The `[files]` section of a `task.toml`.

use crate::{
    error::{Error, Result},
    table::{Delimiter, Format, Header, Layout, Quoting},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The `[files]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The delimiter of .tsv and .csv files, if it is not a tab or a comma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<Delimiter>,
    /// Whether fields of .tsv and .csv files may be enclosed in quotation marks; by default those of .csv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoting: Option<Quoting>,
    /// Names of all columns, for .tsv and .csv files without a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Further dev sets by name. They are scored as `dev` is; nothing is selected by them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more_dev: BTreeMap<String, PathBuf>,
}

impl Files {
    /// How the file `path` is divided into rows and columns.
    ///
    /// # Errors
    /// If neither a key nor the extension names the format.
    pub fn layout(&self, path: &Path) -> Result<Layout<'_>> {
        let unknown = "the extension must be .tsv, .csv, .jsonl, .ndjson or .json; for other extensions set the key \
                       files.format";
        Ok(Layout {
            format: match self.format {
                Some(format) => format,
                None => Format::of(path).map_err(|_| Error::file(path, unknown))?,
            },
            delimiter: self.delimiter,
            quoting: self.quoting,
            header: match &self.columns {
                Some(names) => Header::Given(names),
                None => Header::FirstLine,
            },
        })
    }

    /// Checks that keys for tables are not set, for tasks whose files are not tables.
    ///
    /// # Errors
    /// Naming the key.
    pub fn without_tables(&self) -> Result<()> {
        let delimiter = self.delimiter.map(|delimiter| format!("{:?}", String::from(delimiter)));
        for (key, value) in [
            ("files.format", self.format.map(|format| format.to_string())),
            ("files.delimiter", delimiter),
            ("files.quoting", self.quoting.map(|quoting| format!("{quoting:?}"))),
            ("files.columns", self.columns.as_ref().map(|names| format!("{names:?}"))),
        ] {
            if let Some(value) = value {
                let expected = "is for tables: the files of this kind of task are not tables";
                return Err(Error::value(key, value, expected));
            }
        }
        Ok(())
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
