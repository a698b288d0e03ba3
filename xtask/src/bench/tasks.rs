//! Fine-tuning and predicting beside transformers in PyTorch, on GLUE's files.

use super::{Args, HOME, median, number, peer, pretrain, read, report};
use crate::{
    pipeline::{self, ELECTRA},
    python, sh,
};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;

const SCRIPT: &str = "benches/peer/task.py";
/// Training examples of a run.
const EXAMPLES: u32 = 1_000;
/// Rows of a prediction, as many as both training sets of GLUE have.
const ROWS: u32 = 3_600;

/// A task's folder, the untrained classifier that both sides start from, and the peer's Python.
struct Bench {
    interpreter: String,
    folder: String,
    model: String,
}

impl Bench {
    fn new(args: &Args, task: &str, rows: u32) -> Result<Self> {
        let data = args
            .data
            .as_ref()
            .context("--data names GLUE's folder, which has SST-2 and MRPC in it")?;
        pipeline::build(&args.corpus)?;
        let interpreter = python::torch()?;
        let shards = pretrain::prepared_shards(args, 128, &interpreter)?;
        pretrain::same_work(&pretrain::SMALL, &shards, &interpreter)?;
        let (folder, data, rows) =
            (format!("{HOME}/task-{task}-{rows}"), data.display().to_string(), rows.to_string());
        sh::run(&sh::words([
            &interpreter,
            SCRIPT,
            "prepare",
            "--task",
            task,
            "--data",
            &data,
            "--count",
            &rows,
            "--folder",
            &folder,
        ]))?;
        Ok(Self { interpreter, folder, model: format!("{HOME}/check-small/discriminator") })
    }

    /// `electra finetune` over all rows once, and where it writes.
    fn finetune(&self) -> (Vec<String>, String) {
        let out = format!("{HOME}/finetuned");
        let command = sh::words([
            ELECTRA,
            "finetune",
            "--task",
            &self.folder,
            "--model",
            &self.model,
            "--config",
            "configs/finetune-small.toml",
            "--set",
            "train.epochs=1",
            "--set",
            "train.device=cpu",
            "--set",
            "train.log_every=1",
            "--set",
            "head.kind=hf",
            "--overwrite",
            "--out",
            &out,
        ]);
        (command, out)
    }

    fn peer(&self, mode: &str, model: &str) -> Result<Value> {
        peer(
            &self.interpreter,
            &sh::words([SCRIPT, mode, "--folder", &self.folder, "--model", model]),
        )
    }
}

pub(super) fn finetune(args: &Args, task: &str) -> Result<()> {
    let bench = Bench::new(args, task, EXAMPLES)?;
    pairs(args, &format!("finetune-{task}"), || {
        let (command, out) = bench.finetune();
        sh::run(&command)?;
        Ok((own_speed(&out)?, bench.peer("finetune", &bench.model)?))
    })
}

pub(super) fn predict(args: &Args) -> Result<()> {
    let bench = Bench::new(args, "sst2", ROWS)?;
    let (command, out) = bench.finetune();
    sh::run(&command)?;
    let model = format!("{out}/model");
    let (input, output) =
        (format!("{}/train.tsv", bench.folder), format!("{HOME}/predictions.tsv"));
    let command = sh::words([
        ELECTRA,
        "predict",
        "--model",
        &model,
        "--input",
        &input,
        "--output",
        &output,
        "--overwrite",
        "--device",
        "cpu",
    ]);
    pairs(args, "predict", || {
        let said = sh::capture(&command)?;
        // "N rows, R a second: FILE"
        let speed = said.split(", ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        Ok((speed.with_context(|| format!("no rate in {said:?}"))?, bench.peer("predict", &model)?))
    })
}

/// Examples a second over all updates but the first two.
fn own_speed(run: &str) -> Result<f64> {
    let path = Path::new(run).join("seed-1/metrics.jsonl");
    let text = read(&path)?;
    let rows: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let timed: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "train").skip(2).collect();
    let speeds =
        timed.iter().map(|row| number(row, "sequences_per_second")).collect::<Result<Vec<_>>>()?;
    // Updates are of one size: their mean rate is the harmonic mean.
    let seconds: f64 = speeds.iter().map(|speed| 1.0 / speed).sum();
    Ok(speeds.len() as f64 / seconds)
}

/// Both sides in turn; the median of their ratios.
fn pairs(args: &Args, work: &str, both: impl Fn() -> Result<(f64, Value)>) -> Result<()> {
    let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 1..=args.pairs {
        let (own, peer) = both()?;
        let peer = number(&peer, "examples_per_second")?;
        sh::say(&format!("pair {pair}: {:.2} times", own / peer));
        ratios.push(own / peer);
        ours.push(own);
        theirs.push(peer);
    }
    let ratio = median(ratios);
    let figures = json!({
        "work": work,
        "pairs": args.pairs,
        "ratio_eager": ratio,
        "examples_per_second": median(ours),
        "peer_examples_per_second": median(theirs),
    });
    report(args, &figures, &format!("| {work} | {ratio:.2} | - | - | - | - | {} |", args.pairs))
}
