//! `electra evaluate`: held-out metrics, the same on every run.

use crate::console;
use clap::Parser;
use electra_data::{ShardSet, Split};
use electra_files::write_file_with;
use electra_train::{
    Recipe, RunConfig, export,
    metrics::{entropy, number},
};
use std::{io::Write, path::PathBuf, process::ExitCode};

/// Held-out generator and discriminator metrics of a run, as JSON.
///
/// Without dropout, over all of the shards' held-out split, with masks and samples that depend on the
/// example alone.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n  electra evaluate runs/small --shards data/shards-small")]
pub(crate) struct Args {
    /// A run folder (its newest whole checkpoint) or one checkpoint of it.
    run: PathBuf,
    /// Shards to evaluate on; the run's own by default.
    #[arg(long)]
    shards: Option<PathBuf>,
    /// Write the JSON here as well.
    #[arg(long)]
    output: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (run, checkpoint) = export::locate(&self.run)?;
        let config = RunConfig::read(&run.config(), &[])?;
        let shards = self.shards.unwrap_or_else(|| config.data.shards.clone());
        let counts = ShardSet::open(&shards, Split::Train)?.unigram_counts()?;
        let mut figures = Recipe::from_config(config).evaluate(&run, &checkpoint, &shards)?;
        // Baselines: what is reached without looking at the context.
        figures.insert("unigram_entropy".to_owned(), number(entropy(counts.iter().copied())));
        if let Some(p) = figures.get("replaced_fraction").and_then(serde_json::Value::as_f64) {
            let majority = -p * p.ln() - (1.0 - p) * (1.0 - p).ln();
            figures.insert("majority_class_entropy".to_owned(), number(majority));
        }
        figures.insert("checkpoint".to_owned(), checkpoint.display().to_string().into());
        let json = serde_json::to_string_pretty(&figures)?;
        console::print(&json)?;
        if let Some(path) = &self.output {
            write_file_with(path, |file| -> anyhow::Result<()> { Ok(writeln!(file, "{json}")?) })?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
