//! Fine-tuning and predicting beside transformers in PyTorch, on GLUE's and SQuAD's files; predicting beside ONNX
//! Runtime.

use super::{
    options::{HOME, Options, Precision},
    page::Row,
    pretrain,
    report::report,
    turns::{Opponent, Side, Turns, peer},
};
use crate::{
    figures::{self, number},
    pipeline::{self, ELECTRA},
    python, sh,
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;

const SCRIPT: &str = "benches/peer/task.py";
/// The figure that sides are compared by.
const SPEED: &str = "examples_per_second";
const MEMORY: &str = "peak_memory_bytes";
/// Tokens of an example, special ones included, without padding.
const TOKENS: &str = "tokens_per_example";
/// Rows of a prediction, as many as both training sets of GLUE have.
const ROWS: u32 = 3_600;

/// What is fine-tuned.
pub(super) struct Work {
    /// As the peer's script calls the task.
    task: &'static str,
    /// Training examples of a run.
    examples: u32,
    config: &'static str,
    /// Over the config's values.
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
    /// The same with products in bfloat16.
    pub(super) const fn in_bf16(self) -> Self {
        Self { precision: Precision::Bf16, ..self }
    }
}

/// A task's folder, the untrained classifier that both sides start from, and the peer's Python.
struct Bench {
    interpreter: String,
    task: &'static str,
    folder: String,
    model: String,
}

impl Bench {
    fn new(args: &Options, task: &'static str, rows: u32) -> Result<Self> {
        let data = args
            .data
            .as_ref()
            .context("--data names GLUE's folder, which has SST-2 and MRPC in it, or SQuAD's")?;
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

    /// `electra finetune` over all rows once, and where it writes.
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

    /// What the peer's script prints in a mode, with more options.
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
        Opponent { name, run }
    };
    let mut peers = vec![peer("eager", &[])];
    if work.precision == Precision::Bf16 {
        peers.push(peer("autocast", &["--autocast"]));
    }
    let turns = Turns::take(args.pairs, SPEED, &own, &peers)?;
    let (ours, theirs) = (turns.own(TOKENS)?, turns.peer(TOKENS)?);
    ensure!(
        (ours / theirs - 1.0).abs() <= 0.05,
        "not the same work: an example has {ours} tokens here and {theirs} in the peer"
    );
    compare(args, name, &turns, "ratio_autocast", json!({ TOKENS: ours }))
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
        [Opponent { name: "eager", run: eager }, Opponent { name: "ONNX Runtime", run: runtime }];
    let turns = Turns::take(args.pairs, SPEED, &own, &peers)?;
    compare(args, name, &turns, "ratio_onnxruntime", json!({}))
}

pub(super) fn predict_pipeline(args: &Options, name: &str) -> Result<()> {
    let predicting = Predicting::new(args)?;
    let Predicting { bench, model, .. } = &predicting;
    predicting.check(&[])?;
    let own: Side<'_> = Box::new(|| predicting.run());
    let pipeline: Side<'_> = Box::new(|| bench.peer("pipeline", model, &[]));
    let peers = [Opponent { name: "pipeline", run: pipeline }];
    let turns = Turns::take(args.pairs, SPEED, &own, &peers)?;
    compare(args, name, &turns, "ratio_second", json!({}))
}

/// A fine-tuned classifier and `electra predict` with it.
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

    /// The peers give the same logits.
    fn check(&self, more: &[&str]) -> Result<()> {
        sh::run(&[&self.command[..], &["--probabilities".to_owned()]].concat())?;
        let options = [&["--predictions", &self.output], more].concat();
        let same = self.bench.peer("check", &self.model, &options)?;
        sh::say(&format!("the same work: {same}"));
        Ok(())
    }

    fn run(&self) -> Result<Value> {
        predicted(&sh::capture(&self.command)?)
    }
}

