//! `electra export`: exports a run to Hugging Face's or TensorFlow's format.

use super::Overwrite;
use crate::{Extensions, console};
use anyhow::bail;
use clap::{Parser, ValueEnum};
use electra_train::{
    Recipe, RunConfig,
    export::{ExportPart, locate},
};
use std::{path::PathBuf, process::ExitCode};

/// Export a model of a run to a folder.
///
/// The folder is for `AutoModel.from_pretrained` of transformers, for fine-tuning and for prediction. With --format tf, both
/// networks are written as a checkpoint of the original.
#[derive(Debug, Parser)]
#[command(
    after_help = "Examples:\n  electra export runs/small --part discriminator --out exported/small\n  electra export runs/my-task --out exported/my-task\n  electra export runs/small --format tf --out exported/small-tf"
)]
pub(crate) struct Args {
    /// A run folder (the newest intact checkpoint is used), a checkpoint, or a fine-tuned run or model.
    checkpoint: PathBuf,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Hf)]
    format: Format,
    /// Network of a pre-training run. Default: the discriminator.
    #[arg(long, value_enum)]
    part: Option<ExportPart>,
    /// Output folder.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Hugging Face: config.json, model.safetensors, tokenizer files, a model card.
    Hf,
    /// TensorFlow, in the original's format: both networks in one checkpoint, with vocab.txt.
    Tf,
}

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        let existing = self.overwrite.existing();
        let finetuned = ["task.json", "model/task.json"];
        match (self.format, self.part) {
            (Format::Tf, Some(_)) => bail!("--format tf exports both networks: remove --part"),
            (Format::Tf, None) => {
                let note =
                    self.recipe(extensions)?.export_tf(&self.checkpoint, &self.out, existing)?;
                note.into_iter().for_each(|note| tracing::warn!("{note}"));
            }
            (Format::Hf, None) if finetuned.iter().any(|f| self.checkpoint.join(f).is_file()) => {
                electra_tasks::model::export(&self.checkpoint, &self.out, existing)?;
            }
            (Format::Hf, part) => {
                let part = part.unwrap_or(ExportPart::Default);
                self.recipe(extensions)?.export(&self.checkpoint, part, &self.out, existing)?;
            }
        }
        console::print(format_args!("exported: {}", self.out.display()))?;
        Ok(ExitCode::SUCCESS)
    }

    /// The recipe of the run.
    fn recipe(&self, extensions: &Extensions) -> electra_train::Result<Recipe> {
        let (run, _) = locate(&self.checkpoint)?;
        Ok(extensions.recipe(RunConfig::read(&run.config(), &[])?))
    }
}
