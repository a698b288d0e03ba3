//! A pre-training step, compared with transformers in PyTorch.

use super::{
    options::{HOME, Options, Precision},
    page::Row,
    paired::{PairedRuns, PeerSide, Side, peer},
    report::report,
};
use crate::{
    files::{self, median_of},
    pipeline::{self, ELECTRA, Step},
    python, sh,
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The measurement to compare.
pub(super) const SPEED: &str = "tokens_per_second";

/// Number of libtorch's threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Threads {
    One,
    /// One per core.
    All,
}

/// The size of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    size: &'static str,
    pub(super) batch: usize,
    pub(super) length: usize,
    /// Number of timed steps of a run, after two warm-up steps.
    steps: usize,
    /// This project's precision. The peers are eager PyTorch in f32, and torch.compile or autocast in the same precision.
    precision: Precision,
    pub(super) threads: Threads,
    discriminator: Tower,
    generator: Tower,
    embedding: f64,
}

/// Hidden size and feed-forward size of 12 layers.
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
    /// The same in bfloat16.
    pub(super) fn in_bf16(self) -> Self {
        Self { precision: Precision::Bf16, ..self }
    }

    /// The same with another batch size, length and number of steps.
    pub(super) const fn of(self, batch: usize, length: usize, steps: usize) -> Self {
        Self { batch, length, steps, ..self }
    }

    /// The same with another number of threads.
    pub(super) const fn on(self, threads: Threads) -> Self {
        Self { threads, ..self }
    }

    /// FLOPs per token, forward and backward, of matrix products and attention only.
    pub(super) fn flops_per_token(&self) -> f64 {
        // A product with a matrix of n elements takes 2 n FLOPs forward, and twice that backward.
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

    /// The `electra pretrain` command, and its output folder.
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
    let peer_side = |name: &'static str| {
        let script = work.script(name);
        let interpreter = &interpreter;
        let run: Side<'_> = Box::new(move || {
            let result = peer(interpreter, &script)?;
            let theirs = &result["parameters"];
            if theirs.as_u64() != Some(parameters) {
                bail!("the peer has {theirs} parameters, this project {parameters}");
            }
            Ok(result)
        });
        PeerSide { name, run }
    };
    let peers: Vec<_> = modes.into_iter().map(peer_side).collect();
    let own: Side<'_> = Box::new(|| project(work, &shards));
    let runs = PairedRuns::run(args.pairs, SPEED, &own, &peers)?;

    let rate = runs.best("matrix_flops_per_second")?;
    let per_token = work.flops_per_token();
    let (speed, peer_speed) = (runs.own(SPEED)?, runs.peer(SPEED)?);
    let shares = (per_token * speed / rate, per_token * peer_speed / rate);
    let memory = runs.own("peak_memory_bytes")? / runs.peer("peak_memory_bytes")?;
    let results = json!({
        "work": name,
        "pairs": args.pairs,
        "parameters": parameters,
        "ratio_eager": runs.ratio(0)?,
        second_ratio: runs.ratio(1)?,
        "mfu": shares.0,
        "peer_mfu": shares.1,
        "tokens_per_second": speed,
        "peer_tokens_per_second": peer_speed,
        "peak_memory_bytes": runs.own("peak_memory_bytes")?,
        "peak_memory_ratio": memory,
        "matrix_flops_per_second": rate,
    });
    let row = Row {
        eager: runs.ratio(0)?,
        second: runs.ratio(1)?,
        shares: Some(shares),
        memory: Some(memory),
        ..Row::new(name, args.pairs)
    };
    report(args, &results, &[row.line()])
}

/// Checks that both sides compute the same losses from the same weights, masks and samples. Returns the number of
/// parameters.
pub(super) fn same_work(work: &Work, shards: &str, interpreter: &str) -> Result<u64> {
    // The first update has learning rate 0, so the checkpoint has the initial weights.
    let (command, run) = work.command(shards, 1);
    sh::run(&command)?;
    let folder = Path::new(HOME).join(format!("check-{}", work.size));
    files::make_folder(&folder)?;
    let path = |name: &str| folder.join(name).display().to_string();
    let script = |mode: &str| {
        let mut command = vec![interpreter.to_owned()];
        command.extend(work.script(mode));
        command.extend(sh::words(["--folder", &folder.display().to_string()]));
        command
    };
    sh::run(&script("batch"))?;
    for part in ["generator", "discriminator"] {
        let (run, model) = (run.display().to_string(), path(part));
        let out = ["--part", part, "--overwrite", "--out", &model];
        sh::run(&[&sh::words([ELECTRA, "export", &run])[..], &sh::words(out)].concat())?;
        let (input, output) =
            (path(&format!("{part}-in.safetensors")), path(&format!("{part}.safetensors")));
        let files = ["--input", &input, "--output", &output, "--device", "cpu"];
        sh::run(
            &[&sh::words([ELECTRA, "forward", "--model", &model])[..], &sh::words(files)].concat(),
        )?;
    }
    let result: Value = serde_json::from_str(sh::capture(&script("check"))?.trim())
        .context("parsing the output of the peer's check")?;
    let manifest = files::json(run.join("manifest.json"))?;
    let (theirs, ours) = (result["parameters"].as_u64(), manifest["parameters"].as_u64());
    if theirs != ours {
        bail!("transformers has {theirs:?} parameters, this project {ours:?}");
    }
    sh::say(&format!("both sides compute the same: {result}"));
    ours.context("manifest.json has no number of parameters")
}

/// Runs this project once. Returns medians over the steps after the first two.
pub(super) fn project(work: &Work, shards: &str) -> Result<Value> {
    let (command, run) = work.command(shards, work.steps + 2);
    match work.threads {
        Threads::One => sh::run_with(&command, &[("OMP_NUM_THREADS", "1")], None)?,
        Threads::All => sh::run(&command)?,
    };
    let rows = files::rows(run.join("metrics.jsonl"))?;
    let timed =
        rows.get(2..).filter(|rows| !rows.is_empty()).context("metrics.jsonl has too few rows")?;
    Ok(json!({
        SPEED: median_of(timed, SPEED)?,
        "peak_memory_bytes": timed[timed.len() - 1]["peak_memory_bytes"],
        "threads": files::json(run.join("manifest.json"))?["threads"],
    }))
}

/// Shards of the corpus with the vocabulary of bert-base-uncased, built once for each corpus.
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
    fn flops_per_token_equal_the_documented_values() {
        // docs/performance.md: 0.070 and 0.668 GFLOP.
        assert!((SMALL.flops_per_token() / 1e9 - 0.070).abs() < 0.0005);
        assert!((BASE.flops_per_token() / 1e9 - 0.668).abs() < 0.0005);
    }
}
