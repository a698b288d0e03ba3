//! Hugging Face folders: `config.json` and `model.safetensors`, in and out.
//!
//! `transformers` 5 loads what is written here without a word about missing or unexpected weights.
//! Reading is stricter than `transformers`, which starts missing tensors at random with a warning.

use crate::{
    Encoder, EncoderConfig, Error, Result,
    config::Initializer,
    networks,
    tensors::{self, Named},
};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path, path::PathBuf};
use tch::nn;

/// Which class of `transformers` a folder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Architecture {
    /// The discriminator with its head.
    ElectraForPreTraining,
    /// The generator with its head.
    ElectraForMaskedLM,
    /// An encoder with a task head of this project's, which `transformers` has no class for.
    ElectraModel,
}

/// `config.json`, in the fields that size an ELECTRA. Unknown fields are kept out of the way.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Config {
    architectures: Vec<Architecture>,
    attention_probs_dropout_prob: f64,
    dtype: String,
    embedding_size: i64,
    hidden_act: String,
    hidden_dropout_prob: f64,
    hidden_size: i64,
    initializer_range: f64,
    intermediate_size: i64,
    layer_norm_eps: f64,
    max_position_embeddings: i64,
    model_type: String,
    num_attention_heads: i64,
    num_hidden_layers: i64,
    pad_token_id: i64,
    tie_word_embeddings: bool,
    type_vocab_size: i64,
    vocab_size: i64,
}

/// A model read from a Hugging Face folder.
#[derive(Debug)]
pub struct Pretrained {
    /// Which head it carries.
    pub architecture: Architecture,
    /// Its sizes.
    pub config: EncoderConfig,
    weights: PathBuf,
    tensors: Named,
}

/// Name prefixes of the pre-training heads, which fine-tuning leaves behind.
const PRETRAINING_HEADS: [&str; 3] =
    ["discriminator_predictions.", "generator_predictions.", "generator_lm_head."];

impl Pretrained {
    /// Reads `config.json` and `model.safetensors` of a folder.
    ///
    /// # Errors
    /// Naming the file that is missing, not whole, or of another kind of model.
    pub fn read(dir: &Path) -> Result<Self> {
        let (architecture, config) = read_config(dir)?;
        let weights = dir.join("model.safetensors");
        let tensors = tensors::read(&weights)?;
        Ok(Self { architecture, config, weights, tensors })
    }

    /// Copies all tensors into `vs`, whose variables must be exactly the file's.
    ///
    /// # Errors
    /// [`Error::Mismatch`] listing the differences.
    pub fn load(&self, vs: &nn::VarStore) -> Result<()> {
        let model = networks::variables(vs)?;
        tensors::load(&self.weights, &self.tensors, &model, |_| false, |_| false)
    }

    /// Copies the encoder (`electra.*`) into `vs`; the file's pre-training heads are left behind
    /// and the variables that `is_new` accepts (a task's head) keep their initial values.
    ///
    /// # Errors
    /// [`Error::Mismatch`] listing the differences.
    pub fn load_encoder(&self, vs: &nn::VarStore, is_new: impl Fn(&str) -> bool) -> Result<()> {
        let model = networks::variables(vs)?;
        let left_behind = |name: &str| PRETRAINING_HEADS.iter().any(|head| name.starts_with(head));
        tensors::load(&self.weights, &self.tensors, &model, left_behind, is_new)
    }
}

/// Reads the sizes in a folder's `config.json`.
///
/// # Errors
/// Naming the file and the field.
pub fn read_config(dir: &Path) -> Result<(Architecture, EncoderConfig)> {
    let path = dir.join("config.json");
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let file: Config = serde_json::from_str(&text).map_err(|e| Error::format(&path, e))?;
    let expect = |field: &str, found: &str, wanted: &str| {
        if found == wanted {
            return Ok(());
        }
        Err(Error::format(&path, format!("{field} is {found:?}; this project reads {wanted:?}")))
    };
    expect("model_type", &file.model_type, "electra")?;
    expect("hidden_act", &file.hidden_act, "gelu")?;
    let Some(&architecture) = file.architectures.first() else {
        return Err(Error::format(&path, "architectures is empty: it must name the model's class"));
    };
    let config = EncoderConfig {
        vocab_size: file.vocab_size,
        embedding_size: file.embedding_size,
        max_positions: file.max_position_embeddings,
        segments: file.type_vocab_size,
        dropout: file.hidden_dropout_prob,
        attention_dropout: file.attention_probs_dropout_prob,
        layer_norm_eps: file.layer_norm_eps,
        layers: file.num_hidden_layers,
        hidden: file.hidden_size,
        heads: file.num_attention_heads,
        intermediate: file.intermediate_size,
        initializer: Initializer { std: file.initializer_range, ..Initializer::reference() },
    };
    config.validate("")?;
    Ok((architecture, config))
}

/// Writes `config.json` and `model.safetensors` into `dir`, which must exist.
///
/// # Errors
/// Naming the file that could not be written.
pub fn write(
    dir: &Path,
    architecture: Architecture,
    config: &EncoderConfig,
    pad_token_id: i64,
    tensors: &[(String, tch::Tensor)],
) -> Result<()> {
    let file = Config {
        architectures: vec![architecture],
        attention_probs_dropout_prob: config.attention_dropout,
        dtype: "float32".to_owned(),
        embedding_size: config.embedding_size,
        hidden_act: "gelu".to_owned(),
        hidden_dropout_prob: config.dropout,
        hidden_size: config.hidden,
        initializer_range: config.initializer.std,
        intermediate_size: config.intermediate,
        layer_norm_eps: config.layer_norm_eps,
        max_position_embeddings: config.max_positions,
        model_type: "electra".to_owned(),
        num_attention_heads: config.heads,
        num_hidden_layers: config.layers,
        pad_token_id,
        tie_word_embeddings: true,
        type_vocab_size: config.segments,
        vocab_size: config.vocab_size,
    };
    let path = dir.join("config.json");
    let json = serde_json::to_string_pretty(&file).map_err(|e| Error::format(&path, e))?;
    fs::write(&path, json + "\n").map_err(Error::io(&path))?;
    tensors::write(&dir.join("model.safetensors"), tensors)
}

/// The tensors of one network of a store under their Hugging Face names: variables below
/// `network.`, with the effective embeddings (shared or composed ones too) in their place.
///
/// # Errors
/// If the store has a variable twice.
pub fn state_dict(vs: &nn::VarStore, network: &str, encoder: &Encoder) -> Result<Named> {
    const EMBEDDINGS: &str = "electra.embeddings.";
    let prefix = format!("{network}.");
    let mut tensors: Named = networks::variables(vs)?
        .into_iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?.to_owned(), tensor)))
        .filter(|(name, _)| !name.starts_with(EMBEDDINGS))
        .collect();
    let embeddings = encoder.embeddings().named_tensors();
    tensors.extend(embeddings.into_iter().map(|(name, t)| (format!("{EMBEDDINGS}{name}"), t)));
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tensors)
}
