//! `electra predict`: a fine-tuned model on a file.

use super::Overwrite;
use crate::console::{self, Progress};
use anyhow::bail;
use clap::Parser;
use electra_tasks::{
    Predictor, Task, model,
    predict::{PredictOptions, Probabilities},
};
use electra_train::Existing;
use std::{path::PathBuf, process::ExitCode};

/// Predict the rows of a TSV, CSV or JSON lines file with a fine-tuned model.
#[derive(Debug, Parser)]
#[command(after_help = "Example:
  electra predict --model runs/mine --input new.tsv --output predictions.tsv --probabilities")]
pub(crate) struct Args {
    /// The folder that `electra finetune` wrote, or the `model` folder in it.
    #[arg(long)]
    model: PathBuf,
    /// A task.toml that the model must be of; not needed, the model knows its task.
    #[arg(long)]
    task: Option<PathBuf>,
    /// The rows; their text columns are named as in training.
    #[arg(long)]
    input: PathBuf,
    /// The TSV file to write: `index<TAB>prediction` in the order of the rows.
    #[arg(long)]
    output: PathBuf,
    /// Write the probability of each class as well.
    #[arg(long)]
    probabilities: bool,
    /// Rows of one forward pass.
    #[arg(long, default_value_t = 64)]
    batch_size: usize,
    /// "auto", "cpu" or "cuda:N".
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if self.output.is_file() && self.overwrite.existing() == Existing::Refuse {
            bail!(
                "{} exists: name another file, or replace it with --overwrite",
                self.output.display()
            );
        }
        let model = model::folder_of(&self.model);
        if let Some(path) = &self.task {
            let (task, known) = (Task::read(path)?, Predictor::open(&model, &self.device)?);
            if task.name != known.info().header.task {
                bail!(
                    "{} is a model of task {:?}, not of {:?}",
                    model.display(),
                    known.info().header.task,
                    task.name
                );
            }
        }
        let options = PredictOptions {
            device: self.device,
            batch_size: self.batch_size,
            probabilities: if self.probabilities {
                Probabilities::Write
            } else {
                Probabilities::Omit
            },
        };
        let mut progress = Progress::new("rows", 0);
        let report =
            electra_tasks::predict(&model, &self.input, &self.output, &options, &mut |rows| {
                progress.set(rows, 0)
            })?;
        drop(progress);
        let rate = report.rows as f64 / report.seconds;
        console::print(format_args!(
            "{} rows, {rate:.0} a second: {}",
            report.rows,
            self.output.display()
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
