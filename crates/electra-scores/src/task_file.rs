//! `task.toml`: the description of a task of any kind, and its section for the fine-tuning config.

use crate::error::Result;
use electra_files::{Section, parse_toml_with, read_text};
use serde::{Deserialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// The section of a `task.toml` that overrides keys of the fine-tuning config.
const CONFIG: &str = "config";

/// The text of a `task.toml` of any kind of task.
#[derive(Clone, Debug)]
pub struct TaskFile {
    path: PathBuf,
    text: String,
}

impl TaskFile {
    /// Reads the file `path`, or `task.toml` in the folder `path`.
    ///
    /// # Errors
    /// Naming the file that cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let path = if path.is_dir() { path.join("task.toml") } else { path.to_owned() };
        let text = read_text(&path)?;
        Ok(Self { path, text })
    }

    /// A description that is not in a file; `name` names it in errors.
    pub fn from_text(name: &str, text: String) -> Self {
        Self { path: name.into(), text }
    }

    /// The path, which names it in errors.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value of the key `kind`, if the text is TOML and has the key.
    pub fn kind(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Peek {
            kind: Option<String>,
        }
        toml::from_str::<Peek>(&self.text).ok().and_then(|peek| peek.kind)
    }

    /// The description with `KEY=VALUE` overrides, and the section `[config]`.
    ///
    /// # Errors
    /// Naming the file, line and key.
    pub fn parse<T: DeserializeOwned>(&self, overrides: &[String]) -> Result<(T, Section)> {
        Ok(parse_toml_with(&self.text, &self.path, CONFIG, overrides)?)
    }
}
