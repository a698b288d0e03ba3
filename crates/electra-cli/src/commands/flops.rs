//! `electra flops`: prints parameters, FLOPs and memory of a config.

use crate::console;
use bytesize::ByteSize;
use clap::Parser;
use electra_model::{
    Compute, Kernels,
    flops::{self, Products, Work},
    memory::Memory,
};
use electra_train::{
    Recipe, RunConfig, host,
    objective::{ObjectiveSettings, TrainedNetwork},
};
use serde_json::json;
use std::{path::PathBuf, process::ExitCode};
use tch::Device;

/// Print parameters, FLOPs and memory of a config.
///
/// FLOPs of a step, of the run and of inference follow the reference's conventions; `product_flops_per_token` counts only
/// the matrix products and attention of a step. Memory is computed for full sequences: `step_bytes` is the total of the
/// process, of which `process_bytes` is used before the model is created. `largest_batch_size` is the largest
/// `train.batch_size` that fits. For a GPU these are estimates.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  electra flops configs/pretrain-base.toml --json
  electra flops configs/pretrain-base.toml --set model.activations=recompute --memory 16GB")]
pub(crate) struct Args {
    /// The config.
    config: PathBuf,
    /// Override a config key; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Available memory, such as 16GB or 16GiB. Default: the memory of the config's GPU, or of this machine.
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut config = RunConfig::read(&self.config, &self.overrides)?;
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
        let recipe = Recipe::from_config(config.clone());
        let built = recipe.untrained()?;
        let parameters: usize = built.variables()?.iter().map(|(_, t)| t.numel()).sum();
        let networks: Vec<_> =
            built.objective.networks().iter().map(TrainedNetwork::spec).collect();
        let parts = recipe.parts();
        let batch = (config.train.batch_size * config.train.accumulate) as u64;
        let length = config.data.sequence_length as u64;
        let step = flops::train_step(parts, &networks, batch, length);
        let rate = config.objective.masking().rate();
        let count = parameters as u64;
        let token = Work::of_token(length, rate);
        let sequence = token.times(length as f64);
        let memory_of = |work: &Work| Memory::new(parts, &networks, count, work);
        let pass = memory_of(&sequence.times(config.train.batch_size as f64));
        let largest = memory.map(|bytes| {
            let room = bytes.saturating_sub(process) as f64;
            Memory::largest_batch(parts, &networks, count, &sequence, room)
        });
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
            "activation_bytes_per_token": memory_of(&token).activations as u64,
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
