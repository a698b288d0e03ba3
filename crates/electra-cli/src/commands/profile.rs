//! `electra profile`: profiles the parts of a pre-training step.

use crate::{Extensions, console};
use clap::Parser;
use electra_model::Precision;
use electra_train::{Profile, RunConfig, profile::Limit};
use serde_json::{Value, json};
use std::{path::PathBuf, process::ExitCode};
use tch::Kind;

/// Profile the parts of a pre-training step.
///
/// Prints their time, and their share of the machine's matrix throughput. Runs updates of the config on its shards without writing anything. The limit is the throughput of the best large f32
/// product, measured first, and with bfloat16 also that of the best bfloat16 product. FLOPs count matrix products and
/// attention once; recomputation and other work count only as time. Results are medians.
#[derive(Debug, Parser)]
#[command(after_help = "Example:
  electra profile configs/pretrain-small.toml --set data.shards=shards --set train.batch_size=32 --steps 10")]
pub(crate) struct Args {
    /// Config file (TOML).
    config: PathBuf,
    /// Override a config key; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Timed updates, after a few warm-up updates.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        let config = RunConfig::read(&self.config, &self.overrides)?;
        let device = electra_torch::device(&config.train.device)?;
        let bf16 = config.model.discriminator.precision == Precision::Bf16;
        let limits = Limits {
            f32: Limit::measure(device, Kind::Float),
            bf16: bf16.then(|| Limit::measure(device, Kind::BFloat16)),
        };
        let profile = extensions.recipe(config).profile(self.steps)?;
        if self.json {
            console::print(serde_json::to_string_pretty(&results(&profile, &limits))?)?;
        } else {
            table(&profile, &limits)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Throughput of the best large products.
struct Limits {
    f32: Limit,
    bf16: Option<Limit>,
}

/// A row of the table.
struct Row {
    name: &'static str,
    label: &'static str,
    seconds: f64,
    flops: f64,
}

/// The stages in order, the rest, and the whole step.
fn rows(profile: &Profile) -> Vec<Row> {
    let stages = profile.stages.iter().enumerate().map(|(i, stage)| Row {
        name: stage.span,
        label: stage.label,
        seconds: profile.median(|step| step.times.stages[i].as_secs_f64()),
        flops: profile.median(|step| (stage.products)(&step.products)),
    });
    let seconds = profile.median(|step| step.times.other().as_secs_f64());
    let other = Row { name: "other", label: "other", seconds, flops: 0.0 };
    let seconds = profile.median(|step| step.times.whole.as_secs_f64());
    let flops = profile.median(|step| step.flops());
    let whole = Row { name: "step", label: "step", seconds, flops };
    stages.chain([other, whole]).collect()
}

fn results(profile: &Profile, limits: &Limits) -> Value {
    let limit = |l: &Limit| json!({ "flops_per_second": l.rate, "shape": l.shape });
    let parts = rows(profile).into_iter().map(|row| {
        let mut results = json!({ "part": row.name, "seconds": row.seconds });
        if row.flops > 0.0 {
            let rate = row.flops / row.seconds;
            results["flops"] = row.flops.into();
            results["flops_per_second"] = rate.into();
            results["share_of_limit"] = (rate / limits.f32.rate).into();
            if let Some(bf16) = &limits.bf16 {
                results["share_of_limit_bf16"] = (rate / bf16.rate).into();
            }
        }
        results
    });
    json!({
        "parts": parts.collect::<Vec<_>>(),
        "steps": profile.steps.len(),
        "tokens_per_second": tokens_per_second(profile),
        "limit": limit(&limits.f32),
        "limit_bf16": limits.bf16.as_ref().map(limit),
    })
}

fn tokens_per_second(profile: &Profile) -> f64 {
    profile.median(|step| step.work.tokens / step.times.whole.as_secs_f64())
}

fn table(profile: &Profile, limits: &Limits) -> anyhow::Result<()> {
    let rows = rows(profile);
    let step = rows.last().map_or(f64::NAN, |row| row.seconds);
    let bf16 = limits.bf16.as_ref();
    let column = |text: Option<String>| format!("{:>11}", text.unwrap_or_default());
    console::print(format_args!(
        "{:<36}{:>10}{:>9}{:>10}{:>11}{:>11}{}",
        "part",
        "ms",
        "of step",
        "GFLOP",
        "GFLOP/s",
        "of f32",
        column(bf16.map(|_| "of bf16".to_owned())).trim_end(),
    ))?;
    for row in &rows {
        let time = format!("{:>10.2}{:>7.1} %", 1e3 * row.seconds, 100.0 * row.seconds / step);
        let products = if row.flops > 0.0 {
            let rate = row.flops / row.seconds;
            let share = |limit: &Limit| format!("{:.1} %", 100.0 * rate / limit.rate);
            format!(
                "{:>10.2}{:>11.1}{}{}",
                row.flops / 1e9,
                rate / 1e9,
                column(Some(share(&limits.f32))),
                column(bf16.map(share)).trim_end(),
            )
        } else {
            String::new()
        };
        console::print(format_args!("{:<36}{time}{products}", row.label))?;
    }
    let limit = |what: &str, limit: &Limit| {
        let [m, k, n] = limit.shape;
        format!("{what}: {:.1} GFLOP/s, of {m} x {k} by {k} x {n}", limit.rate / 1e9)
    };
    console::print(format_args!("\nlimit in {}", limit("f32", &limits.f32)))?;
    if let Some(bf16) = bf16 {
        console::print(format_args!("limit in {}", limit("bf16", bf16)))?;
    }
    console::print(format_args!(
        "{:.0} tokens/s; medians over {} updates",
        tokens_per_second(profile),
        profile.steps.len()
    ))
}
