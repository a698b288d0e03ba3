//! `electra presets`: the configs inside the binary.

use crate::console;
use clap::Parser;
use electra_train::Preset;
use std::{io::Write, process::ExitCode};

/// List the pre-training presets, or print one as a config file.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  electra presets
  electra presets small > small.toml")]
pub(crate) struct Args {
    /// The preset to print.
    #[arg(value_enum)]
    name: Option<Preset>,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.name {
            Some(preset) => write!(console::Output, "{}", preset.text())?,
            None => {
                for preset in Preset::ALL {
                    // The comment at the start of a file says what it is for.
                    let about = preset.text().lines().next().unwrap_or_default();
                    let about = about.trim_start_matches("# ");
                    console::print(format_args!("{:<8}{about}", preset.name()))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
