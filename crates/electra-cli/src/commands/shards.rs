//! `electra shards`: builds, inspects and verifies shards.

use super::{Overwrite, corpus::CorpusArgs};
use crate::console::{self, Progress};
use clap::{Parser, Subcommand};
use electra_data::{BuildConfig, PackingConfig, ShardIndex, build_shards, verify};
use electra_tokenize::{Tokenizer, WordPiece};
use std::{path::PathBuf, process::ExitCode};

/// Build, inspect or verify shards of a corpus.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tokenize and pack a corpus.
    #[command(
        after_help = "Example:\n  electra shards build --corpus books/ --vocab vocab.txt --seq-len 128 --out shards"
    )]
    Build(Build),
    /// Print the index of a folder of shards.
    #[command(after_help = "Example:\n  electra shards inspect shards")]
    Inspect(Folder),
    /// Verify all checksums and tokens.
    #[command(after_help = "Example:\n  electra shards verify shards")]
    Verify(Folder),
}

#[derive(Debug, Parser)]
pub(crate) struct Build {
    #[command(flatten)]
    corpus: CorpusArgs,
    /// A vocab.txt or tokenizer.json, or the folder of a model with one. Its settings are in the tokenizer_config.json
    /// beside it.
    #[arg(long)]
    vocab: PathBuf,
    /// Output folder.
    #[arg(long)]
    out: PathBuf,
    /// Maximum tokens per example, including special tokens.
    #[arg(long, default_value_t = 128)]
    seq_len: usize,
    /// Share of the tokens held out for evaluation, as whole documents; 0 for none. If no document is short enough, a part
    /// of one.
    #[arg(long, default_value_t = 0.01)]
    held_out: f64,
    /// Fail if a larger share of the tokens is [UNK]; 1 to allow any.
    #[arg(long, default_value_t = 0.5)]
    max_unknown: f64,
    /// Probability that an example has only one segment.
    #[arg(long, default_value_t = 0.1)]
    single_segment: f64,
    /// Probability that an example has a random shorter length.
    #[arg(long, default_value_t = 0.05)]
    short: f64,
    /// Seed for packing and for choosing the held-out text.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    overwrite: Overwrite,
}

#[derive(Debug, Parser)]
pub(crate) struct Folder {
    /// A folder from `electra shards build`.
    shards: PathBuf,
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Build(args) => args.run(),
            Self::Inspect(args) => {
                console::print(serde_json::to_string_pretty(&ShardIndex::read(&args.shards)?)?)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Verify(args) => {
                let index = verify(&args.shards)?;
                let examples = index.train.examples + index.held_out.examples;
                console::print(format_args!(
                    "verified: {examples} examples in {}",
                    args.shards.display()
                ))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Build {
    fn run(self) -> anyhow::Result<ExitCode> {
        let corpus = self.corpus.open()?;
        let tokenizer = WordPiece::from_file(&self.vocab, &self.corpus.tokenizer.options())?;
        tokenizer.vocab().notes().iter().for_each(|note| tracing::warn!("{note}"));
        let config = BuildConfig {
            out: self.out.clone(),
            packing: PackingConfig {
                sequence_length: self.seq_len,
                single_segment: self.single_segment,
                short: self.short,
            },
            held_out: self.held_out,
            max_unknown: self.max_unknown,
            seed: self.seed,
            existing: self.overwrite.existing(),
        };
        let mut progress = Progress::new("bytes of text", 0);
        let report =
            build_shards(&corpus, &tokenizer, &config, &mut |bytes| progress.set(bytes, 0))?;
        drop(progress);
        report.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
        console::print(serde_json::to_string_pretty(&report)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
