//! `electra import`: other programs' weights and settings, checked and in this project's form.

use super::Overwrite;
use crate::console;
use anyhow::bail;
use clap::{ArgGroup, Parser, ValueEnum};
use electra_model::{
    PretrainedNetwork,
    hf::{self, Architecture, Pretrained},
    tf::{self, Heads},
};
use electra_tokenize::{Case, Tokenizer, TokenizerConfig, WordPiece};
use electra_train::{export, hparams};
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
    /// The text was not lower-cased (tf; Hugging Face's folders say it themselves).
    #[arg(long)]
    cased: bool,
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

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(path) = &self.hparams {
            let (config, notes) = hparams::read(path, Path::new("data/shards"))?;
            if self.out.exists() && self.overwrite.existing() == electra_train::Existing::Refuse {
                bail!("{} is there: name another file or say --overwrite", self.out.display());
            }
            fs::write(&self.out, config.to_toml())?;
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
        let tokenizer = match &self.vocab {
            Some(vocab) => WordPiece::from_file(vocab, self.tokenizer_config())?,
            None => WordPiece::from_pretrained_dir(source)?,
        };
        export::make(&self.out, self.overwrite.existing())?;
        self.write(&self.out, &pretrained, &tokenizer)?;
        if pretrained.config.architecture == Architecture::ElectraForSequenceClassification {
            electra_tasks::model::adopt_classifier(
                &self.out,
                &self.text_a,
                self.text_b.as_deref(),
            )?;
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
        export::make(&self.out, self.overwrite.existing())?;
        self.write(&self.out, &networks.discriminator, &tokenizer)?;
        match &networks.generator {
            Some(generator) => {
                let out = self.out.join("generator");
                fs::create_dir_all(&out)?;
                self.write(&out, generator, &tokenizer)
            }
            None => console::print("the checkpoint holds no generator"),
        }
    }

    fn tokenizer_config(&self) -> TokenizerConfig {
        let case = if self.cased { Case::Cased } else { Case::Uncased };
        TokenizerConfig { case, ..TokenizerConfig::default() }
    }

    /// One network, after it was loaded once: what is written is whole.
    fn write(
        &self,
        out: &Path,
        pretrained: &Pretrained,
        tokenizer: &WordPiece,
    ) -> anyhow::Result<()> {
        PretrainedNetwork::new(pretrained, Device::Cpu)?;
        let encoder = &pretrained.config.encoder;
        let tokens = tokenizer.vocab().len();
        if tokens as i64 > encoder.vocab_size {
            bail!("the vocabulary has {tokens} tokens, the model {}", encoder.vocab_size);
        }
        let mut config = pretrained.config.clone();
        config.pad_token_id = tokenizer.vocab().special().pad.into();
        hf::write(out, &config, &pretrained.tensors)?;
        tokenizer.write_pretrained(out, encoder.max_positions as usize)?;
        say(&pretrained.notes)?;
        let parameters: usize = pretrained.tensors.iter().map(|(_, tensor)| tensor.numel()).sum();
        console::print(format_args!(
            "imported: {}  {:?}, {parameters} parameters, {} layers of {}, {} heads",
            out.display(),
            config.architecture,
            encoder.layers,
            encoder.hidden,
            encoder.heads
        ))
    }
}

fn say(notes: &[String]) -> anyhow::Result<()> {
    notes.iter().try_for_each(console::print)
}
