//! `cargo xtask bench`: criterion benches, or this project beside a peer in Python, in turn and on the same machine.

mod pretrain;
mod tasks;

use crate::{
    pipeline::{self, ELECTRA},
    python, sh,
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

const HOME: &str = "target/bench";
const PAGE: &str = "docs/performance.md";

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run beside a peer; the benches of hot paths alone without it.
    #[arg(long, value_enum)]
    peer: Option<Peer>,
    /// Runs of each side, in turn.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// Leave out the peer under torch.compile, which takes minutes to start.
    #[arg(long)]
    eager_only: bool,
    /// Where the figures go as JSON.
    #[arg(long, value_parser = sh::place)]
    json: Option<PathBuf>,
    /// Text that is trained on or encoded.
    #[arg(long, default_value = "data/sample/pretrain", value_parser = sh::place)]
    corpus: PathBuf,
    /// GLUE's folder, with SST-2 and MRPC in it, for the tasks.
    #[arg(long, value_parser = sh::place)]
    data: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Peer {
    /// A step of ELECTRA-Small, 32 sequences of 128 tokens.
    PretrainSmall,
    /// The same with products in bfloat16, beside eager in single precision and under autocast.
    PretrainSmallBf16,
    /// A step of ELECTRA-Base, 4 sequences of 512 tokens.
    PretrainBase,
    /// The same with products in bfloat16.
    PretrainBaseBf16,
    /// Fine-tuning ELECTRA-Small on SST-2, batches of 32.
    FinetuneSst2,
    /// Fine-tuning ELECTRA-Small on MRPC, batches of 32.
    FinetuneMrpc,
    /// Predictions of a fine-tuned ELECTRA-Small, of texts of mixed lengths.
    Predict,
    /// Shards from text, beside encoding alone by Python's `tokenizers`.
    Shards,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match args.peer {
        None => sh::run(&sh::words(["cargo", "bench", "--workspace", "--benches"])).map(drop),
        Some(Peer::PretrainSmall) => pretrain::run(args, &pretrain::SMALL),
        Some(Peer::PretrainSmallBf16) => pretrain::run(args, &pretrain::SMALL_BF16),
        Some(Peer::PretrainBaseBf16) => pretrain::run(args, &pretrain::BASE_BF16),
        Some(Peer::PretrainBase) => pretrain::run(args, &pretrain::BASE),
        Some(Peer::FinetuneSst2) => tasks::finetune(args, "sst2"),
        Some(Peer::FinetuneMrpc) => tasks::finetune(args, "mrpc"),
        Some(Peer::Predict) => tasks::predict(args),
        Some(Peer::Shards) => shards(args),
    }
}

/// What a peer's script prints.
fn peer(interpreter: &str, script: &[String]) -> Result<Value> {
    let mut command = vec![interpreter.to_owned()];
    command.extend_from_slice(script);
    sh::say(&format!("+ {}", sh::shown(&command)));
    serde_json::from_str(sh::capture(&command)?.trim()).context("what the peer prints")
}

fn shards(args: &Args) -> Result<()> {
    pipeline::build(&args.corpus)?;
    let interpreter = python::torch()?;
    let (vocab, corpus) = (python::bert_vocab(&interpreter)?, args.corpus.display().to_string());
    let out = format!("{HOME}/shards-timed");
    fs::create_dir_all(HOME).context(HOME)?;
    let command = sh::words([
        ELECTRA,
        "shards",
        "build",
        "--corpus",
        &corpus,
        "--vocab",
        &vocab,
        "--seq-len",
        "128",
        "--overwrite",
        "--out",
        &out,
    ]);
    let script = sh::words(["benches/peer/encode.py", "--corpus", &corpus, "--vocab", &vocab]);
    let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 1..=args.pairs {
        let start = Instant::now();
        sh::run(&command)?;
        let seconds = start.elapsed().as_secs_f64();
        let peer = number(&peer(&interpreter, &script)?, "seconds")?;
        sh::say(&format!("pair {pair}: {:.2} times", peer / seconds));
        ratios.push(peer / seconds);
        ours.push(seconds);
        theirs.push(peer);
    }
    let ratio = median(ratios);
    let figures = json!({
        "work": "shards",
        "pairs": args.pairs,
        "ratio_eager": ratio,
        "seconds": median(ours),
        "peer_seconds": median(theirs),
    });
    report(args, &figures, &format!("| shards | {ratio:.2} | - | - | - | - | {} |", args.pairs))
}

/// Prints the figures, writes them where they were asked for, and their row into the page.
fn report(args: &Args, figures: &Value, row: &str) -> Result<()> {
    let text = serde_json::to_string_pretty(figures)? + "\n";
    sh::say(&text);
    if let Some(path) = &args.json {
        fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    let page = read(Path::new(PAGE))?;
    fs::write(PAGE, with_row(&page, row)?).context(PAGE)
}

/// The page with `row` in the place of the one that begins with the same cell.
fn with_row(page: &str, row: &str) -> Result<String> {
    let first = |line: &str| line.split('|').nth(1).map(str::trim).map(str::to_owned);
    let name = first(row);
    let mut found = false;
    let lines: Vec<&str> = page
        .lines()
        .map(|line| {
            let same = line.starts_with('|') && first(line) == name;
            found |= same;
            if same { row } else { line }
        })
        .collect();
    if !found {
        bail!("{PAGE} has no row for {}", name.unwrap_or_default());
    }
    Ok(lines.join("\n") + "\n")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

fn number(value: &Value, key: &str) -> Result<f64> {
    value[key].as_f64().with_context(|| format!("no figure {key:?} in {value}"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_row_takes_its_own_place() {
        let page = "| a | 1 |\n| b | 2 |\n";
        assert_eq!(with_row(page, "| b | 3 |").unwrap(), "| a | 1 |\n| b | 3 |\n");
        assert!(with_row(page, "| c | 3 |").is_err());
    }
}
