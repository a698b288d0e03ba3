//! `electra evaluate`: reproducible held-out metrics.

use crate::{Extensions, console};
use anyhow::bail;
use clap::Parser;
use electra_files::{PathKind, write_file_with};
use electra_train::{RunConfig, config::Probe, evaluation::evaluation, export};
use std::{io::Write, path::PathBuf, process::ExitCode};

/// Print held-out metrics of a run as JSON.
///
/// Evaluates the whole held-out split without dropout. Masks and samples depend only on the example, so results are
/// reproducible.
#[derive(Debug, Parser)]
#[command(
    after_help = "Example:\n  electra evaluate runs/small --shards data/shards-small --reference unigram"
)]
pub(crate) struct Args {
    /// A run folder (the newest intact checkpoint is used) or a checkpoint.
    run: PathBuf,
    /// Shards to evaluate on. Default: those of the run.
    #[arg(long)]
    shards: Option<PathBuf>,
    /// Also evaluate the discriminator on the replacements of this generator: a model folder, or "unigram". Default:
    /// evaluate.reference of the run's config.
    #[arg(long, value_name = "MODEL")]
    reference: Option<String>,
    /// Also evaluate a linear probe. Default: evaluate.probe of the run's config.
    #[arg(long)]
    probe: Option<Probe>,
    /// Also write the JSON to a file.
    #[arg(long)]
    output: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        self.check_run()?;
        let (run, _) = export::locate(&self.run)?;
        let mut config = RunConfig::read(&run.config(), &[])?;
        if let Some(reference) = self.reference {
            config.evaluate.reference = reference.into();
        }
        config.evaluate.probe = self.probe.unwrap_or(config.evaluate.probe);
        let recipe = extensions.recipe(config);
        let metrics = evaluation(&recipe, &self.run, self.shards.as_deref())?;
        let json = serde_json::to_string_pretty(&metrics)?;
        console::print(&json)?;
        if let Some(path) = &self.output {
            write_file_with(path, |file| -> anyhow::Result<()> { Ok(writeln!(file, "{json}")?) })?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Checks that the folder is not a fine-tuned model, which has the metrics of its task.
    fn check_run(&self) -> anyhow::Result<()> {
        let run = &self.run;
        let is_tuned = match PathKind::of(run) {
            Some(PathKind::FineTuning) => run.join("model/config.json").is_file(),
            Some(PathKind::Model) => run.join("task.json").is_file(),
            _ => false,
        };
        if is_tuned {
            let run = run.display();
            bail!(
                "{run} is a fine-tuned model, and `electra evaluate` is for pre-training; its scores on dev are in results.json \
                 of the fine-tuning. To score another file: electra predict --model {run} --input FILE --output PREDICTIONS, \
                 and then electra score with the kind of the task (electra score --help)"
            );
        }
        Ok(())
    }
}
