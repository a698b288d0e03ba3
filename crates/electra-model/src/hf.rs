//! Reads and writes Hugging Face folders: `config.json` and weights.
//!
//! `transformers` 5 loads the folders written here without warnings about missing or unexpected weights. Reading is
//! stricter than `transformers`, which initializes missing tensors at random with a warning: all tensors of the encoder and
//! of the class's head are required, and no others are allowed. Supported are ELECTRA models and, for initialization, BERT
//! models, in safetensors or PyTorch files, sharded or not.

mod config;
mod names;
mod weights;

pub use config::{Architecture, CONFIG_FILE, Config, HeadCount, Labels};
pub(crate) use weights::{find, no_weights, read_file};

use crate::{
    encoder::Encoder,
    error::{Error, Result},
    tensors::{self, Named},
};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor, nn};

/// The metadata key that detects a wrong head count in `config.json`, which no tensor shape reveals.
const HEADS: &str = "num_attention_heads";

/// Size of an attention head in all published ELECTRA and BERT models except the smallest.
const USUAL_HEAD_SIZE: i64 = 64;

/// A model read from a Hugging Face folder. Tensors are finite, float32 and have the names of current `transformers`.
#[derive(Debug)]
pub struct Pretrained {
    /// Class, sizes and labels.
    pub config: Config,
    /// Unused tensors and conversions, one line each.
    pub notes: Vec<String>,
    /// The weights file, or the index of its shards.
    pub path: PathBuf,
    /// The weights, sorted by name, without a tied output layer's copy of the word embeddings.
    pub tensors: Named,
}

impl Pretrained {
    /// Reads `config.json` and the weights of a folder.
    ///
    /// # Errors
    /// Naming the file that is missing, damaged, or of an unsupported model; [`Error::Mismatch`] listing
    /// tensors that are not finite, not floats, or duplicates.
    pub fn read(dir: &Path) -> Result<Self> {
        let parsed = config::read(dir)?;
        let (path, raw) = weights::read(dir)?;
        let names::Renamed { mut tensors, mut notes } = names::rename(&path, parsed.family, raw)?;
        let found = names::architecture(&tensors);
        let architecture = parsed.declared.unwrap_or(found);
        let mut config = parsed.with_head(architecture)?;
        if architecture == Architecture::ElectraModel && found != architecture {
            // config.json declares the encoder only.
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
                    format!("was written with {HEADS} = {written}, but config.json says {heads}");
                return Err(Error::format(&path, message));
            }
            None => {}
        }
        Ok(Self { config, notes, path, tensors })
    }

    /// Copies all tensors into `vs`, whose variables must match the file exactly.
    ///
    /// # Errors
    /// [`Error::Mismatch`] listing the differences.
    pub fn load(&self, vs: &nn::VarStore) -> Result<()> {
        self.copy(&tensors::variables(vs)?, |_| false, |_| false)
    }

    /// Copies the encoder (`electra.*`) into `vs`. The file's heads are skipped, and the variables that
    /// `is_new` accepts (a task's head) keep their initial values.
    ///
    /// # Errors
    /// [`Error::Mismatch`] listing the differences.
    pub fn load_encoder(&self, vs: &nn::VarStore, is_new: impl Fn(&str) -> bool) -> Result<()> {
        self.copy(&tensors::variables(vs)?, |name| names::head(name).is_some(), is_new)
    }

    /// [`Pretrained::load_encoder`] into a store without a head. The file must have exactly the head of its class; only
    /// this project's own heads, which have no class, may have any shape.
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
    /// that are on one side only.
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

impl Config {
    /// A note if only `config.json`, or a rule, has the head count, and the head size is unusual.
    pub fn head_count_note(&self) -> Option<String> {
        let encoder = &self.encoder;
        let is_doubtful =
            self.head_count == HeadCount::Unverified && encoder.head_size() != USUAL_HEAD_SIZE;
        is_doubtful.then(|| {
            format!(
                "not verified: {} attention heads of size {}; the weights do not record the count, and a wrong one would load too",
                encoder.heads,
                encoder.head_size()
            )
        })
    }
}

/// Whether a tensor belongs to a head, not to the encoder.
pub fn is_head(name: &str) -> bool {
    names::head(name).is_some()
}

/// Reads class and sizes from a folder's `config.json`. Without `architectures`, the class is
/// [`Architecture::ElectraModel`], since the weights are not read.
///
/// # Errors
/// Naming the file and the field.
pub fn read_config(dir: &Path) -> Result<Config> {
    let parsed = config::read(dir)?;
    let architecture = parsed.declared.unwrap_or(Architecture::ElectraModel);
    parsed.with_head(architecture)
}

/// Writes `config.json` and `model.safetensors` into `dir`, which must exist. The weights' metadata records a head count
/// that is [`HeadCount::Verified`].
///
/// # Errors
/// Naming the file that could not be written.
pub fn write(dir: &Path, config: &Config, tensors: &[(String, Tensor)]) -> Result<()> {
    config::write(dir, config)?;
    let heads = match config.head_count {
        HeadCount::Verified => Some((HEADS, config.encoder.heads.to_string())),
        HeadCount::Unverified => None,
    };
    tensors::write_with(&dir.join("model.safetensors"), tensors, heads.as_slice())
}

/// The tensors of one network with their Hugging Face names: the variables of its encoder, those of its head below
/// `network.`, and the effective embeddings. Encoder and embeddings may be shared with another network.
///
/// # Errors
/// If the store has a duplicate variable.
pub fn state_dict(vs: &nn::VarStore, network: &str, encoder: &Encoder) -> Result<Named> {
    const EMBEDDINGS: &str = "electra.embeddings.";
    let (own, electra) = (format!("{network}."), format!("{}.", encoder.variables()));
    let mut tensors: Named = tensors::variables(vs)?
        .into_iter()
        .filter_map(|(name, tensor)| {
            let name = match name.strip_prefix(&electra) {
                Some(name) => format!("electra.{name}"),
                None => {
                    name.strip_prefix(&own).filter(|name| !name.starts_with("electra."))?.to_owned()
                }
            };
            Some((name, tensor))
        })
        .filter(|(name, _)| !name.starts_with(EMBEDDINGS))
        .collect();
    let embeddings = encoder.embeddings().named_tensors();
    tensors.extend(embeddings.into_iter().map(|(name, t)| (format!("{EMBEDDINGS}{name}"), t)));
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tensors)
}
