//! The pre-training configs of `configs/`, inside the library.

use crate::{Result, RunConfig};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A config of `configs/`, by its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Preset {
    /// 2 layers of 128; minutes on 2 CPU cores.
    Tiny,
    /// 4 layers of 192; an hour on 2 CPU cores.
    Hour,
    /// ELECTRA-Small: Table 6 of the paper.
    Small,
    /// ELECTRA-Base: Table 6 of the paper.
    Base,
    /// ELECTRA-Large: Table 6 of the paper.
    Large,
}

impl Preset {
    /// All presets, from the smallest network to the largest.
    pub const ALL: [Self; 5] = [Self::Tiny, Self::Hour, Self::Small, Self::Base, Self::Large];

    /// The name: `tiny`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Hour => "hour",
            Self::Small => "small",
            Self::Base => "base",
            Self::Large => "large",
        }
    }

    /// The file in `configs/`: `pretrain-tiny.toml`.
    pub fn file(self) -> String {
        format!("pretrain-{}.toml", self.name())
    }

    /// The text of the file, with its comments.
    pub fn text(self) -> &'static str {
        match self {
            Self::Tiny => include_str!("../configs/pretrain-tiny.toml"),
            Self::Hour => include_str!("../configs/pretrain-hour.toml"),
            Self::Small => include_str!("../configs/pretrain-small.toml"),
            Self::Base => include_str!("../configs/pretrain-base.toml"),
            Self::Large => include_str!("../configs/pretrain-large.toml"),
        }
    }

    /// The config, with `KEY=VALUE` overrides.
    ///
    /// # Errors
    /// Naming an override that is not valid.
    pub fn config(self, overrides: &[String]) -> Result<RunConfig> {
        RunConfig::parse(self.text(), Path::new(&self.file()), overrides)
    }
}
