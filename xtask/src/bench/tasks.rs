//! Fine-tuning and prediction on GLUE and SQuAD, compared with transformers in PyTorch; prediction also compared with
//! ONNX Runtime.

use super::{
    options::{HOME, Options, Precision},
    page::Row,
    paired::{PairedRuns, PeerSide, Side, peer},
    pretrain,
    report::report,
};
use crate::{
    files::{self, number},
    pipeline::{self, ELECTRA},
    python, sh,
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;

const SCRIPT: &str = "benches/peer/task.py";
/// The measurement to compare.
const SPEED: &str = "examples_per_second";
const MEMORY: &str = "peak_memory_bytes";
/// Tokens per example, including special tokens, without padding.
const TOKENS: &str = "tokens_per_example";
/// Number of rows to predict; both GLUE training sets have at least as many.
const ROWS: u32 = 3_600;

/// A fine-tuning run.
pub(super) struct Work {
    /// The name of the task in the peer's script.
    task: &'static str,
    /// Number of training examples.
    examples: u32,
    config: &'static str,
    /// Overrides of the config.
    set: &'static [&'static str],
    precision: Precision,
}

pub(super) const SST2: Work = Work {
    task: "sst2",
    examples: 1_000,
    config: "configs/finetune-small.toml",
    set: &[],
    precision: Precision::F32,
};
pub(super) const MRPC: Work = Work { task: "mrpc", ..SST2 };
pub(super) const SQUAD: Work = Work {
    task: "squad",
    examples: 384,
    config: "configs/finetune-squad-small.toml",
    set: &["train.max_length=384"],
    precision: Precision::F32,
};

impl Work {
    /// The same in bfloat16.
    pub(super) const fn in_bf16(self) -> Self {
        Self { precision: Precision::Bf16, ..self }
    }
}

/// The folder of a task, the untrained model that both sides start from, and the peer's Python.
struct Bench {
    interpreter: String,
    task: &'static str,
    folder: String,
    model: String,
}

impl Bench {
    fn new(args: &Options, task: &'static str, rows: u32) -> Result<Self> {
        let data = args.data.as_ref().context(
            "this comparison needs --data: GLUE's folder (with SST-2 and MRPC) or SQuAD's",
        )?;
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
        Ok(Self { interpreter, task, folder, model: format!("{HOME}/check-small/discriminator") })
    }

    /// The `electra finetune` command for one epoch, and its output folder.
    fn finetune(&self, work: &Work) -> (Vec<String>, String) {
        let out = format!("{HOME}/finetuned");
        let mut command = sh::words([
            ELECTRA,
            "finetune",
            "--task",
            &self.folder,
            "--model",
            &self.model,
            "--config",
            work.config,
            "--set",
            "train.epochs=1",
            "--set",
            "train.device=cpu",
            "--set",
            "train.log_every=1",
            "--set",
            &format!("train.precision={}", work.precision.name()),
            "--set",
            "head.kind=hf",
            "--overwrite",
            "--out",
            &out,
        ]);
        for set in work.set {
            command.extend(sh::words(["--set", set]));
        }
        (command, out)
    }

    /// Runs the peer's script in a mode.
    fn peer(&self, mode: &str, model: &str, more: &[&str]) -> Result<Value> {
        let (folder, task) = (&self.folder, self.task);
        let mut script =
            sh::words([SCRIPT, mode, "--folder", folder, "--task", task, "--model", model]);
        script.extend(more.iter().map(|&word| word.to_owned()));
        peer(&self.interpreter, &script)
    }
}

