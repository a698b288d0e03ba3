//! One module per command.

pub(crate) mod compare;
pub(crate) mod corpus;
pub(crate) mod embed;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod fill_mask;
pub(crate) mod finetune;
pub(crate) mod flops;
pub(crate) mod forward;
pub(crate) mod gpu_check;
pub(crate) mod gradients;
pub(crate) mod import;
mod model;
pub(crate) mod predict;
pub(crate) mod presets;
pub(crate) mod pretrain;
pub(crate) mod profile;
pub(crate) mod report;
pub(crate) mod rescore;
mod run_folders;
pub(crate) mod runs;
pub(crate) mod score;
pub(crate) mod shards;
pub(crate) mod submit;
mod table;
pub(crate) mod train;
pub(crate) mod vocab;

use electra_scores::Lines;
use electra_train::Existing;
use std::{io, path::Path};

/// What errors call standard input.
pub(crate) const STANDARD_INPUT: &str = "standard input";

/// Whether existing output is replaced.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Overwrite {
    /// Replace an existing output file, or an output folder made by the same command.
    #[arg(long)]
    overwrite: bool,
}

impl Overwrite {
    pub(crate) fn existing(self) -> Existing {
        match self.overwrite {
            true => Existing::Replace,
            false => Existing::Refuse,
        }
    }
}

/// The lines of a file or of standard input, and the name in errors.
pub(crate) fn lines(input: &Path) -> anyhow::Result<(Lines, String)> {
    Ok(match is_standard(input) {
        true => (Lines::from_reader(io::stdin()), STANDARD_INPUT.to_owned()),
        false => (Lines::from_reader(electra_files::open(input)?), input.display().to_string()),
    })
}

/// Parses a number, which may be infinite but not NaN.
pub(crate) fn number(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| !number.is_nan());
    number.ok_or_else(|| "must be a number, or inf or -inf".to_owned())
}

/// Whether a path is `-`, which stands for standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}
