//! `cargo xtask bench`: criterion benches; this project beside a peer in Python, in turn and on the same machine; how
//! a step scales; curves of both precisions.

mod curves;
mod page;
mod pretrain;
mod scaling;
mod shards;
mod svg;
mod tasks;
mod turns;

use crate::{figures, sh};
use anyhow::{Context, Result};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde_json::Value;
use std::path::PathBuf;

/// Where benches keep what they make.
const HOME: &str = "target/bench";
const PAGE: &str = "docs/performance.md";

/// The benches of hot paths: package and name.
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
    what: What,
    /// Runs of each side, in turn.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// Leave out the peer under torch.compile, which takes minutes to start.
    #[arg(long)]
    eager_only: bool,
    /// Updates of each run of --curves; those of the config by default.
    #[arg(long, requires = "curves", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Where the figures go as JSON.
    #[arg(long, value_parser = sh::place)]
    json: Option<PathBuf>,
    /// Text that is trained on or encoded.
    #[arg(long, default_value = "data/sample/pretrain", value_parser = sh::place)]
    corpus: PathBuf,
    /// GLUE's folder, with SST-2 and MRPC in it, or SQuAD's, for the tasks.
    #[arg(long, value_parser = sh::place)]
    data: Option<PathBuf>,
}

/// One of these, or the benches of hot paths.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct What {
    /// Run beside a peer.
    #[arg(long, value_parser = peers())]
    peer: Option<&'static Peer>,
    /// A step of ELECTRA-Small on one thread and on all, of other batches and lengths; and the loader.
    #[arg(long)]
    scaling: bool,
    /// Held-out curves of the quickstart's pre-training in both precisions.
    #[arg(long)]
    curves: bool,
}

/// Something that Python does too.
#[derive(Debug)]
struct Peer {
    /// As it is asked for, and the first cell of its row in the page.
    name: &'static str,
    /// What both sides do.
    about: &'static str,
    /// Runs both sides; its second argument is the name.
    run: fn(&Args, &str) -> Result<()>,
}

/// A new one needs a line here and a row in the page.
const PEERS: [Peer; 12] = [
    Peer {
        name: "pretrain-small",
        about: "A step of ELECTRA-Small, 32 sequences of 128 tokens",
        run: |args, name| pretrain::run(args, name, &pretrain::SMALL),
    },
    Peer {
        name: "pretrain-small-bf16",
        about: "The same with products in bfloat16, beside eager in single precision and under autocast",
        run: |args, name| pretrain::run(args, name, &pretrain::SMALL.in_bf16()),
    },
    Peer {
        name: "pretrain-base",
        about: "A step of ELECTRA-Base, 4 sequences of 512 tokens",
        run: |args, name| pretrain::run(args, name, &pretrain::BASE),
    },
    Peer {
        name: "pretrain-base-bf16",
        about: "The same with products in bfloat16, beside eager in single precision and under autocast",
        run: |args, name| pretrain::run(args, name, &pretrain::BASE.in_bf16()),
    },
    Peer {
        name: "finetune-sst2",
        about: "Fine-tuning ELECTRA-Small on SST-2, batches of 32",
        run: |args, name| tasks::finetune(args, name, &tasks::SST2),
    },
    Peer {
        name: "finetune-sst2-bf16",
        about: "The same with products in bfloat16, beside eager in single precision and under autocast",
        run: |args, name| tasks::finetune(args, name, &tasks::SST2.in_bf16()),
    },
    Peer {
        name: "finetune-mrpc",
        about: "Fine-tuning ELECTRA-Small on MRPC, batches of 32",
        run: |args, name| tasks::finetune(args, name, &tasks::MRPC),
    },
    Peer {
        name: "finetune-mrpc-bf16",
        about: "The same with products in bfloat16, beside eager in single precision and under autocast",
        run: |args, name| tasks::finetune(args, name, &tasks::MRPC.in_bf16()),
    },
    Peer {
        name: "finetune-squad",
        about: "Fine-tuning ELECTRA-Small on SQuAD 1.1, batches of 32 windows of 384 tokens or fewer",
        run: |args, name| tasks::finetune(args, name, &tasks::SQUAD),
    },
    Peer {
        name: "predict",
        about: "Predictions of a fine-tuned ELECTRA-Small, of texts of mixed lengths; also beside ONNX Runtime",
        run: tasks::predict,
    },
    Peer {
        name: "predict-pipeline",
        about: "The same beside transformers' pipeline of text classification",
        run: tasks::predict_pipeline,
    },
    Peer {
        name: "shards",
        about: "Shards from text, beside encoding alone by Python's `tokenizers`",
        run: shards::run,
    },
];

/// Of this project's products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precision {
    F32,
    Bf16,
}

impl Precision {
    /// The value of a config's `precision`.
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match args.what {
        What { peer: Some(peer), .. } => (peer.run)(args, peer.name),
        What { scaling: true, .. } => scaling::run(args),
        What { curves: true, .. } => curves::run(args),
        What { .. } => {
            CRITERION.iter().try_for_each(|bench| sh::run(&criterion(bench, &[])).map(drop))
        }
    }
}

/// `cargo bench` of one of [`CRITERION`].
fn criterion(&(package, name): &(&str, &str), more: &[&str]) -> Vec<String> {
    let mut command = sh::words(["cargo", "bench", "--package", package, "--bench", name]);
    command.extend(more.iter().map(|&word| word.to_owned()));
    command
}

fn peers() -> impl TypedValueParser<Value = &'static Peer> {
    let names = PEERS.iter().map(|peer| PossibleValue::new(peer.name).help(peer.about));
    PossibleValuesParser::new(names)
        .try_map(|name| PEERS.iter().find(|peer| peer.name == name).context("no such peer"))
}

/// What a peer's script prints.
fn peer(interpreter: &str, script: &[String]) -> Result<Value> {
    let mut command = vec![interpreter.to_owned()];
    command.extend_from_slice(script);
    sh::say(&format!("+ {}", sh::shown(&command)));
    serde_json::from_str(sh::capture(&command)?.trim()).context("what the peer prints")
}

/// Prints the figures, writes them where they were asked for, and their rows into the page.
fn report(args: &Args, figures: &Value, rows: &[String]) -> Result<()> {
    let text = serde_json::to_string_pretty(figures)? + "\n";
    sh::say(&text);
    if let Some(path) = &args.json {
        figures::write(path, &text)?;
    }
    let page =
        rows.iter().try_fold(figures::read(PAGE)?, |page, row| page::with_row(&page, row))?;
    figures::write(PAGE, &page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_its_row_in_the_page() {
        let page = figures::read(crate::root().join(PAGE)).unwrap();
        for peer in &PEERS {
            let row = page::Row::new(peer.name, 7).line();
            assert!(page::with_row(&page, &row).is_ok(), "{}", peer.name);
        }
    }

    #[test]
    fn benches_that_are_run_are_there() {
        for (package, name) in CRITERION {
            let path = crate::root().join(format!("crates/{package}/benches/{name}.rs"));
            assert!(path.is_file(), "{}", path.display());
        }
    }
}
