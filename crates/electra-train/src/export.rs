//! Exports checkpoints to folders for `transformers` and to TensorFlow checkpoints.

use crate::{
    card::card,
    config::RunConfig,
    error::{Error, Result},
    objective::TrainedNetwork,
    recipe::{BuiltObjective, Recipe},
    run_dir::RunDir,
    state,
};
use electra_files::{Existing, folder};
use electra_model::{
    HeadKind,
    hf::{self, Architecture},
    tf,
};
use electra_tokenize::{Tokenizer, WordPiece};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Which network to export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum ExportPart {
    /// The network for fine-tuning with its pre-training head, whichever that is.
    #[cfg_attr(feature = "clap", value(skip))]
    Default,
    /// The discriminator with its pre-training head: `ElectraForPreTraining`.
    Discriminator,
    /// The encoder for fine-tuning, without a head: `ElectraModel`.
    Encoder,
    /// The masked language model: `ElectraForMaskedLM`.
    Generator,
}

impl ExportPart {
    /// Selects the network; the first of `networks` is the one to fine-tune.
    fn of<'a>(self, networks: &[TrainedNetwork<'a>]) -> Option<TrainedNetwork<'a>> {
        let head = |head| networks.iter().find(|network| network.head == head).copied();
        match self {
            Self::Default | Self::Encoder => networks.first().copied(),
            Self::Discriminator => head(HeadKind::ReplacedToken),
            Self::Generator => networks
                .iter()
                .find(|network| network.role == "generator")
                .copied()
                .or_else(|| head(HeadKind::MaskedLm)),
        }
    }
}

/// Writes one network of a checkpoint in Hugging Face's format, with the run's tokenizer and a model card.
///
/// `source` is a run folder (its newest intact checkpoint is exported) or a folder `checkpoints/step-N`. For a run with
/// custom parts or a custom objective, use [`Recipe::export`].
///
/// # Errors
/// If there is no intact checkpoint, no vocabulary or no such network, or if `out` is not empty and not a model to replace.
pub fn export(source: &Path, exported: ExportPart, out: &Path, existing: Existing) -> Result<()> {
    recipe(source)?.export(source, exported, out, existing)
}

/// Writes both networks as a TensorFlow checkpoint of the reference, with `vocab.txt` and the record of its settings, which
/// the reference does not read. Returns a note if the head counts, which the checkpoint does not record, differ from the
/// reference's rule.
///
/// For a run with custom parts or a custom objective, use [`Recipe::export_tf`].
///
/// # Errors
/// As [`export`], and if the networks are not a generator and a discriminator with ELECTRA's parts.
pub fn export_tf(source: &Path, out: &Path, existing: Existing) -> Result<Option<String>> {
    recipe(source)?.export_tf(source, out, existing)
}

