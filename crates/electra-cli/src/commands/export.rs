//! `electra export`: a network of a run in Hugging Face's format.

use super::Overwrite;
use crate::console;
use clap::{Parser, ValueEnum};
use electra_train::export::{self, Network};
use std::{path::PathBuf, process::ExitCode};

/// Write a network of a run so that `AutoModel.from_pretrained` loads it unchanged.
#[derive(Debug, Parser)]
#[command(
    after_help = "Example:\n  electra export runs/small --part discriminator --out exported/small"
)]
pub(crate) struct Args {
    /// A run folder (its newest whole checkpoint) or one checkpoint of it.
    checkpoint: PathBuf,
    /// The folder's format.
    #[arg(long, value_enum, default_value_t = Format::Hf)]
    format: Format,
    /// Which network.
    #[arg(long, value_enum, default_value_t = Part::Discriminator)]
    part: Part,
    /// The folder to make.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Hugging Face: config.json, model.safetensors, tokenizer files.
    Hf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    /// What is fine-tuned (`ElectraForPreTraining`).
    Discriminator,
    /// The discriminator without its head (`ElectraModel`).
    Encoder,
    /// The masked language model (`ElectraForMaskedLM`).
    Generator,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Format::Hf = self.format;
        let network = match self.part {
            Part::Discriminator => Network::Discriminator,
            Part::Encoder => Network::Encoder,
            Part::Generator => Network::Generator,
        };
        export::export(&self.checkpoint, network, &self.out, self.overwrite.existing())?;
        console::print(format_args!("exported: {}", self.out.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
