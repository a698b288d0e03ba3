//! `electra import`: imports weights and settings of other programs.

use super::{Overwrite, corpus::TokenizerArgs};
use crate::{Extensions, console};
use anyhow::{Context, bail};
use clap::{ArgGroup, Parser, ValueEnum};
use electra_files::{folder, write_file};
use electra_model::{
    Parts, PretrainedNetwork,
    hf::{self, Pretrained},
    tf::{self, Heads},
};
use electra_scores::squad::Version;
use electra_tasks::model;
use electra_tokenize::{Tokenizer, TokenizerOptions, WordPiece};
use electra_train::hparams;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tch::Device;

/// Import a model of another program.
///
/// Reads a Hugging Face folder (ELECTRA or BERT), a TensorFlow checkpoint of the original, or the original's --hparams, which
/// become a config. Checks names, shapes, kinds, and for NaN and infinity. From a checkpoint with both networks, writes the discriminator
/// to OUT and the generator to OUT/generator, as `init.from = "OUT"` expects.
#[derive(Debug, Parser)]
#[command(
    group(ArgGroup::new("what").required(true).args(["from", "hparams"])),
    after_help = "Examples:\n  electra import --from hf google-electra-small --out imported/small\n  electra import --from tf electra_small/ --out imported/small\n  electra import --hparams hparams.json --out pretrain.toml"
)]
pub(crate) struct Args {
    /// Format of the weights.
    #[arg(long, value_enum, requires = "source")]
    from: Option<Format>,
    /// JSON file with the original's hyperparameters; OUT is then a TOML file.
    #[arg(long, conflicts_with = "source")]
    hparams: Option<PathBuf>,
    /// Source folder; for tf also the prefix of a checkpoint.
    source: Option<PathBuf>,
    /// Output folder or file.
    #[arg(long)]
    out: PathBuf,
    /// A vocab.txt. Default: the one in the source folder.
    #[arg(long, help_heading = TOKENIZER)]
    vocab: Option<PathBuf>,
    #[command(flatten, next_help_heading = TOKENIZER)]
    tokenizer: TokenizerArgs,
    /// Number of attention heads of the discriminator. Default: hidden / 64, as in the original.
    #[arg(long, help_heading = TENSORFLOW)]
    heads: Option<i64>,
    /// Number of attention heads of the generator. Default: hidden / 64.
    #[arg(long, help_heading = TENSORFLOW)]
    generator_heads: Option<i64>,
    /// Text column for a model that predicts from texts, such as a classifier.
    #[arg(long, default_value = "text", help_heading = TEXTS)]
    text_a: String,
    /// Second text column for a classifier of pairs; repeat it for a model with more texts, such as the choices of multiple
    /// choice.
    #[arg(long, help_heading = TEXTS)]
    text_b: Vec<String>,
    /// Version of SQuAD of a question answering model: with 2.0, a question may have no answer.
    #[arg(long, value_enum, default_value_t = Version::V1, help_heading = TEXTS)]
    squad_version: Version,
    #[command(flatten)]
    overwrite: Overwrite,
}

/// Headings of options.
const TOKENIZER: &str = "Tokenizer";
const TENSORFLOW: &str = "TensorFlow checkpoints, which do not record the number of heads";
const TEXTS: &str = "Inputs of a model that is already fine-tuned";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Hugging Face: config.json with model.safetensors or pytorch_model.bin, in one file or in shards.
    Hf,
    /// TensorFlow: NAME.index and NAME.data-*.
    Tf,
}

