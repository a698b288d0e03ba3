//! `electra import`: other programs' weights and settings, checked and in this project's form.

use super::Overwrite;
use crate::console;
use anyhow::{Context, bail};
use clap::{ArgGroup, Parser, ValueEnum};
use electra_model::{
    Parts, PretrainedNetwork,
    hf::{self, Architecture, Pretrained},
    tf::{self, Heads},
};
use electra_tasks::model;
use electra_tokenize::{Accents, Case, Tokenizer, TokenizerConfig, Vocab, WordPiece};
use electra_train::{folder, hparams};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tch::Device;

/// Import weights: a Hugging Face folder (ELECTRA or BERT) or a TensorFlow checkpoint of the original; or the
/// original's --hparams as a config.
///
/// Everything is checked on the way: names, shapes, kinds, numbers that are not finite. A checkpoint with both
/// networks gives the discriminator in OUT and the generator in OUT/generator, as `init.from = "OUT"` takes them.
#[derive(Debug, Parser)]
#[command(
    group(ArgGroup::new("what").required(true).args(["from", "hparams"])),
    after_help = "Examples:\n  electra import --from hf google-electra-small --out imported/small\n  electra import --from tf electra_small/ --out imported/small\n  electra import --hparams hparams.json --out pretrain.toml"
)]
pub(crate) struct Args {
    /// The weights' format.
    #[arg(long, value_enum, requires = "source")]
    from: Option<Format>,
    /// A JSON file of the original's hyper-parameters; OUT is a TOML file then.
    #[arg(long, conflicts_with = "source")]
    hparams: Option<PathBuf>,
    /// A folder; for tf also a checkpoint's prefix.
    source: Option<PathBuf>,
    /// What is made.
    #[arg(long)]
    out: PathBuf,
    /// vocab.txt; the one in the source's folder by default.
    #[arg(long)]
    vocab: Option<PathBuf>,
    /// The text was not lower-cased; for sources without a tokenizer_config.json or tokenizer.json.
    #[arg(long)]
    cased: bool,
    /// What happened to accents; for the same sources.
    #[arg(long, value_enum)]
    accents: Option<AccentRule>,
    /// Attention heads of the discriminator (tf; hidden / 64 by default, as the original has).
    #[arg(long)]
    heads: Option<i64>,
    /// Attention heads of the generator.
    #[arg(long)]
    generator_heads: Option<i64>,
    /// Column of a classifier's (first) text.
    #[arg(long, default_value = "text")]
    text_a: String,
    /// Column of a classifier's second text, for pairs.
    #[arg(long)]
    text_b: Option<String>,
    #[command(flatten)]
    overwrite: Overwrite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Hugging Face: config.json with model.safetensors or pytorch_model.bin, whole or in shards.
    Hf,
    /// TensorFlow: NAME.index and NAME.data-*.
    Tf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AccentRule {
    /// Taken off exactly when text was lower-cased.
    Auto,
    /// Taken off.
    Strip,
    /// Kept: the original's `--no-strip-accents`.
    Keep,
}

/// The files of a Hugging Face folder that say how text is split.
const SETTINGS: [&str; 2] = ["tokenizer_config.json", "tokenizer.json"];

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(path) = &self.hparams {
            let (config, notes) = hparams::read(path, Path::new("data/shards"))?;
            if self.out.is_file() && self.overwrite.existing() == electra_train::Existing::Refuse {
                bail!("{} is there: name another file or say --overwrite", self.out.display());
            }
            fs::write(&self.out, config.to_toml())
                .with_context(|| self.out.display().to_string())?;
            say(&notes)?;
            console::print(format_args!("written: {}", self.out.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
        let (Some(format), Some(source)) = (self.from, &self.source) else {
            bail!("give --from FORMAT SOURCE, or --hparams FILE");
        };
        match format {
            Format::Hf => self.import_hf(source)?,
            Format::Tf => self.import_tf(source)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn import_hf(&self, source: &Path) -> anyhow::Result<()> {
        let pretrained = Pretrained::read(source)?;
        let classifier =
            pretrained.config.architecture == Architecture::ElectraForSequenceClassification;
        let name = self.out.file_name().and_then(|name| name.to_str()).unwrap_or("imported");
        let existing = self.overwrite.existing();
        folder::whole(&self.out, existing, folder::MODEL, |dir| -> anyhow::Result<()> {
            write(dir, &pretrained, &self.hf_tokenizer(source, dir)?)?;
            if classifier {
                let (a, b) = (&self.text_a, self.text_b.as_deref());
                electra_tasks::adopt::classifier(dir, name, a, b)?;
            }
            Ok(())
        })?;
        told(&self.out, &pretrained)?;
        if classifier {
            console::print(format_args!(
                "a classifier: electra predict --model {} …",
                self.out.display()
            ))?;
        }
        Ok(())
    }

    fn import_tf(&self, source: &Path) -> anyhow::Result<()> {
        let heads = Heads { discriminator: self.heads, generator: self.generator_heads };
        let networks = tf::read(source, heads)?;
        let folder = if source.is_dir() { source } else { source.parent().unwrap_or(source) };
        let vocab = self.vocab.clone().unwrap_or_else(|| folder.join("vocab.txt"));
        let tokenizer = WordPiece::from_file(&vocab, self.tokenizer_config())?;
        let (existing, beside) = (self.overwrite.existing(), self.out.join("generator"));
        folder::whole(&self.out, existing, folder::MODEL, |dir| -> anyhow::Result<()> {
            write(dir, &networks.discriminator, &tokenizer)?;
            if let Some(generator) = &networks.generator {
                let dir = dir.join("generator");
                fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
                write(&dir, generator, &tokenizer)?;
            }
            Ok(())
        })?;
        told(&self.out, &networks.discriminator)?;
        match &networks.generator {
            Some(generator) => told(&beside, generator),
            None => console::print("the checkpoint holds no generator"),
        }
    }

    fn tokenizer_config(&self) -> TokenizerConfig {
        TokenizerConfig {
            case: if self.cased { Case::Cased } else { Case::Uncased },
            accents: match self.accents {
                None | Some(AccentRule::Auto) => Accents::Auto,
                Some(AccentRule::Strip) => Accents::Strip,
                Some(AccentRule::Keep) => Accents::Keep,
            },
            ..TokenizerConfig::default()
        }
    }

    /// The vocabulary with the settings of the source's folder, or those of the command line where it has none.
    /// `dir` is a folder to put files in that are written over.
    fn hf_tokenizer(&self, source: &Path, dir: &Path) -> anyhow::Result<WordPiece> {
        let settings = SETTINGS.iter().find(|name| source.join(name).is_file());
        let given = self.cased || self.accents.is_some();
        match (settings, &self.vocab) {
            (Some(file), _) if given => bail!(
                "{} says what happened to capitals and accents: leave out --cased and --accents",
                source.join(file).display()
            ),
            (Some(_), None) => Ok(WordPiece::from_pretrained_dir(source)?),
            (Some(_), Some(vocab)) => {
                Vocab::from_file(vocab)?.write_vocab_txt(&dir.join("vocab.txt"))?;
                for name in SETTINGS.iter().filter(|name| source.join(name).is_file()) {
                    let from = source.join(name);
                    fs::copy(&from, dir.join(name)).with_context(|| from.display().to_string())?;
                }
                Ok(WordPiece::from_pretrained_dir(dir)?)
            }
            (None, vocab) => {
                let own = source.join("vocab.txt");
                Ok(WordPiece::from_file(vocab.as_ref().unwrap_or(&own), self.tokenizer_config())?)
            }
        }
    }
}

/// One network, after it was loaded once: what is written is whole.
fn write(dir: &Path, pretrained: &Pretrained, tokenizer: &WordPiece) -> anyhow::Result<()> {
    PretrainedNetwork::new(pretrained, &Parts::shipped(), Device::Cpu)?;
    let encoder = &pretrained.config.encoder;
    model::check_vocabulary(dir, tokenizer, encoder)?;
    let mut config = pretrained.config.clone();
    config.pad_token_id = tokenizer.vocab().special().pad.into();
    hf::write(dir, &config, &pretrained.tensors)?;
    Ok(tokenizer.write_pretrained(dir, encoder.max_positions as usize)?)
}

/// Says what was imported, once it is there.
fn told(out: &Path, pretrained: &Pretrained) -> anyhow::Result<()> {
    say(&pretrained.notes)?;
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

fn say(notes: &[String]) -> anyhow::Result<()> {
    notes.iter().try_for_each(console::print)
}
