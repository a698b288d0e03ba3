//! `electra flops`: prints parameters, FLOPs and memory of a config, or compares published models and runs.

mod published;
mod row;
mod runs;

use crate::{Extensions, console};
use bytesize::ByteSize;
use clap::Parser;
use electra_model::{
    Compute, Kernels,
    flops::{self, Products, Work},
    memory::Memory,
};
use electra_train::{
    RunConfig, host,
    objective::{ObjectiveSettings, TrainedNetwork},
};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use tch::Device;

/// Print parameters, FLOPs and memory of a config, or compare models.
///
/// FLOPs of a step, of the run and of inference follow the reference's conventions; `product_flops_per_token` counts only
/// the matrix products and attention of a step. Memory is computed for full sequences: `step_bytes` is the total of the
/// process, of which `process_bytes` is used before the model is created. `largest_batch_size` is the largest
/// `train.batch_size` that fits. For a GPU these are estimates.
///
/// `--published` and `--runs` print a table instead: objective, share of the input tokens that the loss covers, parameters
/// of the network to fine-tune, FLOPs of pre-training, and dev scores: GLUE as the mean over the paper's eight tasks, SQuAD
/// as exact match / F1.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  electra flops configs/pretrain-base.toml --json
  electra flops configs/pretrain-base.toml --set model.activations=recompute --memory 16GB
  electra flops --published --runs runs")]
pub(crate) struct Args {
    /// Config file (TOML).
    #[arg(required_unless_present_any = COMPARISON, conflicts_with_all = COMPARISON)]
    config: Option<PathBuf>,
    /// Override a config key; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with_all = COMPARISON)]
    overrides: Vec<String>,
    /// Available memory, such as 16GB or 16GiB. Default: the memory of the config's GPU, or of this machine.
    #[arg(long, value_name = "SIZE", conflicts_with_all = COMPARISON)]
    memory: Option<ByteSize>,
    /// Compare the published models: ELMo, GPT, BERT, XLNet, RoBERTa, ALBERT, SpanBERT, ELECTRA, DeBERTaV3.
    #[arg(long)]
    published: bool,
    /// Compare the runs of `electra pretrain` in a folder and its subfolders: FLOPs up to the newest checkpoint.
    ///
    /// Scores are those of `electra finetune`: medians over seeds on dev. A fine-tuning folder belongs to the run that
    /// contains it; otherwise to the run next to it, or next to a folder that contains it, if there is exactly one. If a run
    /// has several for one task, the best is shown.
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// The options that print a comparison instead of a config's costs.
const COMPARISON: [&str; 2] = ["published", "runs"];

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        match &self.config {
            Some(config) => self.costs(config, extensions),
            None => self.compare(extensions),
        }
    }

    /// Prints the table of published models and runs.
    fn compare(&self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        let published = if self.published { published::rows()? } else { Vec::new() };
        let runs = self.runs.as_deref().map(|dir| runs::read(dir, extensions));
        let runs = runs.transpose()?.unwrap_or_default();
        if self.json {
            let results =
                json!({ "published": published, "runs": runs.rows, "not_shown": runs.not_shown });
            console::print(serde_json::to_string_pretty(&results)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        row::lines(&[(&published, "unknown"), (&runs.rows, "-")])
            .iter()
            .try_for_each(console::print)?;
        for folder in &runs.not_shown {
            console::print(format_args!("not shown: {}: {}", folder.name, folder.reason))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Prints parameters, FLOPs and memory of a config.
    fn costs(&self, config: &Path, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        let mut config = RunConfig::read(config, &self.overrides)?;
        let process = host::resident_memory().unwrap_or(0);
        let device = electra_torch::device(&config.train.device)?;
        if Compute::of(&config.model.discriminator).is_gpu(device) {
            config.model.networks_mut().for_each(|network| network.kernels = Kernels::Gpu);
        }
        let memory = match (self.memory, device) {
            (Some(size), _) => Some(size.as_u64()),
            (None, Device::Cuda(index)) => host::cuda_memory(index),
            (None, _) => host::memory(),
        };
        config.train.device = "cpu".to_owned();
        let recipe = extensions.recipe(config.clone());
        let built = recipe.untrained()?;
        let parameters = built.parameters()?;
        let trained = built.objective.networks();
        let networks: Vec<_> = trained.iter().map(TrainedNetwork::spec).collect();
        let parts = recipe.parts();
        let batch = (config.train.batch_size * config.train.accumulate) as u64;
        let length = config.data.sequence_length as u64;
        let step = recipe.flops_of_step(&trained);
        let rate = config.objective.masking().rate();
        let token = Work::of_token(length, rate);
        let of_token = Memory::new(parts, &networks, parameters, &token);
        let step_memory = recipe.step_memory(&networks, parameters);
        let pass = step_memory.of_step();
        let largest = memory.map(|bytes| step_memory.largest_batch(bytes.saturating_sub(process)));
        let products: f64 =
            networks.iter().map(|network| Products::new(parts, network, &token).step()).sum();
        let results = json!({
            "parameters": parameters,
            "tokens_per_step": batch * length,
            "flops_per_step": step,
            "steps": config.train.steps,
            "flops_of_run": step * config.train.steps as f64,
            "tokens_of_run": batch * length * config.train.steps,
            "inference_flops_per_sequence": networks.first().map(|kept| flops::inference(parts, kept, length)),
            "sequence_length": length,
            "product_flops_per_token": products,
            "parameter_bytes": pass.parameters as u64,
            "gradient_bytes": pass.gradients as u64,
            "moment_bytes": pass.moments as u64,
            "activation_bytes_per_token": of_token.activations as u64,
            "process_bytes": process,
            "step_bytes": process + pass.step() as u64,
            "batch_size": config.train.batch_size,
            "memory_bytes": memory,
            "largest_batch_size": largest,
        });
        if self.json {
            console::print(serde_json::to_string_pretty(&results)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        for (name, value) in results.as_object().into_iter().flatten() {
            let shown = match (value.as_u64(), value.as_f64()) {
                (Some(bytes), _) if name.contains("bytes") => {
                    ByteSize(bytes).display().si().to_string()
                }
                (Some(whole), _) => whole.to_string(),
                (None, Some(number)) => format!("{number:.4e}"),
                (None, None) => "unknown".to_owned(),
            };
            console::print(format_args!("{name:<30} {shown}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
