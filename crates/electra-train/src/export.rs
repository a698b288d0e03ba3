//! From a checkpoint to folders that `transformers` loads.

use crate::{
    Error, Recipe, Result, RunConfig,
    objective::ReplacedToken,
    run_dir::{Existing, RunDir},
    state,
};
use electra_model::hf::{self, Architecture};
use electra_tokenize::WordPiece;
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

/// Writes one network of a checkpoint, with the run's tokenizer, in Hugging Face's format.
///
/// `source` is a run folder (its newest whole checkpoint is taken) or one `checkpoints/step-N`.
///
/// # Errors
/// If there is no whole checkpoint or vocabulary, or `out` is not empty.
pub fn export(source: &Path, network: Network, out: &Path, existing: Existing) -> Result<()> {
    let (run, checkpoint) = locate(source)?;
    let config = RunConfig::read(&run.config(), &[])?;
    let tokenizer = WordPiece::from_pretrained_dir(&run.tokenizer())?;
    let recipe = Recipe::<ReplacedToken>::from_config(config.clone());
    let loaded = recipe.load_weights(&checkpoint)?;
    let networks = loaded.objective.networks();
    let (name, architecture, encoder, encoder_config) = match network {
        Network::Discriminator | Network::Encoder => (
            "discriminator",
            match network {
                Network::Encoder => Architecture::ElectraModel,
                _ => Architecture::ElectraForPreTraining,
            },
            networks.discriminator.encoder(),
            config.model.discriminator(),
        ),
        Network::Generator => (
            "generator",
            Architecture::ElectraForMaskedLM,
            networks.generator.encoder(),
            config.model.generator(),
        ),
    };
    let occupied = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    if occupied && existing == Existing::Refuse {
        return Err(Error::NotEmpty(out.to_owned()));
    }
    fs::create_dir_all(out).map_err(Error::io(out))?;
    let mut tensors = hf::state_dict(&loaded.vs, name, encoder)?;
    if architecture == Architecture::ElectraModel {
        tensors.retain(|(name, _)| name.starts_with("electra."));
    }
    let pad = i64::from(electra_tokenize::Tokenizer::vocab(&tokenizer).special().pad);
    hf::write(out, architecture, &encoder_config, pad, &tensors)?;
    tokenizer.write_pretrained(out, config.model.max_positions as usize)?;
    Ok(())
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