impl Recipe {
    /// [`export_tf`] for a run of this recipe.
    ///
    /// # Errors
    /// As [`export_tf`].
    pub fn export_tf(
        &self,
        source: &Path,
        out: &Path,
        existing: Existing,
    ) -> Result<Option<String>> {
        let loaded = LoadedCheckpoint::read(self, source)?;
        let networks = loaded.built.objective.networks();
        let both =
            [ExportPart::Discriminator, ExportPart::Generator].map(|part| part.of(&networks));
        let [Some(discriminator), Some(generator)] = both else {
            let message = "a TensorFlow checkpoint requires a discriminator and a generator";
            return Err(Error::checkpoint(source, message));
        };
        let configs = [discriminator, generator].map(|network| network.encoder.config());
        if let Some(other) = configs.iter().find(|config| !config.is_electra()) {
            let parts = other.part_names().join(", ");
            let message = format!("a TensorFlow checkpoint requires ELECTRA's parts, not {parts}");
            return Err(Error::checkpoint(source, message));
        }
        let state = |network: TrainedNetwork<'_>| {
            hf::state_dict(&loaded.built.vs, network.role, network.encoder)
        };
        let (first, second) = (state(discriminator)?, state(generator)?);
        let step = state::open(&loaded.checkpoint)?.state.step;
        folder::whole(out, existing, tf::CHECKPOINT_FILE, |dir| -> Result<()> {
            tf::write(dir, step, &first, &second)?;
            Ok(loaded.tokenizer.write_vocab(&dir.join("vocab.txt"))?)
        })?;
        if !loaded.tokenizer.vocab().added().is_empty() {
            tracing::warn!(
                "the reference has no added tokens: vocab.txt lacks those of tokenizer_config.json, and their embeddings are the last"
            );
        }
        let usual = configs.iter().all(|config| config.heads == tf::default_heads(config.hidden));
        Ok((!usual).then(|| {
        let [discriminator, generator] = configs.map(|config| config.heads);
        format!(
            "a TensorFlow checkpoint does not record the number of attention heads, and this model's differ from hidden / 64: \
             pass --heads {discriminator} --generator-heads {generator} to `electra import --from tf`, or set \
             num_attention_heads in model_hparam_overrides of the reference"
        )
    }))
    }

    /// [`export`] for a run of this recipe, with its parts and its objective.
    ///
    /// # Errors
    /// As [`export`].
    pub fn export(
        &self,
        source: &Path,
        exported: ExportPart,
        out: &Path,
        existing: Existing,
    ) -> Result<()> {
        let loaded = LoadedCheckpoint::read(self, source)?;
        let objective = &loaded.built.objective;
        let networks = objective.networks();
        let network = exported.of(&networks).ok_or_else(|| {
            let has: Vec<_> =
                networks.iter().map(|n| format!("{} ({:?})", n.role, n.head)).collect();
            let (name, has) = (objective.name(), has.join(", "));
            let message = format!(
                "the objective {name} has no {exported:?}, only {has}: choose another --part"
            );
            Error::checkpoint(source, message)
        })?;
        let mut tensors = hf::state_dict(&loaded.built.vs, network.role, network.encoder)?;
        let architecture = match exported {
            ExportPart::Encoder => {
                tensors.retain(|(name, _)| !hf::is_head(name));
                Architecture::ElectraModel
            }
            _ => Architecture::of_head(network.head),
        };
        let pad = i64::from(loaded.tokenizer.vocab().special().pad);
        let sizes = network.encoder.config();
        let config = hf::Config::new(architecture, sizes.clone(), pad);
        let card = card(&loaded.run, self, &loaded.checkpoint, &**objective, &network, &config)?;
        folder::whole(out, existing, hf::CONFIG_FILE, |dir| {
            hf::write(dir, &config, &tensors)?;
            loaded.tokenizer.write_pretrained(dir, sizes.max_positions as usize)?;
            let path = dir.join("README.md");
            fs::write(&path, &card).map_err(Error::io(&path))
        })
    }
}

/// The recipe of a run's config.
fn recipe(source: &Path) -> Result<Recipe> {
    let (run, _) = locate(source)?;
    Ok(Recipe::from_config(RunConfig::read(&run.config(), &[])?))
}

/// A checkpoint with its run folder, tokenizer and loaded networks.
struct LoadedCheckpoint {
    run: RunDir,
    checkpoint: PathBuf,
    tokenizer: WordPiece,
    built: BuiltObjective,
}

impl LoadedCheckpoint {
    fn read(recipe: &Recipe, source: &Path) -> Result<Self> {
        let (run, checkpoint) = locate(source)?;
        let tokenizer = WordPiece::from_pretrained_dir(&run.tokenizer())?;
        let built = recipe.load_weights(&checkpoint)?;
        Ok(Self { run, checkpoint, tokenizer, built })
    }
}

/// The run folder and the checkpoint at `source`, a run folder or a checkpoint.
///
/// # Errors
/// If it is neither a run folder with an intact checkpoint nor a checkpoint in a run folder.
pub fn locate(source: &Path) -> Result<(RunDir, PathBuf)> {
    if source.join("state.json").is_file() {
        let absolute = source.canonicalize().map_err(Error::io(source))?;
        let run = absolute.parent().and_then(Path::parent).map(Path::to_owned);
        let run = run.ok_or_else(|| Error::checkpoint(source, "must be in RUN/checkpoints"))?;
        return Ok((RunDir::open(&run)?, source.to_owned()));
    }
    Ok((RunDir::open(source)?, state::newest(source)?.path))
}