/// What `electra predict` says at its end: "N rows, R a second, M MB of memory: FILE".
fn predicted(said: &str) -> Result<Value> {
    let figure = |place: usize, what: &str| -> Result<f64> {
        let number = said.split(", ").nth(place).and_then(|rest| rest.split(' ').next());
        number.and_then(|it| it.parse().ok()).with_context(|| format!("no {what} in {said:?}"))
    };
    Ok(json!({ SPEED: figure(1, "rate")?, MEMORY: 1e6 * figure(2, "memory")? }))
}

/// One run of this project: examples a second over all updates but the first two, and tokens of an example over all.
fn own_run(run: &str) -> Result<Value> {
    let rows = figures::rows(Path::new(run).join("seed-1/metrics.jsonl"))?;
    own_figures(rows.iter().filter(|row| row["kind"] == "train"))
}

fn own_figures<'a>(rows: impl Iterator<Item = &'a Value>) -> Result<Value> {
    // Updates are not of one size: the last has what is left.
    let (mut before, mut all, mut tokens) = (0.0, 0.0, 0.0);
    let (mut timed, mut seconds, mut memory) = (0.0, 0.0, Value::Null);
    for (place, row) in rows.enumerate() {
        let (now, speed) = (number(row, "seconds")?, number(row, "sequences_per_second")?);
        let took = now - before;
        all += speed * took;
        tokens += number(row, "tokens_per_second")? * took;
        if place >= 2 {
            timed += speed * took;
            seconds += took;
            memory = row[MEMORY].clone();
        }
        before = now;
    }
    ensure!(seconds > 0.0, "too few rows of metrics");
    Ok(json!({ SPEED: timed / seconds, TOKENS: tokens / all, MEMORY: memory }))
}

/// Reports; `second` is what the ratio to the second peer is called.
fn compare(args: &Options, name: &str, turns: &Turns, second: &str, more: Value) -> Result<()> {
    let mut figures = more;
    figures["work"] = json!(name);
    figures["pairs"] = json!(args.pairs);
    figures["ratio_eager"] = json!(turns.ratio(0)?);
    figures[SPEED] = json!(turns.own(SPEED)?);
    figures["peer_examples_per_second"] = json!(turns.peer(SPEED)?);
    let second_ratio = turns.ratio(1)?;
    if second_ratio.is_some() {
        figures[second] = json!(second_ratio);
    }
    let memory = turns.own(MEMORY)? / turns.peer(MEMORY)?;
    figures["peak_memory_ratio"] = json!(memory);
    let (eager, memory) = (turns.ratio(0)?, Some(memory));
    let row = Row { eager, second: second_ratio, memory, ..Row::new(name, args.pairs) };
    report(args, &figures, &[row.line()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_weigh_as_many_examples_as_they_have() {
        let row = |seconds: f64, sequences: f64, tokens: f64| json!({"kind": "train", "seconds": seconds, "sequences_per_second": sequences, "tokens_per_second": tokens, MEMORY: 7});
        // 32, 32, 32 and 8 examples of 10, 10, 10 and 100 tokens, in 1, 1, 1 and 3 seconds.
        let rows = [
            row(1.0, 32.0, 320.0),
            row(2.0, 32.0, 320.0),
            row(3.0, 32.0, 320.0),
            row(6.0, 8.0 / 3.0, 800.0 / 3.0),
        ];
        let figures = own_figures(rows.iter()).unwrap();
        assert_eq!(figures, json!({ SPEED: 10.0, TOKENS: 1760.0 / 104.0, MEMORY: 7 }));
        assert!(own_figures(rows[..2].iter()).is_err());
    }

    #[test]
    fn the_last_line_of_a_prediction_has_rate_and_memory() {
        let figures = predicted("3600 rows, 912 a second, 348 MB of memory: out.tsv\n").unwrap();
        assert_eq!(figures, json!({ SPEED: 912.0, MEMORY: 348e6 }));
        let error = predicted("3600 rows: out.tsv").unwrap_err().to_string();
        assert!(error.contains("no rate"), "{error}");
    }
}
