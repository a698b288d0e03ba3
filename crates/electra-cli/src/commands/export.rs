//! `electra export`: a network of a run in Hugging Face's format.

use super::Overwrite;
use crate::console;
use anyhow::bail;
use clap::{Parser, ValueEnum};
use electra_train::export::{self, Exported};
use std::{path::PathBuf, process::ExitCode};

/// Write a network of a run so that `AutoModel.from_pretrained` loads it unchanged, or both for the original.
#[derive(Debug, Parser)]
#[command(
    after_help = "Examples:\n  electra export runs/small --part discriminator --out exported/small\n  electra export runs/my-task --out exported/my-task\n  electra export runs/small --format tf --out exported/small-tf"
)]
pub(crate) struct Args {
    /// A run folder (its newest whole checkpoint) or one checkpoint of it; or a fine-tuned run or model.
    checkpoint: PathBuf,
    /// The folder's format.
    #[arg(long, value_enum, default_value_t = Format::Hf)]
    format: Format,
    /// Which network of a pre-training run; the discriminator by default.
    #[arg(long, value_enum)]
    part: Option<Exported>,
    /// The folder to make.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Hugging Face: config.json, model.safetensors, tokenizer files, a model card.
    Hf,
    /// TensorFlow, as the original wrote it: both networks in one checkpoint, with vocab.txt.
    Tf,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let existing = self.overwrite.existing();
        let finetuned = ["task.json", "model/task.json"];
        match (self.format, self.part) {
            (Format::Tf, Some(_)) => bail!("--format tf writes both networks: leave out --part"),
            (Format::Tf, None) => {
                let note = export::export_tf(&self.checkpoint, &self.out, existing)?;
                note.into_iter().for_each(|note| tracing::warn!("{note}"));
            }
            (Format::Hf, None) if finetuned.iter().any(|f| self.checkpoint.join(f).is_file()) => {
                electra_tasks::model::export(&self.checkpoint, &self.out, existing)?;
            }
            (Format::Hf, part) => {
                let part = part.unwrap_or(Exported::Discriminator);
                export::export(&self.checkpoint, part, &self.out, existing)?;
            }
        }
        console::print(format_args!("exported: {}", self.out.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
