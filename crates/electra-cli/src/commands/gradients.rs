//! `electra gradients`: the losses and gradients of a given batch.

use crate::{Extensions, console};
use anyhow::{Context, bail};
use clap::Parser;
use electra_model::tensors;
use electra_tokenize::{Tokenizer, WordPiece};
use electra_train::{RunConfig, gradients::read_batch, run_dir::RunDir, state};
use std::{path::PathBuf, process::ExitCode};

/// Write the losses and gradients of an objective on a given batch.
///
/// Without dropout, for comparing an objective with another implementation. The batch is a safetensors file with `input_ids`,
/// `attention_mask`, `token_type_ids` `[b, s]`, `positions` `[p]` (masked positions, `row * s + column`) and `sampled_ids`
/// `[p]` (used instead of sampling), all int64, and optionally `masked_ids` `[b, s]` (default: `[MASK]` at all positions).
/// The output has `loss`, `loss.PART` and `grad.VARIABLE`.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  electra gradients runs/small --input batch.safetensors --output gradients.safetensors
  electra gradients configs/ablations/gdes.toml --set data.shards=shards --weights weights.safetensors --input batch.safetensors \\
    --output gradients.safetensors")]
pub(crate) struct Args {
    /// Config file (TOML), or a run folder.
    source: PathBuf,
    /// Override a config key; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The weights by variable, as in a checkpoint's model.safetensors. Default: the run's newest checkpoint.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// The batch, as safetensors.
    #[arg(long)]
    input: PathBuf,
    /// Output file, as safetensors.
    #[arg(long)]
    output: PathBuf,
}

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        let run = match self.source.is_dir() {
            true => Some(RunDir::open(&self.source)?),
            false => None,
        };
        let mut config = match &run {
            Some(run) => RunConfig::read(&run.config(), &self.overrides)?,
            None => RunConfig::read(&self.source, &self.overrides)?,
        };
        let weights = match (&self.weights, &run) {
            (Some(weights), _) => weights.clone(),
            (None, Some(run)) => state::newest(run.path())?.path.join("model.safetensors"),
            (None, None) => {
                bail!("a config has no weights: pass --weights FILE, or name a run folder")
            }
        };
        let tokenizer = match &run {
            Some(run) => run.tokenizer(),
            None => config.data.shards.join("tokenizer"),
        };
        let tokenizer = WordPiece::from_pretrained_dir(&tokenizer).context(
            "the special tokens of the batch are those of the shards' vocabulary: set data.shards to an existing folder",
        )?;
        let vocab = tokenizer.vocab();
        for network in config.model.networks_mut() {
            network.tokens = Some(vocab.len() as i64);
        }
        let batch = read_batch(&self.input, vocab.special(), &config.model.discriminator)?;
        let all = extensions.recipe(config).gradients(&weights, &batch)?;
        tensors::write(&self.output, &all)?;
        for (name, tensor) in all.iter().filter(|(name, _)| name.starts_with("loss")) {
            console::print(format_args!("{name:<24} {:.6}", tensor.double_value(&[])))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
