//! Files, folders and configs, as all crates of the workspace handle them.
//!
//! - [`config`]: TOML files with `KEY=VALUE` overrides and errors that name the key;
//! - [`folder`]: output folders that are created atomically and replaced only by the command that made them; locks;
//! - [`write_file_with`] and related functions: atomic writes, JSON, checksums;
//! - [`nearest`]: "did you mean" suggestions for error messages.

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;

pub mod config;
mod error;
mod file;
pub mod folder;
mod lock;
mod path;
mod suggest;

pub use config::{number_or_word, parse_toml, parse_toml_with, read_toml, section::Section};
pub use error::{Error, Result};
pub use file::{if_there, read_json, sha256, sync, write_file, write_file_with, write_json};
pub use folder::{Existing, Kind};
pub use suggest::nearest;
