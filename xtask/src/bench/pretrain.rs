//! A step of pre-training beside transformers in PyTorch.

use super::{
    options::{HOME, Options, Precision},
    page::Row,
    report::report,
    turns::{Opponent, Side, Turns, peer},
};
use crate::{
    figures::{self, median_of},
    pipeline::{self, ELECTRA, Step},
    python, sh,
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The figure that steps are compared by.
pub(super) const SPEED: &str = "tokens_per_second";

/// libtorch's threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Threads {
    One,
    /// As many as the machine has cores.
    All,
}

/// A step's size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    size: &'static str,
    pub(super) batch: usize,
    pub(super) length: usize,
    /// Timed steps of a process, two more before them.
    steps: usize,
    /// Of this project's products; the peers are eager in single precision and the better one of the same precision.
    precision: Precision,
    pub(super) threads: Threads,
    discriminator: Tower,
    generator: Tower,
    embedding: f64,
}

/// Width and width of the feed-forward layer, of 12 layers.
#[derive(Clone, Copy, Debug)]
struct Tower(f64, f64);

pub(super) const SMALL: Work = Work {
    size: "small",
    batch: 32,
    length: 128,
    steps: 6,
    precision: Precision::F32,
    threads: Threads::All,
    discriminator: Tower(256.0, 1024.0),
    generator: Tower(64.0, 256.0),
    embedding: 128.0,
};
pub(super) const BASE: Work = Work {
    size: "base",
    batch: 4,
    length: 512,
    steps: 3,
    precision: Precision::F32,
    threads: Threads::All,
    discriminator: Tower(768.0, 3072.0),
    generator: Tower(256.0, 1024.0),
    embedding: 768.0,
};

impl Work {
    /// The same with products in bfloat16.
    pub(super) fn in_bf16(self) -> Self {
        Self { precision: Precision::Bf16, ..self }
    }

    /// The same step of another size.
    pub(super) const fn of(self, batch: usize, length: usize, steps: usize) -> Self {
        Self { batch, length, steps, ..self }
    }

    /// The same step on other threads.
    pub(super) const fn on(self, threads: Threads) -> Self {
        Self { threads, ..self }
    }

    /// Floating-point operations of a token, forward and backward: matrix products and attention alone.
    pub(super) fn flops_per_token(&self) -> f64 {
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
            format!("data.sequence_length={}", self.length),
            format!("train.batch_size={}", self.batch),
            "train.accumulate=1".to_owned(),
            format!("train.steps={steps}"),
            "train.log_every=1".to_owned(),
            "train.device=cpu".to_owned(),
            format!("model.precision={}", self.precision.name()),
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

pub(super) fn run(args: &Options, name: &str, work: &Work) -> Result<()> {
    pipeline::build(&args.corpus)?;
    let interpreter = python::torch()?;
    let shards = prepared_shards(args, work.length, &interpreter)?;
    let parameters = same_work(work, &shards, &interpreter)?;

    let (second, second_ratio) = match work.precision {
        Precision::F32 => ("compile", "ratio_compiled"),
        Precision::Bf16 => ("bf16", "ratio_autocast"),
    };
    let modes = if args.eager_only { vec!["eager"] } else { vec!["eager", second] };
    let opponent = |name: &'static str| {
        let script = work.script(name);
        let interpreter = &interpreter;
        let run: Side<'_> = Box::new(move || {
            let said = peer(interpreter, &script)?;
            if said["parameters"].as_u64() != Some(parameters) {
                bail!("the peer has {} parameters, this project {parameters}", said["parameters"]);
            }
            Ok(said)
        });
        Opponent { name, run }
    };
    let peers: Vec<_> = modes.into_iter().map(opponent).collect();
    let own: Side<'_> = Box::new(|| project(work, &shards));
    let turns = Turns::take(args.pairs, SPEED, &own, &peers)?;

    let rate = turns.best("matrix_flops_per_second")?;
    let per_token = work.flops_per_token();
    let (speed, peer_speed) = (turns.own(SPEED)?, turns.peer(SPEED)?);
    let shares = (per_token * speed / rate, per_token * peer_speed / rate);
    let memory = turns.own("peak_memory_bytes")? / turns.peer("peak_memory_bytes")?;
    let figures = json!({
        "work": name,
        "pairs": args.pairs,
        "parameters": parameters,
        "ratio_eager": turns.ratio(0)?,
        second_ratio: turns.ratio(1)?,
        "mfu": shares.0,
        "peer_mfu": shares.1,
        "tokens_per_second": speed,
        "peer_tokens_per_second": peer_speed,
        "peak_memory_bytes": turns.own("peak_memory_bytes")?,
        "peak_memory_ratio": memory,
        "matrix_flops_per_second": rate,
    });
    let row = Row {
        eager: turns.ratio(0)?,
        second: turns.ratio(1)?,
        shares: Some(shares),
        memory: Some(memory),
        ..Row::new(name, args.pairs)
    };
    report(args, &figures, &[row.line()])
}

/// Both sides compute the same losses of the same weights, masks and samples; the number of parameters.
pub(super) fn same_work(work: &Work, shards: &str, interpreter: &str) -> Result<u64> {
    // The first update has a rate of 0: the checkpoint holds the initial weights.
    let (command, run) = work.command(shards, 1);
    sh::run(&command)?;
    let folder = Path::new(HOME).join(format!("check-{}", work.size));
    figures::make_folder(&folder)?;
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
    let manifest = figures::json(run.join("manifest.json"))?;
    let (theirs, ours) = (said["parameters"].as_u64(), manifest["parameters"].as_u64());
    if theirs != ours {
        bail!("{theirs:?} parameters in transformers, {ours:?} here");
    }
    sh::say(&format!("the same work: {said}"));
    ours.context("manifest.json does not say how many parameters there are")
}

/// One run of this project: medians over its steps but the first two.
pub(super) fn project(work: &Work, shards: &str) -> Result<Value> {
    let (command, run) = work.command(shards, work.steps + 2);
    match work.threads {
        Threads::One => sh::run_with(&command, &[("OMP_NUM_THREADS", "1")])?,
        Threads::All => sh::run(&command)?,
    };
    let rows = figures::rows(run.join("metrics.jsonl"))?;
    let timed = rows.get(2..).filter(|rows| !rows.is_empty()).context("too few rows of metrics")?;
    Ok(json!({
        SPEED: median_of(timed, SPEED)?,
        "peak_memory_bytes": timed[timed.len() - 1]["peak_memory_bytes"],
        "threads": figures::json(run.join("manifest.json"))?["threads"],
    }))
}

/// Shards of the corpus with the vocabulary of bert-base-uncased, made once of each corpus.
pub(super) fn prepared_shards(args: &Options, length: usize, interpreter: &str) -> Result<String> {
    let shards = format!("{HOME}/shards-{length}");
    let corpus = args.corpus.display().to_string();
    let vocab = python::bert_vocab(interpreter)?;
    let words = ["--corpus", &corpus, "--vocab", &vocab, "--seq-len", &length.to_string()];
    let command =
        [sh::words([ELECTRA, "shards", "build"]), sh::words(words), sh::words(["--out", &shards])];
    let step = Step {
        name: format!("shards-{length}"),
        command: command.concat(),
        inputs: vec![args.corpus.clone(), vocab.into()],
        output: shards.clone().into(),
    };
    pipeline::run(&[step], &Path::new(HOME).join("stamps"))?;
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
