//! `electra vocab`: learn a vocabulary, or check one.

use super::corpus::CorpusArgs;
use crate::console::{self, Progress};
use clap::{Parser, Subcommand};
use electra_tokenize::{TrainConfig, Vocab, train_vocab};
use std::{path::PathBuf, process::ExitCode};

/// Learn or check a WordPiece vocabulary.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Learn a vocabulary from a corpus; the same corpus gives the same bytes.
    #[command(
        after_help = "Example:\n  electra vocab train --corpus books/ --size 30522 --out vocab.txt"
    )]
    Train(Train),
    /// Check a vocab.txt or tokenizer.json, and print its size, special tokens and hash.
    #[command(after_help = "Example:\n  electra vocab check vocab.txt")]
    Check(Check),
}

#[derive(Debug, Parser)]
pub(crate) struct Train {
    #[command(flatten)]
    corpus: CorpusArgs,
    /// Tokens, special ones included.
    #[arg(long, default_value_t = 30_522)]
    size: usize,
    /// Pairs seen less often are not merged.
    #[arg(long, default_value_t = 2)]
    min_frequency: u64,
    /// The vocab.txt to write.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Parser)]
pub(crate) struct Check {
    /// A vocab.txt or tokenizer.json.
    vocab: PathBuf,
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Train(args) => args.run(),
            Self::Check(args) => args.run(),
        }
    }
}

impl Train {
    fn run(self) -> anyhow::Result<ExitCode> {
        let corpus = self.corpus.open()?;
        let mut progress = Progress::new("bytes read", 0);
        let mut bytes = 0;
        let texts = corpus.documents().map(|document| {
            let text = document?.text;
            bytes += text.len() as u64;
            progress.set(bytes, 0);
            Ok::<_, electra_data::Error>(text)
        });
        let train =
            TrainConfig { min_frequency: self.min_frequency, ..TrainConfig::new(self.size) };
        let vocab = train_vocab(texts, &self.corpus.tokenizer(), &train)?;
        drop(progress);
        if vocab.len() < self.size {
            tracing::warn!(
                "the corpus has pairs for {} tokens only, not {}",
                vocab.len(),
                self.size
            );
        }
        vocab.write_vocab_txt(&self.out)?;
        console::print(format_args!("{} tokens: {}", vocab.len(), self.out.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Check {
    fn run(self) -> anyhow::Result<ExitCode> {
        let vocab = Vocab::from_file(&self.vocab)?;
        let summary = serde_json::json!({
            "tokens": vocab.len(), "special": vocab.special(), "hash": vocab.hash(),
        });
        console::print(serde_json::to_string_pretty(&summary)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
