//! `electra flops`: parameters and FLOPs of a config.

use crate::console;
use clap::Parser;
use electra_model::{Parts, Pretraining, flops, networks::variables};
use electra_train::RunConfig;
use serde_json::json;
use std::{path::PathBuf, process::ExitCode};
use tch::{Device, nn};

/// Parameters, FLOPs per step and for the run, inference FLOPs, by the reference's conventions.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n  electra flops configs/pretrain-base.toml --json")]
pub(crate) struct Args {
    /// The config.
    config: PathBuf,
    /// Override one key; may be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = RunConfig::read(&self.config, &self.overrides)?;
        let vs = nn::VarStore::new(Device::Cpu);
        Pretraining::new(&vs.root(), &config.model, &Parts::from_config(&config.model))?;
        let parameters: usize = variables(&vs)?.iter().map(|(_, t)| t.numel()).sum();
        let batch = (config.train.batch_size * config.train.accumulate) as u64;
        let length = config.data.sequence_length as u64;
        let step = flops::train_step(&config.model, batch, length);
        let figures = json!({
            "parameters": parameters,
            "tokens_per_step": batch * length,
            "flops_per_step": step,
            "steps": config.train.steps,
            "flops_of_run": step * config.train.steps as f64,
            "tokens_of_run": batch * length * config.train.steps,
            "inference_flops_per_sequence": flops::inference(&config.model, length),
            "sequence_length": length,
        });
        if self.json {
            console::print(serde_json::to_string_pretty(&figures)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        for (name, value) in figures.as_object().into_iter().flatten() {
            let shown = match value.as_u64() {
                Some(whole) => whole.to_string(),
                None => format!("{:.4e}", value.as_f64().unwrap_or(f64::NAN)),
            };
            console::print(format_args!("{name:<30} {shown}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
