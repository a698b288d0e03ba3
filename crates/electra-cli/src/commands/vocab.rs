//! `electra vocab`: trains, checks and extends vocabularies, and encodes text.

use super::{Overwrite, corpus::CorpusArgs};
use crate::console::{self, Progress};
use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use electra_data::train_vocabulary;
use electra_files::{read_text, write_file_with};
use electra_tokenize::{
    Placement, Tokenizer, TokenizerOptions, TrainConfig, Vocab, WordPiece, record_path,
};
use electra_train::{Existing, extend::extend_vocabulary};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Train, check and extend WordPiece vocabularies, and encode text.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a vocabulary on a corpus. The result is deterministic.
    #[command(
        after_help = "Example:\n  electra vocab train --corpus books/ --size 30522 --out vocab.txt"
    )]
    Train(Train),
    /// Check a vocab.txt, a tokenizer.json or a folder with one, and print its size, special tokens, hash and settings.
    #[command(after_help = "Example:\n  electra vocab check vocab.txt")]
    Check(Check),
    /// Encode each line of a file, as JSON lines.
    #[command(
        after_help = "Example:\n  electra vocab encode --model exported/small --input lines.txt --output ids.jsonl"
    )]
    Encode(Encode),
    /// Add words to the vocabulary of a model. Their embeddings begin as the mean of those of their pieces.
    ///
    /// For pre-training on text of a domain: build shards with `--vocab OUT`, and set `init.from = "OUT"`. For fine-tuning:
    /// `--model OUT`. A `generator` folder in the model is extended too.
    #[command(
        after_help = "Examples:\n  electra vocab extend --model exported/small --words words.txt --out extended/small\n  electra vocab extend --model exported/small --words words.txt --unused --out extended/small"
    )]
    Extend(Extend),
}

#[derive(Debug, Parser)]
pub(crate) struct Extend {
    /// Folder of a Hugging Face model, such as from `electra import` or `electra export`.
    #[arg(long)]
    model: PathBuf,
    /// Text file with one word per line.
    #[arg(long)]
    words: PathBuf,
    /// Replace [unused0], [unused1], .. by the words instead of adding rows, so that the model's size stays.
    #[arg(long)]
    unused: bool,
    /// Output folder.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
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
    /// Number of characters kept, the most frequent first. Words with other characters become `[UNK]`.
    #[arg(long, default_value_t = 1000)]
    alphabet: usize,
    /// Output file, vocab.txt. Its settings are written to tokenizer_config.json beside it (for another name: to
    /// NAME.tokenizer_config.json). An existing vocabulary is replaced atomically.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Parser)]
pub(crate) struct Check {
    /// A vocab.txt, a tokenizer.json, or a folder with one.
    vocab: PathBuf,
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Train(args) => args.run(),
            Self::Check(args) => args.run(),
            Self::Encode(args) => args.run(),
            Self::Extend(args) => args.run(),
        }
    }
}

impl Train {
    fn run(self) -> anyhow::Result<ExitCode> {
        may_be_written(&self.out)?;
        let corpus = self.corpus.open()?;
        let mut progress = Progress::new("bytes read", 0);
        let train = TrainConfig {
            min_frequency: self.min_frequency,
            alphabet: self.alphabet,
            ..TrainConfig::new(self.size)
        };
        let config = self.corpus.tokenizer.options().or_default();
        let trained =
            train_vocabulary(&corpus, &config, &train, &mut |bytes| progress.set(bytes, 0))?;
        drop(progress);
        trained.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
        let vocab = trained.tokenizer.vocab();
        if vocab.len() < self.size {
            tracing::warn!(
                "the corpus is too small: the vocabulary has {} tokens instead of {}",
                vocab.len(),
                self.size
            );
        }
        let tokens = vocab.len();
        trained.tokenizer.write_vocab(&self.out)?;
        let (out, record) = (self.out.display(), record_path(&self.out));
        console::print(format_args!("{tokens} tokens: {out}, settings: {}", record.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Checks that the output replaces nothing but a vocabulary, before the corpus is read.
fn may_be_written(path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        bail!("{} is a folder: use a file", path.display());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!(
            "{}: the folder {} does not exist: create it first",
            path.display(),
            folder.display()
        );
    }
    let json = path.with_file_name("tokenizer.json");
    if path.file_name().is_some_and(|name| name == "vocab.txt") && json.is_file() {
        bail!("{} belongs to another vocabulary: use another file name or folder", json.display());
    }
    let record = record_path(path);
    match fs::metadata(path) {
        Ok(there) if there.is_file() && there.len() > 0 => {
            if let Err(error) = Vocab::from_file(path) {
                bail!(
                    "{} exists and is not a vocabulary: use another file, or remove it ({error})",
                    path.display()
                );
            }
        }
        Ok(_) => {}
        Err(_) if record.is_file() => bail!(
            "{} exists and has the settings of another vocabulary: use another file name or folder for {}",
            record.display(),
            path.display()
        ),
        Err(_) => {}
    }
    Ok(())
}

impl Check {
    fn run(self) -> anyhow::Result<ExitCode> {
        let recorded = TokenizerOptions::recorded(&self.vocab)?;
        let tokenizer = WordPiece::from_file(&self.vocab, &TokenizerOptions::default())?;
        let vocab = tokenizer.vocab();
        vocab.notes().iter().for_each(|note| tracing::warn!("{note}"));
        let added: serde_json::Map<String, serde_json::Value> =
            vocab.added().iter().map(|(id, token)| (token.content.clone(), (*id).into())).collect();
        let summary = serde_json::json!({
            "tokens": vocab.len(), "special": vocab.special(), "added": added, "hash": vocab.hash(),
            // `null` for a setting that no file has.
            "settings": recorded,
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
        let input = BufReader::new(electra_files::open(&self.input)?);
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

impl Extend {
    /// An error about the words names their file.
    fn of_words(&self, error: electra_train::Error) -> anyhow::Error {
        match error {
            electra_train::Error::Tokenize(_) => {
                anyhow::Error::from(error).context(self.words.display().to_string())
            }
            _ => error.into(),
        }
    }

    fn run(self) -> anyhow::Result<ExitCode> {
        let text = read_text(&self.words)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let words: Vec<&str> =
            text.lines().map(str::trim).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            bail!("{} has no words: write one per line", self.words.display());
        }
        let placement = if self.unused { Placement::Unused } else { Placement::Append };
        let existing = self.overwrite.existing();
        let new = extend_vocabulary(&self.model, &words, placement, &self.out, existing)
            .map_err(|error| self.of_words(error))?;
        let vocab = Vocab::from_file(&self.out)?;
        let unk = vocab.special().unk;
        let unknown: Vec<&str> = new
            .iter()
            .filter(|word| word.pieces.contains(&unk))
            .map(|word| word.word.as_str())
            .collect();
        if let Some(first) = unknown.first() {
            tracing::warn!(
                "{} words have characters that the old vocabulary lacks, such as {first:?}: their embeddings begin as that of \
                 [UNK]",
                unknown.len()
            );
        }
        let (words, tokens, out) = (new.len(), vocab.len(), self.out.display());
        console::print(format_args!(
            "{words} words added, {tokens} tokens: {out}\nbuild shards with --vocab {out} and pre-train with init.from = \"{out}\", or \
             fine-tune with --model {out}"
        ))?;
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