/// The files of a Hugging Face folder with settings and added tokens.
const SETTINGS: [&str; 4] =
    ["tokenizer_config.json", "tokenizer.json", "special_tokens_map.json", "added_tokens.json"];

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        if let Some(path) = &self.hparams {
            let (config, notes) = hparams::read(path, Path::new("data/shards"))?;
            if self.out.is_file() && self.overwrite.existing() == electra_train::Existing::Refuse {
                bail!("{} exists: use another file, or --overwrite", self.out.display());
            }
            write_file(&self.out, config.to_toml())?;
            print_notes(&notes)?;
            console::print(format_args!("saved: {}", self.out.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
        let (Some(format), Some(source)) = (self.from, &self.source) else {
            bail!("use --from FORMAT SOURCE, or --hparams FILE");
        };
        match format {
            Format::Hf => self.import_hf(source, extensions)?,
            Format::Tf => self.import_tf(source, &extensions.parts)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn import_hf(&self, source: &Path, extensions: &Extensions) -> anyhow::Result<()> {
        let pretrained = Pretrained::read(source)?;
        let name = self.out.file_name().and_then(|name| name.to_str()).unwrap_or("imported");
        let existing = self.overwrite.existing();
        let texts: Vec<String> =
            std::iter::once(&self.text_a).chain(&self.text_b).cloned().collect();
        let predicts =
            folder::whole(&self.out, existing, hf::CONFIG_FILE, |dir| -> anyhow::Result<bool> {
                let tokenizer = self.hf_tokenizer(source, dir)?;
                let origin = self.vocab.as_deref().unwrap_or(source);
                write(dir, &pretrained, &tokenizer, origin, &extensions.parts)?;
                Ok(extensions.kinds.adopt(dir, name, &texts, self.squad_version)?)
            })?;
        print_notes(&pretrained.config.head_count_note().into_iter().collect::<Vec<_>>())?;
        summarize(&self.out, &pretrained)?;
        if predicts {
            console::print(format_args!(
                "it has the head of a task; predict with: electra predict --model {} …",
                self.out.display()
            ))?;
        }
        Ok(())
    }

    fn import_tf(&self, source: &Path, parts: &Parts) -> anyhow::Result<()> {
        let heads = Heads { discriminator: self.heads, generator: self.generator_heads };
        let networks = tf::read(source, heads)?;
        let folder = if source.is_dir() { source } else { source.parent().unwrap_or(source) };
        let vocab = self.vocab.clone().unwrap_or_else(|| folder.join("vocab.txt"));
        if self.vocab.is_none() && !vocab.is_file() {
            bail!("{}: no vocab.txt: pass the vocabulary with --vocab FILE", folder.display());
        }
        let tokenizer = WordPiece::from_file(&vocab, &self.tokenizer.options())?;
        let (existing, generator_dir) = (self.overwrite.existing(), self.out.join("generator"));
        folder::whole(&self.out, existing, hf::CONFIG_FILE, |dir| -> anyhow::Result<()> {
            write(dir, &networks.discriminator, &tokenizer, &vocab, parts)?;
            if let Some(generator) = &networks.generator {
                let dir = dir.join("generator");
                fs::create_dir(&dir).map_err(electra_files::Error::io(&dir))?;
                write(&dir, generator, &tokenizer, &vocab, parts)?;
            }
            Ok(())
        })?;
        summarize(&self.out, &networks.discriminator)?;
        match &networks.generator {
            Some(generator) => summarize(&generator_dir, generator),
            None => console::print("the checkpoint has no generator"),
        }
    }

    /// The tokenizer with the settings of the source folder, or those of the command line if it has none. Uses `dir` for
    /// temporary files.
    fn hf_tokenizer(&self, source: &Path, dir: &Path) -> anyhow::Result<WordPiece> {
        let options = self.tokenizer.options();
        let Some(vocab) = &self.vocab else { return Ok(WordPiece::from_file(source, &options)?) };
        // Another vocabulary, with the settings and the added tokens of the source.
        let own = WordPiece::from_file(vocab, &options)?;
        own.vocab().write_vocab_txt(&dir.join("vocab.txt"))?;
        for name in SETTINGS.iter().filter(|name| source.join(name).is_file()) {
            let from = source.join(name);
            fs::copy(&from, dir.join(name)).with_context(|| from.display().to_string())?;
        }
        let options = options.or(TokenizerOptions::recorded(vocab)?);
        Ok(WordPiece::from_file(dir, &options)?)
    }
}

/// Writes a network, after checking that it loads. `origin` has the vocabulary.
fn write(
    dir: &Path,
    pretrained: &Pretrained,
    tokenizer: &WordPiece,
    origin: &Path,
    parts: &Parts,
) -> anyhow::Result<()> {
    PretrainedNetwork::new(pretrained, parts, Device::Cpu)?;
    let encoder = &pretrained.config.encoder;
    model::check_vocabulary(origin, tokenizer, encoder)?;
    tokenizer.vocab().notes().iter().for_each(|note| tracing::warn!("{note}"));
    let mut config = pretrained.config.clone();
    config.pad_token_id = tokenizer.vocab().special().pad.into();
    hf::write(dir, &config, &pretrained.tensors)?;
    Ok(tokenizer.write_pretrained(dir, encoder.max_positions as usize)?)
}

/// Prints what was imported.
fn summarize(out: &Path, pretrained: &Pretrained) -> anyhow::Result<()> {
    print_notes(&pretrained.notes)?;
    let encoder = &pretrained.config.encoder;
    let parameters: usize = pretrained.tensors.iter().map(|(_, tensor)| tensor.numel()).sum();
    console::print(format_args!(
        "imported: {}  {:?}, {parameters} parameters, {} layers of {}, {} heads",
        out.display(),
        pretrained.config.architecture,
        encoder.layers,
        encoder.hidden,
        encoder.heads
    ))
}

fn print_notes(notes: &[String]) -> anyhow::Result<()> {
    notes.iter().try_for_each(console::print)
}
