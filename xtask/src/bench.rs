//! `cargo xtask bench`: criterion benches; this project beside a peer in Python, in turn and on the same machine; how
//! a step scales; curves of both precisions.

mod criterion;
mod curves;
mod options;
mod page;
mod pretrain;
mod report;
mod scaling;
mod shards;
mod svg;
mod tasks;
mod turns;

use crate::sh;
use anyhow::{Context, Result};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use criterion::{CRITERION, command};
use options::Options;

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    options: Options,
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
    run: fn(&Options, &str) -> Result<()>,
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

pub(crate) fn run(args: &Args) -> Result<()> {
    match args.what {
        What { peer: Some(peer), .. } => (peer.run)(&args.options, peer.name),
        What { scaling: true, .. } => scaling::run(&args.options),
        What { curves: true, .. } => curves::run(&args.options),
        What { .. } => {
            CRITERION.iter().try_for_each(|bench| sh::run(&command(bench, &[])).map(drop))
        }
    }
}

fn peers() -> impl TypedValueParser<Value = &'static Peer> {
    let names = PEERS.iter().map(|peer| PossibleValue::new(peer.name).help(peer.about));
    PossibleValuesParser::new(names)
        .try_map(|name| PEERS.iter().find(|peer| peer.name == name).context("no such peer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures;

    #[test]
    fn every_peer_has_its_row_in_the_page() {
        let page = figures::read(sh::root().join(page::PAGE)).unwrap();
        for peer in &PEERS {
            let row = page::Row::new(peer.name, 7).line();
            assert!(page::with_row(&page, &row).is_ok(), "{}", peer.name);
        }
    }
}
