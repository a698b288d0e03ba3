//! `cargo xtask bench`: criterion benchmarks; alternating runs of this project and a Python peer on the same machine;
//! scaling of a training step; learning curves of both precisions.

mod curves;
mod page;
mod paired;
mod pretrain;
mod scaling;
mod shards;
mod svg;
mod tasks;

use crate::{files, sh};
use anyhow::{Context, Result};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde_json::Value;
use std::path::PathBuf;

/// Folder for the files of benchmarks.
const HOME: &str = "target/bench";
const PAGE: &str = "docs/performance.md";

/// The criterion benchmarks: package and name.
const CRITERION: [(&str, &str); 4] = [
    ("electra-tokenize", "encode"),
    ("electra-data", "data"),
    ("electra-torch", "ops"),
    ("electra-train", "step"),
];

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    mode: Mode,
    /// Number of alternating runs of each side.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// Skip the peer with torch.compile, which takes minutes to start.
    #[arg(long)]
    eager_only: bool,
    /// Training steps of each run of --curves. Default: those of the config.
    #[arg(long, requires = "curves", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Write the results to a JSON file.
    #[arg(long, value_parser = sh::path_arg)]
    json: Option<PathBuf>,
    /// Text to train on or encode.
    #[arg(long, default_value = "data/sample/pretrain", value_parser = sh::path_arg)]
    corpus: PathBuf,
    /// GLUE's folder (with SST-2 and MRPC) or SQuAD's, for fine-tuning and prediction.
    #[arg(long, value_parser = sh::path_arg)]
    data: Option<PathBuf>,
}

/// What to run; the criterion benchmarks by default.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Mode {
    /// Compare with a peer in Python.
    #[arg(long, value_parser = peers())]
    peer: Option<&'static Peer>,
    /// Time a step of ELECTRA-Small on one thread and on all, with other batch sizes and lengths; and the data loader.
    #[arg(long)]
    scaling: bool,
    /// Held-out learning curves of the quickstart's pre-training in both precisions.
    #[arg(long)]
    curves: bool,
}

/// A comparison with Python.
#[derive(Debug)]
struct Peer {
    /// The value of --peer, and the first cell of its row in the page.
    name: &'static str,
    /// What both sides do.
    about: &'static str,
    /// Runs both sides; its second argument is the name.
    run: fn(&Args, &str) -> Result<()>,
}

/// All comparisons. A new one needs an entry here and a row in the page.
const PEERS: [Peer; 12] = [
    Peer {
        name: "pretrain-small",
        about: "Pre-training step of ELECTRA-Small, 32 sequences of 128 tokens",
        run: |args, name| pretrain::run(args, name, &pretrain::SMALL),
    },
    Peer {
        name: "pretrain-small-bf16",
        about: "The same in bfloat16, compared with eager PyTorch in f32 and under autocast",
        run: |args, name| pretrain::run(args, name, &pretrain::SMALL.in_bf16()),
    },
    Peer {
        name: "pretrain-base",
        about: "Pre-training step of ELECTRA-Base, 4 sequences of 512 tokens",
        run: |args, name| pretrain::run(args, name, &pretrain::BASE),
    },
    Peer {
        name: "pretrain-base-bf16",
        about: "The same in bfloat16, compared with eager PyTorch in f32 and under autocast",
        run: |args, name| pretrain::run(args, name, &pretrain::BASE.in_bf16()),
    },
    Peer {
        name: "finetune-sst2",
        about: "Fine-tuning ELECTRA-Small on SST-2, batch size 32",
        run: |args, name| tasks::finetune(args, name, &tasks::SST2),
    },
    Peer {
        name: "finetune-sst2-bf16",
        about: "The same in bfloat16, compared with eager PyTorch in f32 and under autocast",
        run: |args, name| tasks::finetune(args, name, &tasks::SST2.in_bf16()),
    },
    Peer {
        name: "finetune-mrpc",
        about: "Fine-tuning ELECTRA-Small on MRPC, batch size 32",
        run: |args, name| tasks::finetune(args, name, &tasks::MRPC),
    },
    Peer {
        name: "finetune-mrpc-bf16",
        about: "The same in bfloat16, compared with eager PyTorch in f32 and under autocast",
        run: |args, name| tasks::finetune(args, name, &tasks::MRPC.in_bf16()),
    },
    Peer {
        name: "finetune-squad",
        about: "Fine-tuning ELECTRA-Small on SQuAD 1.1, batches of 32 windows of up to 384 tokens",
        run: |args, name| tasks::finetune(args, name, &tasks::SQUAD),
    },
    Peer {
        name: "predict",
        about: "Prediction with a fine-tuned ELECTRA-Small on texts of mixed lengths; also compared with ONNX Runtime",
        run: tasks::predict,
    },
    Peer {
        name: "predict-pipeline",
        about: "The same, compared with transformers' text-classification pipeline",
        run: tasks::predict_pipeline,
    },
    Peer {
        name: "shards",
        about: "Building shards from text, compared with only encoding with Python's `tokenizers`",
        run: shards::run,
    },
];

/// The precision of this project's matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precision {
    F32,
    Bf16,
}

impl Precision {
    /// The value of `precision` in a config.
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match args.mode {
        Mode { peer: Some(peer), .. } => (peer.run)(args, peer.name),
        Mode { scaling: true, .. } => scaling::run(args),
        Mode { curves: true, .. } => curves::run(args),
        Mode { .. } => {
            CRITERION.iter().try_for_each(|bench| sh::run(&criterion(bench, &[])).map(drop))
        }
    }
}

/// The `cargo bench` command of one of [`CRITERION`].
fn criterion(&(package, name): &(&str, &str), more: &[&str]) -> Vec<String> {
    let mut command = sh::words(["cargo", "bench", "--package", package, "--bench", name]);
    command.extend(more.iter().map(|&word| word.to_owned()));
    command
}

fn peers() -> impl TypedValueParser<Value = &'static Peer> {
    let names = PEERS.iter().map(|peer| PossibleValue::new(peer.name).help(peer.about));
    PossibleValuesParser::new(names)
        .try_map(|name| PEERS.iter().find(|peer| peer.name == name).context("unknown peer"))
}

/// Runs a peer's script, and parses the JSON that it prints.
fn peer(interpreter: &str, script: &[String]) -> Result<Value> {
    let mut command = vec![interpreter.to_owned()];
    command.extend_from_slice(script);
    sh::say(&format!("+ {}", sh::shown(&command)));
    serde_json::from_str(sh::capture(&command)?.trim()).context("parsing the peer's output")
}

/// Prints the results, writes them to --json, and updates their rows in the page.
fn report(args: &Args, results: &Value, rows: &[String]) -> Result<()> {
    let text = serde_json::to_string_pretty(results)? + "\n";
    sh::say(&text);
    if let Some(path) = &args.json {
        files::write(path, &text)?;
    }
    let page = rows.iter().try_fold(files::read(PAGE)?, |page, row| page::with_row(&page, row))?;
    files::write(PAGE, &page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_a_row_in_the_page() {
        let page = files::read(crate::root().join(PAGE)).unwrap();
        for peer in &PEERS {
            let row = page::Row::new(peer.name, 7).line();
            assert!(page::with_row(&page, &row).is_ok(), "{}", peer.name);
        }
    }

    #[test]
    fn criterion_benches_exist() {
        for (package, name) in CRITERION {
            let path = crate::root().join(format!("crates/{package}/benches/{name}.rs"));
            assert!(path.is_file(), "{}", path.display());
        }
    }
}