pub(super) fn finetune(args: &Options, name: &str, work: &Work) -> Result<()> {
    let bench = Bench::new(args, work.task, work.examples)?;
    let own: Side<'_> = Box::new(|| {
        let (command, out) = bench.finetune(work);
        sh::run(&command)?;
        own_run(&out)
    });
    let peer = |name: &'static str, more: &'static [&'static str]| {
        let run: Side<'_> = Box::new(|| bench.peer("finetune", &bench.model, more));
        PeerSide { name, run }
    };
    let mut peers = vec![peer("eager", &[])];
    if work.precision == Precision::Bf16 {
        peers.push(peer("autocast", &["--autocast"]));
    }
    let runs = PairedRuns::run(args.pairs, SPEED, &own, &peers)?;
    let (ours, theirs) = (runs.own(TOKENS)?, runs.peer(TOKENS)?);
    ensure!(
        (ours / theirs - 1.0).abs() <= 0.05,
        "the sides do not do the same work: {ours} tokens per example here, {theirs} in the peer"
    );
    compare(args, name, &runs, "ratio_autocast", json!({ TOKENS: ours }))
}

pub(super) fn predict(args: &Options, name: &str) -> Result<()> {
    let predicting = Predicting::new(args)?;
    let Predicting { bench, model, .. } = &predicting;
    python::add_onnx()?;
    let onnx = format!("{HOME}/model.onnx");
    bench.peer("export", model, &["--onnx", &onnx])?;
    predicting.check(&["--onnx", &onnx])?;
    let own: Side<'_> = Box::new(|| predicting.run());
    let eager: Side<'_> = Box::new(|| bench.peer("predict", model, &[]));
    let runtime: Side<'_> = Box::new(|| bench.peer("predict", model, &["--onnx", &onnx]));
    let peers =
        [PeerSide { name: "eager", run: eager }, PeerSide { name: "ONNX Runtime", run: runtime }];
    let runs = PairedRuns::run(args.pairs, SPEED, &own, &peers)?;
    compare(args, name, &runs, "ratio_onnxruntime", json!({}))
}

pub(super) fn predict_pipeline(args: &Options, name: &str) -> Result<()> {
    let predicting = Predicting::new(args)?;
    let Predicting { bench, model, .. } = &predicting;
    predicting.check(&[])?;
    let own: Side<'_> = Box::new(|| predicting.run());
    let pipeline: Side<'_> = Box::new(|| bench.peer("pipeline", model, &[]));
    let peers = [PeerSide { name: "pipeline", run: pipeline }];
    let runs = PairedRuns::run(args.pairs, SPEED, &own, &peers)?;
    compare(args, name, &runs, "ratio_second", json!({}))
}

/// A fine-tuned classifier, and the `electra predict` command for it.
struct Predicting {
    bench: Bench,
    model: String,
    output: String,
    command: Vec<String>,
}

impl Predicting {
    fn new(args: &Options) -> Result<Self> {
        let bench = Bench::new(args, SST2.task, ROWS)?;
        let (command, out) = bench.finetune(&SST2);
        sh::run(&command)?;
        let (model, output) = (format!("{out}/model"), format!("{HOME}/predictions.tsv"));
        let command = sh::words([
            ELECTRA,
            "predict",
            "--model",
            &model,
            "--input",
            &format!("{}/train.tsv", bench.folder),
            "--output",
            &output,
            "--overwrite",
            "--device",
            "cpu",
        ]);
        Ok(Self { bench, model, output, command })
    }

    /// Checks that the peers compute the same logits.
    fn check(&self, more: &[&str]) -> Result<()> {
        sh::run(&[&self.command[..], &["--probabilities".to_owned()]].concat())?;
        let options = [&["--predictions", &self.output], more].concat();
        let same = self.bench.peer("check", &self.model, &options)?;
        sh::say(&format!("both sides compute the same: {same}"));
        Ok(())
    }

    fn run(&self) -> Result<Value> {
        parse_summary(&sh::capture(&self.command)?)
    }
}

