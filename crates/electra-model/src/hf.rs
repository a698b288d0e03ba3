//! Hugging Face folders: `config.json` and weights, in and out.
//!
//! `transformers` 5 loads what is written here without a word about missing or unexpected weights.
//! Reading is stricter than `transformers`, which starts missing tensors at random with a warning: all
//! tensors of the encoder and of the class's head must be there, and none that belongs to nothing. Read are ELECTRA's models and, as
//! a start, BERT's, from safetensors or PyTorch files, whole or in shards.

mod config;
mod names;
mod weights;

pub use config::{Architecture, Config, HeadCount, Labels};
pub(crate) use weights::{find, read_file};

use crate::{
    encoder::Encoder,
    error::{Error, Result},
    tensors::{self, Named},
};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor, nn};

/// The key in a file's metadata that guards against another head count in `config.json`: no shape would tell.
const HEADS: &str = "num_attention_heads";

/// Size of an attention head in every published ELECTRA and BERT but the smallest.
const USUAL_HEAD_SIZE: i64 = 64;

/// A model read from a Hugging Face folder: tensors under today's names, finite, 32-bit.
#[derive(Debug)]
pub struct Pretrained {
    /// Which head it carries, and its sizes.
    pub config: Config,
    /// What was in the files and is not used, and what could not be verified: a line each.
    pub notes: Vec<String>,
    /// The file that named the weights.
    pub path: PathBuf,
    /// The weights, sorted by name; the output layer that is the word table is not among them.
    pub tensors: Named,
}

impl Pretrained {
    /// Reads `config.json` and the weights of a folder.
    ///
    /// # Errors
    /// Naming the file that is missing, not whole, or of another kind of model; [`Error::Mismatch`] listing
    /// tensors that are not finite, not floats, or the same as another.
    pub fn read(dir: &Path) -> Result<Self> {
        let described = config::read(dir)?;
        let (path, raw) = weights::read(dir)?;
        let names::Renamed { mut tensors, mut notes } =
            names::rename(&path, described.family, raw)?;
        let found = names::architecture(&tensors);
        let architecture = described.declared.unwrap_or(found);
        let mut config = described.with_head(architecture)?;
        if architecture == Architecture::ElectraModel && found != architecture {
            // What is asked for is the encoder.
            tensors.retain(|(name, _)| {
                let kept = matches!(names::head(name), None | Some(Architecture::ElectraModel));
                if !kept {
                    notes.push(format!("not used: {name} (config.json says {architecture:?})"));
                }
                kept
            });
        } else if architecture != found {
            let message = format!(
                "has the weights of {found:?}, but config.json says {architecture:?}{}",
                names::hint(&tensors).map(|hint| format!(": {hint}")).unwrap_or_default(),
            );
            return Err(Error::format(&path, message));
        }
        let heads = config.encoder.heads;
        let written = match path.extension().is_some_and(|e| e == "safetensors") {
            true => tensors::metadata(&path)?.remove(HEADS),
            false => None,
        };
        match written {
            Some(written) if written == heads.to_string() => {
                config.head_count = HeadCount::Verified;
            }
            Some(written) => {
                let message =
                    format!("was written with {HEADS} = {written}, config.json says {heads}");
                return Err(Error::format(&path, message));
            }
            None => notes.extend(doubt(&config)),
        }
        Ok(Self { config, notes, path, tensors })
    }

    /// Copies all tensors into `vs`, whose variables must be exactly the file's.
    ///
    /// # Errors
    /// [`Error::Mismatch`] listing the differences.
    pub fn load(&self, vs: &nn::VarStore) -> Result<()> {
        self.copy(&tensors::variables(vs)?, |_| false, |_| false)
    }

    /// Copies the encoder (`electra.*`) into `vs`; the file's heads are left behind and the variables that
    /// `is_new` accepts (a task's head) keep their initial values.
    ///
    /// # Errors
    /// [`Error::Mismatch`] listing the differences.
    pub fn load_encoder(&self, vs: &nn::VarStore, is_new: impl Fn(&str) -> bool) -> Result<()> {
        self.copy(&tensors::variables(vs)?, |name| names::head(name).is_some(), is_new)
    }

