//! `electra evaluate`: reproducible held-out metrics.

use crate::console;
use clap::Parser;
use electra_data::{ShardSet, Split};
use electra_files::write_file_with;
use electra_train::{
    Recipe, RunConfig, export,
    metrics::{entropy, number},
};
use std::{io::Write, path::PathBuf, process::ExitCode};

/// Print held-out generator and discriminator metrics of a run as JSON.
///
/// Evaluates the whole held-out split without dropout. Masks and samples depend only on the example, so results are
/// reproducible.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n  electra evaluate runs/small --shards data/shards-small")]
pub(crate) struct Args {
    /// A run folder (the newest intact checkpoint is used) or a checkpoint.
    run: PathBuf,
    /// Shards to evaluate on. Default: those of the run.
    #[arg(long)]
    shards: Option<PathBuf>,
    /// Also write the JSON to a file.
    #[arg(long)]
    output: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (run, checkpoint) = export::locate(&self.run)?;
        let config = RunConfig::read(&run.config(), &[])?;
        let shards = self.shards.unwrap_or_else(|| config.data.shards.clone());
        let counts = ShardSet::open(&shards, Split::Train)?.unigram_counts()?;
        let mut metrics = Recipe::from_config(config).evaluate(&run, &checkpoint, &shards)?;
        // Baselines: the losses of models that ignore the context.
        metrics.insert("unigram_entropy".to_owned(), number(entropy(counts.iter().copied())));
        if let Some(p) = metrics.get("replaced_fraction").and_then(serde_json::Value::as_f64) {
            let majority = -p * p.ln() - (1.0 - p) * (1.0 - p).ln();
            metrics.insert("majority_class_entropy".to_owned(), number(majority));
        }
        metrics.insert("checkpoint".to_owned(), checkpoint.display().to_string().into());
        let json = serde_json::to_string_pretty(&metrics)?;
        console::print(&json)?;
        if let Some(path) = &self.output {
            write_file_with(path, |file| -> anyhow::Result<()> { Ok(writeln!(file, "{json}")?) })?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
