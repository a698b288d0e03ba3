//! Fine-tuning and predicting beside transformers in PyTorch, on GLUE's files; predicting beside ONNX Runtime.

use super::{
    Args, HOME, Precision,
    page::Row,
    peer, pretrain, report,
    turns::{Opponent, Side, Turns},
};
use crate::{
    figures::{self, number},
    pipeline::{self, ELECTRA},
    python, sh,
};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;

const SCRIPT: &str = "benches/peer/task.py";
/// The figure that sides are compared by.
const SPEED: &str = "examples_per_second";
const MEMORY: &str = "peak_memory_bytes";
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
    fn finetune(&self, precision: Precision) -> (Vec<String>, String) {
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
            &format!("train.precision={}", precision.name()),
            "--set",
            "head.kind=hf",
            "--overwrite",
            "--out",
            &out,
        ]);
        (command, out)
    }

    /// What the peer's script prints in a mode, with more options.
    fn peer(&self, mode: &str, model: &str, more: &[&str]) -> Result<Value> {
        let mut script = sh::words([SCRIPT, mode, "--folder", &self.folder, "--model", model]);
        script.extend(more.iter().map(|&word| word.to_owned()));
        peer(&self.interpreter, &script)
    }
}

pub(super) fn finetune(args: &Args, name: &str, task: &str, precision: Precision) -> Result<()> {
    let bench = Bench::new(args, task, EXAMPLES)?;
    let own: Side<'_> = Box::new(|| {
        let (command, out) = bench.finetune(precision);
        sh::run(&command)?;
        own_run(&out)
    });
    let peer = |name: &'static str, more: &'static [&'static str]| {
        let run: Side<'_> = Box::new(|| bench.peer("finetune", &bench.model, more));
        Opponent { name, run }
    };
    let mut peers = vec![peer("eager", &[])];
    if precision == Precision::Bf16 {
        peers.push(peer("autocast", &["--autocast"]));
    }
    compare(args, name, &own, &peers, "ratio_autocast")
}

pub(super) fn predict(args: &Args, name: &str) -> Result<()> {
    let bench = Bench::new(args, "sst2", ROWS)?;
    python::add_onnx()?;
    let (command, out) = bench.finetune(Precision::F32);
    sh::run(&command)?;
    let (model, onnx) = (format!("{out}/model"), format!("{HOME}/model.onnx"));
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
    bench.peer("export", &model, &["--onnx", &onnx])?;
    sh::run(&[&command[..], &["--probabilities".to_owned()]].concat())?;
    let same = bench.peer("check", &model, &["--onnx", &onnx, "--predictions", &output])?;
    sh::say(&format!("the same work: {same}"));

    let own: Side<'_> = Box::new(|| {
        let said = sh::capture(&command)?;
        // "N rows, R a second: FILE"
        let speed = said.split(", ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        let speed: f64 = speed.with_context(|| format!("no rate in {said:?}"))?;
        Ok(json!({ SPEED: speed }))
    });
    let eager: Side<'_> = Box::new(|| bench.peer("predict", &model, &[]));
    let runtime: Side<'_> = Box::new(|| bench.peer("predict", &model, &["--onnx", &onnx]));
    let peers =
        [Opponent { name: "eager", run: eager }, Opponent { name: "ONNX Runtime", run: runtime }];
    compare(args, name, &own, &peers, "ratio_onnxruntime")
}

/// One run of this project: examples a second over all updates but the first two.
fn own_run(run: &str) -> Result<Value> {
    let rows = figures::rows(Path::new(run).join("seed-1/metrics.jsonl"))?;
    let timed: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "train").skip(2).collect();
    let speeds =
        timed.iter().map(|row| number(row, "sequences_per_second")).collect::<Result<Vec<_>>>()?;
    // Updates are of one size: their mean rate is the harmonic mean.
    let seconds: f64 = speeds.iter().map(|speed| 1.0 / speed).sum();
    let last = timed.last().context("too few rows of metrics")?;
    Ok(json!({
        SPEED: speeds.len() as f64 / seconds,
        MEMORY: last[MEMORY],
    }))
}

/// Takes turns and reports; `second` is what the ratio to the second peer is called.
fn compare(
    args: &Args,
    name: &str,
    own: &Side<'_>,
    peers: &[Opponent<'_>],
    second: &str,
) -> Result<()> {
    let turns = Turns::take(args.pairs, SPEED, own, peers)?;
    let mut figures = json!({
        "work": name,
        "pairs": args.pairs,
        "ratio_eager": turns.ratio(0)?,
        SPEED: turns.own(SPEED)?,
        "peer_examples_per_second": turns.peer(SPEED)?,
    });
    let second_ratio = turns.ratio(1)?;
    if second_ratio.is_some() {
        figures[second] = json!(second_ratio);
    }
    // `electra predict` does not say what it took.
    let memory = turns.own(MEMORY).ok().zip(turns.peer(MEMORY).ok()).map(|(own, peer)| own / peer);
    if memory.is_some() {
        figures["peak_memory_ratio"] = json!(memory);
    }
    let row =
        Row { eager: turns.ratio(0)?, second: second_ratio, memory, ..Row::new(name, args.pairs) };
    report(args, &figures, &[row.to_string()])
}
