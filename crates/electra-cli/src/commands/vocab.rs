//! `electra vocab`: trains and checks vocabularies, and encodes text.

use super::{Overwrite, corpus::CorpusArgs};
use crate::console::{self, Progress};
use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use electra_data::train_vocabulary;
use electra_files::write_file_with;
use electra_tokenize::{Tokenizer, TrainConfig, Vocab, WordPiece};
use electra_train::Existing;
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Train or check a WordPiece vocabulary.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a vocabulary on a corpus. The result is deterministic.
    #[command(
        after_help = "Example:\n  electra vocab train --corpus books/ --size 30522 --out vocab.txt"
    )]
    Train(Train),
    /// Check a vocab.txt or tokenizer.json, and print its size, special tokens and hash.
    #[command(after_help = "Example:\n  electra vocab check vocab.txt")]
    Check(Check),
    /// Encode each line of a file, as JSON lines.
    #[command(
        after_help = "Example:\n  electra vocab encode --model exported/small --input lines.txt --output ids.jsonl"
    )]
    Encode(Encode),
}

#[derive(Debug, Parser)]
pub(crate) struct Encode {
    /// Folder with vocab.txt or tokenizer.json and the tokenizer's settings.
    #[arg(long)]
    model: PathBuf,
    /// Text file with one text per line.
    #[arg(long)]
    input: PathBuf,
    /// Output file with a line `{"ids": [..], "offsets": [[from, to], ..]}` for each text; offsets are in characters, `to`
    /// is exclusive.
    #[arg(long)]
    output: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
}

#[derive(Debug, Parser)]
pub(crate) struct Train {
    #[command(flatten)]
    corpus: CorpusArgs,
    /// Vocabulary size, including special tokens.
    #[arg(long, default_value_t = 30_522)]
    size: usize,
    /// Pairs that occur less often are not merged.
    #[arg(long, default_value_t = 2)]
    min_frequency: u64,
    /// Output file, vocab.txt. An existing vocabulary is replaced atomically.
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
            Self::Encode(args) => args.run(),
        }
    }
}

impl Train {
    fn run(self) -> anyhow::Result<ExitCode> {
        may_be_written(&self.out)?;
        let corpus = self.corpus.open()?;
        let mut progress = Progress::new("bytes read", 0);
        let train =
            TrainConfig { min_frequency: self.min_frequency, ..TrainConfig::new(self.size) };
        let (vocab, replaced) =
            train_vocabulary(&corpus, &self.corpus.tokenizer(), &train, &mut |bytes| {
                progress.set(bytes, 0);
            })?;
        drop(progress);
        if replaced > 0 {
            tracing::warn!("skipped {replaced} bytes of invalid UTF-8");
        }
        if vocab.len() < self.size {
            tracing::warn!(
                "the corpus is too small: the vocabulary has {} tokens instead of {}",
                vocab.len(),
                self.size
            );
        }
        vocab.write_vocab_txt(&self.out)?;
        console::print(format_args!("{} tokens: {}", vocab.len(), self.out.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Checks that the output replaces nothing but a vocabulary, before the corpus is read.
fn may_be_written(path: &Path) -> anyhow::Result<()> {
    let Ok(there) = fs::metadata(path) else { return Ok(()) };
    if there.is_dir() {
        bail!("{} is a folder: use a file", path.display());
    }
    if there.is_file() && there.len() > 0 && Vocab::from_file(path).is_err() {
        bail!("{} exists and is not a vocabulary: use another file, or remove it", path.display());
    }
    Ok(())
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

impl Encode {
    fn run(self) -> anyhow::Result<ExitCode> {
        if self.output.is_file() && self.overwrite.existing() == Existing::Refuse {
            let name = self.output.display();
            bail!("{name} exists: use another file, or --overwrite");
        }
        let tokenizer = WordPiece::from_pretrained_dir(&self.model)?;
        let named = |path: &Path| path.display().to_string();
        let input = BufReader::new(File::open(&self.input).with_context(|| named(&self.input))?);
        let mut lines = 0u64;
        write_file_with(&self.output, |output| -> anyhow::Result<()> {
            for line in input.lines() {
                lines += 1;
                let line = line.with_context(|| format!("{}, line {lines}", named(&self.input)))?;
                serde_json::to_writer(&mut *output, &encoded(&tokenizer, &line)?)?;
                output.write_all(b"\n")?;
            }
            Ok(())
        })?;
        console::print(format_args!("{lines} lines: {}", self.output.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The ids of a line, and the character offsets of each token.
fn encoded(tokenizer: &WordPiece, line: &str) -> anyhow::Result<serde_json::Value> {
    let tokens = tokenizer.encode_with_offsets(line)?;
    // Maps the byte offset of each character, and of the end, to the character offset.
    let mut characters = vec![0; line.len() + 1];
    let begins = line.char_indices().map(|(byte, _)| byte).chain([line.len()]);
    begins.enumerate().for_each(|(character, byte)| characters[byte] = character);
    let ids: Vec<u32> = tokens.iter().map(|(id, _)| *id).collect();
    let offsets: Vec<_> =
        tokens.iter().map(|(_, r)| [characters[r.start], characters[r.end]]).collect();
    if ids != tokenizer.encode(line)? {
        bail!("internal error, please report it: encoding {line:?} with offsets gives other ids");
    }
    Ok(serde_json::json!({"ids": ids, "offsets": offsets}))
}