/// Parses the last line of `electra predict`: "N rows, R per second, M MB of memory: FILE".
fn parse_summary(line: &str) -> Result<Value> {
    let number = |index: usize, what: &str| -> Result<f64> {
        let number = line.split(", ").nth(index).and_then(|rest| rest.split(' ').next());
        number.and_then(|it| it.parse().ok()).with_context(|| format!("no {what} in {line:?}"))
    };
    Ok(json!({ SPEED: number(1, "rate")?, MEMORY: 1e6 * number(2, "memory")? }))
}

/// The measurements of a fine-tuning run.
fn own_run(run: &str) -> Result<Value> {
    let rows = files::rows(Path::new(run).join("seed-1/metrics.jsonl"))?;
    throughput(rows.iter().filter(|row| row["kind"] == "train"))
}

/// Examples per second over all updates after the first two, and tokens per example over all updates.
fn throughput<'a>(rows: impl Iterator<Item = &'a Value>) -> Result<Value> {
    // The last batch may be smaller.
    let (mut before, mut all, mut tokens) = (0.0, 0.0, 0.0);
    let (mut timed, mut seconds, mut memory) = (0.0, 0.0, Value::Null);
    for (index, row) in rows.enumerate() {
        let (now, speed) = (number(row, "seconds")?, number(row, "sequences_per_second")?);
        let took = now - before;
        all += speed * took;
        tokens += number(row, "tokens_per_second")? * took;
        if index >= 2 {
            timed += speed * took;
            seconds += took;
            memory = row[MEMORY].clone();
        }
        before = now;
    }
    ensure!(seconds > 0.0, "metrics.jsonl has too few rows");
    Ok(json!({ SPEED: timed / seconds, TOKENS: tokens / all, MEMORY: memory }))
}

/// Reports the results. `second` is the key of the ratio to the second peer; `extra` has more results.
fn compare(
    args: &Options,
    name: &str,
    runs: &PairedRuns,
    second: &str,
    extra: Value,
) -> Result<()> {
    let mut results = extra;
    results["work"] = json!(name);
    results["pairs"] = json!(args.pairs);
    results["ratio_eager"] = json!(runs.ratio(0)?);
    results[SPEED] = json!(runs.own(SPEED)?);
    results["peer_examples_per_second"] = json!(runs.peer(SPEED)?);
    let second_ratio = runs.ratio(1)?;
    if second_ratio.is_some() {
        results[second] = json!(second_ratio);
    }
    let memory = runs.own(MEMORY)? / runs.peer(MEMORY)?;
    results["peak_memory_ratio"] = json!(memory);
    let (eager, memory) = (runs.ratio(0)?, Some(memory));
    let row = Row { eager, second: second_ratio, memory, ..Row::new(name, args.pairs) };
    report(args, &results, &[row.line()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_weighted_by_their_examples() {
        let row = |seconds: f64, sequences: f64, tokens: f64| json!({"kind": "train", "seconds": seconds, "sequences_per_second": sequences, "tokens_per_second": tokens, MEMORY: 7});
        // 32, 32, 32 and 8 examples of 10, 10, 10 and 100 tokens, in 1, 1, 1 and 3 seconds.
        let rows = [
            row(1.0, 32.0, 320.0),
            row(2.0, 32.0, 320.0),
            row(3.0, 32.0, 320.0),
            row(6.0, 8.0 / 3.0, 800.0 / 3.0),
        ];
        let results = throughput(rows.iter()).unwrap();
        assert_eq!(results, json!({ SPEED: 10.0, TOKENS: 1760.0 / 104.0, MEMORY: 7 }));
        assert!(throughput(rows[..2].iter()).is_err());
    }

    #[test]
    fn the_last_line_of_predict_has_rate_and_memory() {
        let results =
            parse_summary("3600 rows, 912 per second, 348 MB of memory: out.tsv\n").unwrap();
        assert_eq!(results, json!({ SPEED: 912.0, MEMORY: 348e6 }));
        let error = parse_summary("3600 rows: out.tsv").unwrap_err().to_string();
        assert!(error.contains("no rate"), "{error}");
    }
}