    /// [`Pretrained::load_encoder`] of a store without a head, where the file's head must be the whole one that its
    /// class has, and nothing else; only this project's own heads, which have no class, may be of any form.
    ///
    /// # Errors
    /// [`Error::Mismatch`] listing the differences.
    pub(crate) fn load_task(&self, vs: &nn::VarStore) -> Result<()> {
        let mut expected = tensors::variables(vs)?;
        let head = self.config.task_head().into_iter();
        expected.extend(
            head.map(|(name, shape)| (name, Tensor::zeros(shape, (Kind::Float, Device::Cpu)))),
        );
        let own = |name: &str| {
            self.config.architecture == Architecture::ElectraModel
                && names::head(name) == Some(Architecture::ElectraModel)
        };
        self.copy(&expected, own, |_| false)
    }

    /// Copies tensors into variables of the same names; `file_may_have` and `model_may_have` accept names
    /// that stand on one side alone.
    ///
    /// # Errors
    /// [`Error::Mismatch`] listing the differences.
    pub fn copy(
        &self,
        variables: &[(String, Tensor)],
        file_may_have: impl Fn(&str) -> bool,
        model_may_have: impl Fn(&str) -> bool,
    ) -> Result<()> {
        tensors::load(&self.path, &self.tensors, variables, file_may_have, model_may_have).map_err(
            |error| match (error, names::hint(&self.tensors)) {
                (Error::Mismatch { path, mut differences }, Some(hint)) => {
                    differences.insert(0, hint.to_owned());
                    Error::Mismatch { path, differences }
                }
                (error, _) => error,
            },
        )
    }
}

/// A head count of an unusual size that nothing in the file confirms.
pub(crate) fn doubt(config: &Config) -> Option<String> {
    let encoder = &config.encoder;
    (encoder.head_size() != USUAL_HEAD_SIZE).then(|| {
        format!(
            "not verified: {} attention heads of {}; nothing in the weights says so, and another count would load as well",
            encoder.heads,
            encoder.head_size()
        )
    })
}

/// Whether a tensor of that name belongs to a head and not to the encoder.
pub fn is_head(name: &str) -> bool {
    names::head(name).is_some()
}

/// Reads the class and the sizes in a folder's `config.json`; where it names no class the weights would decide, and
/// it is [`Architecture::ElectraModel`] here.
///
/// # Errors
/// Naming the file and the field.
pub fn read_config(dir: &Path) -> Result<Config> {
    let described = config::read(dir)?;
    let architecture = described.declared.unwrap_or(Architecture::ElectraModel);
    described.with_head(architecture)
}

/// Writes `config.json` and `model.safetensors` into `dir`, which must exist. The weights confirm a head count that is
/// [`HeadCount::Verified`].
///
/// # Errors
/// Naming the file that could not be written.
pub fn write(dir: &Path, config: &Config, tensors: &[(String, Tensor)]) -> Result<()> {
    config::write(dir, config)?;
    let heads = match config.head_count {
        HeadCount::Verified => Some((HEADS, config.encoder.heads.to_string())),
        HeadCount::Claimed => None,
    };
    tensors::write_with(&dir.join("model.safetensors"), tensors, heads.as_slice())
}

/// The tensors of one network of a store under their Hugging Face names: variables below
/// `network.`, with the effective embeddings (shared or composed ones too) in their place.
///
/// # Errors
/// If the store has a variable twice.
pub fn state_dict(vs: &nn::VarStore, network: &str, encoder: &Encoder) -> Result<Named> {
    const EMBEDDINGS: &str = "electra.embeddings.";
    let prefix = format!("{network}.");
    let mut tensors: Named = tensors::variables(vs)?
        .into_iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?.to_owned(), tensor)))
        .filter(|(name, _)| !name.starts_with(EMBEDDINGS))
        .collect();
    let embeddings = encoder.embeddings().named_tensors();
    tensors.extend(embeddings.into_iter().map(|(name, t)| (format!("{EMBEDDINGS}{name}"), t)));
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tensors)
}
