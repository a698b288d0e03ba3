//! Settings that this workspace does not define: those of somebody's own part or objective.

use super::value::explain;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt;
use toml::Table;

/// The keys of a table whose names only the reader of [`Self::read`] knows. They are kept as they are in TOML and JSON files.
///
/// ```
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Window {
///     size: usize,
/// }
/// let settings: electra_files::Settings = serde_json::from_str(r#"{"size": 3}"#)?;
/// assert_eq!(settings.read::<Window>()?.size, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(Table);

impl Settings {
    /// The settings of a table.
    pub fn new(table: Table) -> Self {
        Self(table)
    }

    /// The keys and values.
    pub fn table(&self) -> &Table {
        &self.0
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The settings as a value of `T`.
    ///
    /// # Errors
    /// A message about the key that is missing, unknown or of the wrong type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        let message = |error: toml::de::Error| explain(&error.to_string()).replace('\n', " ");
        T::deserialize(self.0.clone()).map_err(message)
    }
}

/// As an inline table of TOML: `{ size = 3 }`.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", toml::Value::Table(self.0.clone()))
    }
}
