//! `task.toml`: the description of a task of some kind, and what it changes in the fine-tuning config.

use crate::error::{Error, Result};
use electra_files::{Section, parse_toml_with};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The section of a `task.toml` with keys of the fine-tuning config.
const CONFIG: &str = "config";

/// The text of a `task.toml`, whatever its kind.
#[derive(Clone, Debug)]
pub struct TaskFile {
    path: PathBuf,
    text: String,
}

impl TaskFile {
    /// Reads `task.toml`, or the one in the folder `path`.
    ///
    /// # Errors
    /// Naming the file that cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let path = if path.is_dir() { path.join("task.toml") } else { path.to_owned() };
        let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
        Ok(Self { path, text })
    }

    /// A description that comes from no file; `name` is what errors call it.
    pub fn from_text(name: &str, text: String) -> Self {
        Self { path: name.into(), text }
    }

    /// What errors call it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value of its key `kind`, if it can be read and has one.
    pub fn kind(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Peek {
            kind: Option<String>,
        }
        toml::from_str::<Peek>(&self.text).ok().and_then(|peek| peek.kind)
    }

    /// The description with `KEY=VALUE` overrides of its keys, and the section `[config]`.
    ///
    /// # Errors
    /// Naming the file, line and key.
    pub fn parse<T: DeserializeOwned>(&self, overrides: &[String]) -> Result<(T, Section)> {
        Ok(parse_toml_with(&self.text, &self.path, CONFIG, overrides)?)
    }
}
