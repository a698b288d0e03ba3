//! What every crate of the workspace does with files.
//!
//! - [`config`]: TOML files with `KEY=VALUE` overrides and errors that name the key;
//! - [`nearest`]: the "did you mean" of an error message.

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;

pub mod config;
mod error;
mod suggest;

pub use config::{parse_toml, parse_toml_with, read_toml, section::Section};
pub use error::{Error, Result};
pub use suggest::nearest;
