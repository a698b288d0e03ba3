//! A step of pre-training beside transformers in PyTorch.

use super::{Args, HOME, median, number, peer, read, report};
use crate::{
    pipeline::{self, ELECTRA},
    python, sh,
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A step's size.
pub(super) struct Work {
    name: &'static str,
    size: &'static str,
    batch: usize,
    length: usize,
    /// Timed steps of a process, two more before them.
    steps: usize,
    /// Of this project's products; the peers are eager in single precision and the second one.
    precision: &'static str,
    discriminator: Tower,
    generator: Tower,
    embedding: f64,
}

/// Width and width of the feed-forward layer, of 12 layers.
struct Tower(f64, f64);

pub(super) const SMALL: Work = Work {
    name: "pretrain-small",
    size: "small",
    batch: 32,
    length: 128,
    steps: 6,
    precision: "f32",
    discriminator: Tower(256.0, 1024.0),
    generator: Tower(64.0, 256.0),
    embedding: 128.0,
};
pub(super) const BASE: Work = Work {
    name: "pretrain-base",
    size: "base",
    batch: 4,
    length: 512,
    steps: 3,
    precision: "f32",
    discriminator: Tower(768.0, 3072.0),
    generator: Tower(256.0, 1024.0),
    embedding: 768.0,
};

pub(super) const SMALL_BF16: Work =
    Work { name: "pretrain-small-bf16", precision: "bf16", ..SMALL };
pub(super) const BASE_BF16: Work = Work { name: "pretrain-base-bf16", precision: "bf16", ..BASE };

impl Work {
    /// Floating-point operations of a token, forward and backward: matrix products and attention alone.
    fn flops_per_token(&self) -> f64 {
        // A product with a matrix of n numbers takes 2 n forward, and twice that backward.
        const PRODUCT: f64 = 6.0;
        const LAYERS: f64 = 12.0;
        const MASKED: f64 = 0.15;
        const VOCABULARY: f64 = 30_522.0;
        let tower = |Tower(h, f): &Tower| {
            let attention = 2.0 * self.length as f64 * h;
            LAYERS * (4.0 * h * h + 2.0 * h * f + attention)
        };
        let project = |h: f64| if h == self.embedding { 0.0 } else { self.embedding * h };
        let (d, g) = (self.discriminator.0, self.generator.0);
        let heads = d * d + d + MASKED * self.embedding * (g + VOCABULARY);
        PRODUCT
            * (tower(&self.discriminator)
                + tower(&self.generator)
                + project(d)
                + project(g)
                + heads)
    }

    /// Arguments of the peer's script.
    fn script(&self, mode: &str) -> Vec<String> {
        let steps = (self.steps + 2).to_string();
        let (batch, length) = (self.batch.to_string(), self.length.to_string());
        sh::words([
            "benches/peer/pretrain.py",
            "--size",
            self.size,
            "--batch",
            &batch,
            "--length",
            &length,
            "--steps",
            &steps,
            "--mode",
            mode,
        ])
    }

    /// `electra pretrain` on `shards`, and where it writes.
    fn command(&self, shards: &str, steps: usize) -> (Vec<String>, PathBuf) {
        let out = Path::new(HOME).join(format!("run-{}", self.size));
        let sets = [
            format!("data.shards={shards}"),
            format!("train.batch_size={}", self.batch),
            "train.accumulate=1".to_owned(),
            format!("train.steps={steps}"),
            "train.log_every=1".to_owned(),
            "train.device=cpu".to_owned(),
            format!("model.precision={}", self.precision),
            "evaluate.every=0".to_owned(),
            format!("checkpoint.every={steps}"),
        ];
        let mut command =
            sh::words([ELECTRA, "pretrain", &format!("configs/pretrain-{}.toml", self.size)]);
        for set in sets {
            command.extend(sh::words(["--set", &set]));
        }
        command.extend(sh::words(["--overwrite", "--out", &out.display().to_string()]));
        (command, out)
    }
}

pub(super) fn run(args: &Args, work: &Work) -> Result<()> {
    pipeline::build(&args.corpus)?;
    let interpreter = python::torch()?;
    let shards = prepared_shards(args, work.length, &interpreter)?;
    let parameters = same_work(work, &shards, &interpreter)?;

    // The second peer is the better one of the same precision.
    let second = if work.precision == "bf16" { "bf16" } else { "compile" };
    let modes = if args.eager_only { vec!["eager"] } else { vec!["eager", second] };
    let (mut ours, mut theirs) = (Vec::new(), vec![Vec::new(); modes.len()]);
    for pair in 1..=args.pairs {
        let own = project(work, &shards)?;
        for (mode, runs) in modes.iter().zip(&mut theirs) {
            let peer = peer(&interpreter, &work.script(mode))?;
            if peer["parameters"].as_u64() != Some(parameters) {
                bail!("the peer has {} parameters, this project {parameters}", peer["parameters"]);
            }
            let ratio = number(&own, "tokens_per_second")? / number(&peer, "tokens_per_second")?;
            sh::say(&format!("pair {pair}, {mode}: {ratio:.2} times"));
            runs.push((ratio, peer));
        }
        ours.push(own);
    }
    let figure = |runs: &[Value], key: &str| -> Result<f64> {
        Ok(median(runs.iter().map(|run| number(run, key)).collect::<Result<_>>()?))
    };
    let ratios = |mode: usize| {
        theirs.get(mode).map(|runs| median(runs.iter().map(|(ratio, _)| *ratio).collect()))
    };
    let eager: Vec<Value> = theirs[0].iter().map(|(_, peer)| peer.clone()).collect();
    let rate = eager
        .iter()
        .map(|run| number(run, "matrix_flops_per_second"))
        .collect::<Result<Vec<_>>>()?;
    let rate = rate.into_iter().fold(0.0, f64::max);
    let speed = figure(&ours, "tokens_per_second")?;
    let peer_speed = figure(&eager, "tokens_per_second")?;
    let per_token = work.flops_per_token();
    let memory = figure(&ours, "peak_memory_bytes")? / figure(&eager, "peak_memory_bytes")?;
    let figures = json!({
        "work": work.name,
        "pairs": args.pairs,
        "parameters": parameters,
        "ratio_eager": ratios(0),
        (if second == "bf16" { "ratio_autocast" } else { "ratio_compiled" }): ratios(1),
        "mfu": per_token * speed / rate,
        "peer_mfu": per_token * peer_speed / rate,
        "tokens_per_second": speed,
        "peer_tokens_per_second": peer_speed,
        "peak_memory_bytes": figure(&ours, "peak_memory_bytes")?,
        "peak_memory_ratio": memory,
        "matrix_flops_per_second": rate,
    });
    let compiled = ratios(1).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
    let row = format!(
        "| {} | {:.2} | {compiled} | {:.0} % | {:.0} % | {memory:.2} | {} |",
        work.name,
        ratios(0).unwrap_or(f64::NAN),
        100.0 * per_token * speed / rate,
        100.0 * per_token * peer_speed / rate,
        args.pairs,
    );
    report(args, &figures, &row)
}

/// Both sides compute the same losses of the same weights, masks and samples; the number of parameters.
pub(super) fn same_work(work: &Work, shards: &str, interpreter: &str) -> Result<u64> {
    // The first update has a rate of 0: the checkpoint holds the initial weights.
    let (command, run) = work.command(shards, 1);
    sh::run(&command)?;
    let folder = Path::new(HOME).join(format!("check-{}", work.size));
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let place = |name: &str| folder.join(name).display().to_string();
    let script = |mode: &str| {
        let mut command = vec![interpreter.to_owned()];
        command.extend(work.script(mode));
        command.extend(sh::words(["--folder", &folder.display().to_string()]));
        command
    };
    sh::run(&script("batch"))?;
    for part in ["generator", "discriminator"] {
        let (run, model) = (run.display().to_string(), place(part));
        let out = ["--part", part, "--overwrite", "--out", &model];
        sh::run(&[&sh::words([ELECTRA, "export", &run])[..], &sh::words(out)].concat())?;
        let (input, output) =
            (place(&format!("{part}-in.safetensors")), place(&format!("{part}.safetensors")));
        let files = ["--input", &input, "--output", &output, "--device", "cpu"];
        sh::run(
            &[&sh::words([ELECTRA, "forward", "--model", &model])[..], &sh::words(files)].concat(),
        )?;
    }
    let said: Value = serde_json::from_str(sh::capture(&script("check"))?.trim())
        .context("what the peer's check prints")?;
    let manifest: Value = serde_json::from_str(&read(&run.join("manifest.json"))?)?;
    let (theirs, ours) = (said["parameters"].as_u64(), manifest["parameters"].as_u64());
    if theirs != ours {
        bail!("{theirs:?} parameters in transformers, {ours:?} here");
    }
    sh::say(&format!("the same work: {said}"));
    ours.context("manifest.json does not say how many parameters there are")
}

/// One run of this project: medians over its steps but the first two.
fn project(work: &Work, shards: &str) -> Result<Value> {
    let (command, run) = work.command(shards, work.steps + 2);
    sh::run(&command)?;
    let text = read(&run.join("metrics.jsonl"))?;
    let rows: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let timed = rows.get(2..).filter(|rows| !rows.is_empty()).context("too few rows of metrics")?;
    let speeds = timed.iter().map(|row| number(row, "tokens_per_second")).collect::<Result<_>>()?;
    Ok(json!({
        "tokens_per_second": median(speeds),
        "peak_memory_bytes": timed[timed.len() - 1]["peak_memory_bytes"],
    }))
}

pub(super) fn prepared_shards(args: &Args, length: usize, interpreter: &str) -> Result<String> {
    let shards = format!("{HOME}/shards-{length}");
    if !Path::new(&shards).join("index.json").exists() {
        let corpus = args.corpus.display().to_string();
        let vocab = python::bert_vocab(interpreter)?;
        let length = length.to_string();
        fs::create_dir_all(HOME).context(HOME)?;
        sh::run(&sh::words([
            ELECTRA,
            "shards",
            "build",
            "--corpus",
            &corpus,
            "--vocab",
            &vocab,
            "--seq-len",
            &length,
            "--out",
            &shards,
        ]))?;
    }
    Ok(shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_costs_what_arithmetic_says() {
        // docs/performance.md: 0.070 and 0.668 GFLOP.
        assert!((SMALL.flops_per_token() / 1e9 - 0.070).abs() < 0.0005);
        assert!((BASE.flops_per_token() / 1e9 - 0.668).abs() < 0.0005);
    }
}
