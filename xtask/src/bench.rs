//! `cargo xtask bench`: criterion benchmarks; alternating runs of this project and a Python peer on the same machine;
//! scaling of a training step; learning curves of both precisions.

mod criterion;
mod curves;
mod options;
mod page;
mod paired;
mod pretrain;
mod report;
mod scaling;
mod shards;
mod tasks;

use crate::sh;
use anyhow::{Context, Result};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use criterion::{CRITERION, command};
use options::Options;

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    mode: Mode,
    #[command(flatten)]
    options: Options,
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
    run: fn(&Options, &str) -> Result<()>,
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

pub(crate) fn run(args: &Args) -> Result<()> {
    match args.mode {
        Mode { peer: Some(peer), .. } => (peer.run)(&args.options, peer.name),
        Mode { scaling: true, .. } => scaling::run(&args.options),
        Mode { curves: true, .. } => curves::run(&args.options),
        Mode { .. } => {
            CRITERION.iter().try_for_each(|bench| sh::run(&command(bench, &[])).map(drop))
        }
    }
}

fn peers() -> impl TypedValueParser<Value = &'static Peer> {
    let names = PEERS.iter().map(|peer| PossibleValue::new(peer.name).help(peer.about));
    PossibleValuesParser::new(names)
        .try_map(|name| PEERS.iter().find(|peer| peer.name == name).context("unknown peer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn every_peer_has_a_row_in_the_page() {
        let page = files::read(sh::root().join(page::PAGE)).unwrap();
        for peer in &PEERS {
            let row = page::Row::new(peer.name, 7).line();
            assert!(page::with_row(&page, &row).is_ok(), "{}", peer.name);
        }
    }
}
