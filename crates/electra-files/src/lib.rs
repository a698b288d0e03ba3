//! Files, folders and configs, as all crates of the workspace handle them.
//!
//! - [`config`]: TOML files with `KEY=VALUE` overrides and errors that name the key;
//! - [`folder`]: output folders that are created atomically and replaced only by the command that made them; locks;
//! - [`open`], [`read_text`] and related functions: errors name what is wrong with a path or its contents;
//! - [`PathKind`]: what a folder is, and what to do if it is another one than a command needs;
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
mod name;
mod path;
mod path_kind;
mod read;
mod suggest;

pub use config::{
    number_or_word, parse_toml, parse_toml_with, read_toml, section::Section, settings::Settings,
};
pub use error::{Error, Result};
pub use file::{if_there, read_json, sha256, sync, write_file, write_file_with, write_json};
pub use folder::{Existing, Kind};
pub use name::final_path;
pub use path_kind::PathKind;
pub use read::{LONE_SURROGATES, open, parse_json, read_bytes, read_text, wrong_contents};
pub use suggest::{is_similar, nearest};
