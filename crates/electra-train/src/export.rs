//! From a checkpoint to folders that `transformers` loads.

use crate::{
    Error, Recipe, Result, RunConfig, card::card, folder, objective::ReplacedToken, recipe,
    run_dir::RunDir, state,
};
use electra_files::Existing;
use electra_model::{
    Encoder,
    hf::{self, Architecture},
    tf,
};
use electra_tokenize::{Tokenizer, WordPiece};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// What is fine-tuned, with its pre-training head: `ElectraForPreTraining`.
    Discriminator,
    /// The discriminator without its head: `ElectraModel`.
    Encoder,
    /// The masked language model: `ElectraForMaskedLM`, with a config of its own.
    Generator,
}

/// Writes one network of a checkpoint in Hugging Face's format, with the run's tokenizer and a model card.
///
/// `source` is a run folder (its newest whole checkpoint is taken) or one `checkpoints/step-N`.
///
/// # Errors
/// If there is no whole checkpoint or vocabulary, or `out` is not empty or no model to replace.
pub fn export(source: &Path, network: Network, out: &Path, existing: Existing) -> Result<()> {
    let opened = Opened::read(source)?;
    let model = &opened.config.model;
    let networks = opened.network.objective.networks();
    let (name, encoder, sizes) = match network {
        Network::Discriminator | Network::Encoder => {
            ("discriminator", networks.discriminator.encoder(), model.discriminator())
        }
        Network::Generator => ("generator", networks.generator.encoder(), model.generator()),
    };
    let architecture = match network {
        Network::Discriminator => Architecture::ElectraForPreTraining,
        Network::Encoder => Architecture::ElectraModel,
        Network::Generator => Architecture::ElectraForMaskedLM,
    };
    let mut tensors = hf::state_dict(&opened.network.vs, name, encoder)?;
    if network == Network::Encoder {
        tensors.retain(|(name, _)| !hf::is_head(name));
    }
    let pad = i64::from(opened.tokenizer.vocab().special().pad);
    let config = hf::Config::new(architecture, sizes, pad);
    let card = card(&opened.run, &opened.config, &opened.checkpoint, network)?;
    folder::whole(out, existing, folder::MODEL, |dir| {
        hf::write(dir, &config, &tensors)?;
        opened.tokenizer.write_pretrained(dir, model.max_positions as usize)?;
        let path = dir.join("README.md");
        fs::write(&path, &card).map_err(Error::io(&path))
    })
}

/// Writes both networks as one TensorFlow checkpoint of the original's, with `vocab.txt`; says what the checkpoint cannot.
///
/// # Errors
/// As [`export`].
pub fn export_tf(source: &Path, out: &Path, existing: Existing) -> Result<Option<String>> {
    let opened = Opened::read(source)?;
    let networks = opened.network.objective.networks();
    let state = |name: &str, encoder: &Encoder| hf::state_dict(&opened.network.vs, name, encoder);
    let discriminator = state("discriminator", networks.discriminator.encoder())?;
    let generator = state("generator", networks.generator.encoder())?;
    let step = state::open(&opened.checkpoint)?.state.step;
    folder::whole(out, existing, folder::TENSORFLOW, |dir| -> Result<()> {
        tf::write(dir, step, &discriminator, &generator)?;
        opened.tokenizer.vocab().write_vocab_txt(&dir.join("vocab.txt"))?;
        Ok(())
    })?;
    let sizes = [opened.config.model.discriminator(), opened.config.model.generator()];
    let usual = sizes.iter().all(|size| size.heads == tf::usual_heads(size.hidden));
    Ok((!usual).then(|| {
        let [discriminator, generator] = sizes.map(|size| size.heads);
        format!(
            "a TensorFlow checkpoint has no number of attention heads, and this one's are not hidden / 64: {discriminator} and \
             {generator}; `electra import --from tf` wants --heads {discriminator} --generator-heads {generator}, the original \
             num_attention_heads in its overrides"
        )
    }))
}

/// A checkpoint with what its run folder knows of it.
struct Opened {
    run: RunDir,
    checkpoint: PathBuf,
    config: RunConfig,
    tokenizer: WordPiece,
    network: recipe::Network<ReplacedToken>,
}

impl Opened {
    fn read(source: &Path) -> Result<Self> {
        let (run, checkpoint) = locate(source)?;
        let config = RunConfig::read(&run.config(), &[])?;
        let tokenizer = WordPiece::from_pretrained_dir(&run.tokenizer())?;
        let network = Recipe::from_config(config.clone()).load_weights(&checkpoint)?;
        Ok(Self { run, checkpoint, config, tokenizer, network })
    }
}

/// The run folder and the checkpoint that `source` names.
///
/// # Errors
/// If it is neither a run folder with a whole checkpoint nor a checkpoint inside of one.
pub fn locate(source: &Path) -> Result<(RunDir, PathBuf)> {
    if source.join("state.json").is_file() {
        let absolute = source.canonicalize().map_err(Error::io(source))?;
        let run = absolute.parent().and_then(Path::parent).map(Path::to_owned);
        let run = run.ok_or_else(|| Error::checkpoint(source, "must stand in RUN/checkpoints"))?;
        return Ok((RunDir::open(&run)?, source.to_owned()));
    }
    Ok((RunDir::open(source)?, state::newest(source)?.path))
}
