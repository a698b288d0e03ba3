//! From a checkpoint to folders that `transformers` loads.

use crate::{
    card::card,
    config::RunConfig,
    error::{Error, Result},
    folder,
    objective::TrainedNetwork,
    recipe::{Built, Recipe},
    run_dir::RunDir,
    state,
};
use electra_files::Existing;
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

/// What is exported of an objective's networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Exported {
    /// What is fine-tuned, with its pre-training head: `ElectraForPreTraining`.
    Discriminator,
    /// What is fine-tuned, without its head: `ElectraModel`.
    Encoder,
    /// The masked language model: `ElectraForMaskedLM`.
    Generator,
}

impl Exported {
    /// The network among those of an objective, the one that is fine-tuned first.
    fn of<'a>(self, networks: &[TrainedNetwork<'a>]) -> Option<TrainedNetwork<'a>> {
        let head = |head| networks.iter().find(|network| network.head == head).copied();
        match self {
            Self::Encoder => networks.first().copied(),
            Self::Discriminator => head(HeadKind::ReplacedToken),
            Self::Generator => head(HeadKind::MaskedLm),
        }
    }
}

/// Writes one network of a checkpoint in Hugging Face's format, with the run's tokenizer and a model card.
///
/// `source` is a run folder (its newest whole checkpoint is taken) or one `checkpoints/step-N`. A run with parts or an
/// objective from outside is exported by its own recipe: [`Recipe::export`].
///
/// # Errors
/// If there is no whole checkpoint or vocabulary, no such network, or `out` is not empty or no model to replace.
pub fn export(source: &Path, exported: Exported, out: &Path, existing: Existing) -> Result<()> {
    recipe(source)?.export(source, exported, out, existing)
}

/// Writes both networks as one TensorFlow checkpoint of the original's, with `vocab.txt`; says what the checkpoint cannot.
///
/// # Errors
/// As [`export`], and if the networks are not a generator and a discriminator of ELECTRA's parts.
pub fn export_tf(source: &Path, out: &Path, existing: Existing) -> Result<Option<String>> {
    let opened = Opened::read(&recipe(source)?, source)?;
    let networks = opened.built.objective.networks();
    let both = [Exported::Discriminator, Exported::Generator].map(|part| part.of(&networks));
    let [Some(discriminator), Some(generator)] = both else {
        return Err(Error::checkpoint(
            source,
            "a TensorFlow checkpoint has two networks, this one has not",
        ));
    };
    let configs = [discriminator, generator].map(|network| network.encoder.config());
    if let Some(other) = configs.iter().find(|config| !config.is_electra()) {
        let parts = other.part_names().join(", ");
        let message = format!(
            "a TensorFlow checkpoint cannot name its parts, and has ELECTRA's; these are {parts}"
        );
        return Err(Error::checkpoint(source, message));
    }
    let state = |network: TrainedNetwork<'_>| {
        hf::state_dict(&opened.built.vs, network.role, network.encoder)
    };
    let (first, second) = (state(discriminator)?, state(generator)?);
    let step = state::open(&opened.checkpoint)?.state.step;
    folder::whole(out, existing, folder::TENSORFLOW, |dir| -> Result<()> {
        tf::write(dir, step, &first, &second)?;
        opened.tokenizer.vocab().write_vocab_txt(&dir.join("vocab.txt"))?;
        Ok(())
    })?;
    let usual = configs.iter().all(|config| config.heads == tf::default_heads(config.hidden));
    Ok((!usual).then(|| {
        let [discriminator, generator] = configs.map(|config| config.heads);
        format!(
            "a TensorFlow checkpoint has no number of attention heads, and this one's are not hidden / 64: {discriminator} and \
             {generator}; `electra import --from tf` wants --heads {discriminator} --generator-heads {generator}, the original \
             num_attention_heads in its overrides"
        )
    }))
}

impl Recipe {
    /// [`export`] of a run of this recipe, with its parts and its objective.
    ///
    /// # Errors
    /// As [`export`].
    pub fn export(
        &self,
        source: &Path,
        exported: Exported,
        out: &Path,
        existing: Existing,
    ) -> Result<()> {
        let opened = Opened::read(self, source)?;
        let objective = &opened.built.objective;
        let networks = objective.networks();
        let network = exported.of(&networks).ok_or_else(|| {
            let has: Vec<_> =
                networks.iter().map(|n| format!("{} ({:?})", n.role, n.head)).collect();
            let (name, has) = (objective.name(), has.join(", "));
            Error::checkpoint(
                source,
                format!(
                    "the objective {name} has no {exported:?}; it has {has}: name another --part"
                ),
            )
        })?;
        let mut tensors = hf::state_dict(&opened.built.vs, network.role, network.encoder)?;
        let architecture = match exported {
            Exported::Encoder => {
                tensors.retain(|(name, _)| !hf::is_head(name));
                Architecture::ElectraModel
            }
            _ => Architecture::of_head(network.head),
        };
        let pad = i64::from(opened.tokenizer.vocab().special().pad);
        let sizes = network.encoder.config();
        let config = hf::Config::new(architecture, sizes.clone(), pad);
        let card = card(&opened.run, self, &opened.checkpoint, &networks, &config)?;
        folder::whole(out, existing, folder::MODEL, |dir| {
            hf::write(dir, &config, &tensors)?;
            opened.tokenizer.write_pretrained(dir, sizes.max_positions as usize)?;
            let path = dir.join("README.md");
            fs::write(&path, &card).map_err(Error::io(&path))
        })
    }
}

/// The recipe that a run's config names.
fn recipe(source: &Path) -> Result<Recipe> {
    let (run, _) = locate(source)?;
    Ok(Recipe::from_config(RunConfig::read(&run.config(), &[])?))
}

/// A checkpoint with what its run folder knows of it.
struct Opened {
    run: RunDir,
    checkpoint: PathBuf,
    tokenizer: WordPiece,
    built: Built,
}

impl Opened {
    fn read(recipe: &Recipe, source: &Path) -> Result<Self> {
        let (run, checkpoint) = locate(source)?;
        let tokenizer = WordPiece::from_pretrained_dir(&run.tokenizer())?;
        let built = recipe.load_weights(&checkpoint)?;
        Ok(Self { run, checkpoint, tokenizer, built })
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
