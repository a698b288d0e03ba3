//! Reads and writes the reference's TensorFlow checkpoints: names and layouts.
//!
//! One checkpoint has both networks. Kernels are transposed; optimizer slots and counters are skipped; sizes come from the
//! tensors, and head counts from the reference's rule (`hidden / 64`).
//!
//! Source: reference `model/modeling.py` and `run_pretraining.py` (scopes); transformers 4's
//! `load_tf_weights_in_electra` (names).

use crate::{
    config::{EncoderConfig, EncoderSizes},
    error::{Error, Result},
    formats::bundle::{self, Bundle},
    hf::{Architecture, Config, HeadCount, Pretrained},
    tensors::Named,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};
use tch::{Kind, Tensor};

/// Size of an attention head in all of the reference's models.
const HEAD_SIZE: i64 = 64;

/// The file that identifies a folder with a checkpoint, and names the newest one.
pub const CHECKPOINT_FILE: &str = "checkpoint";

/// Name prefix of embeddings.
const EMBEDDINGS: &str = "electra.embeddings.";

/// The networks of a checkpoint, in the form of Hugging Face folders.
#[derive(Debug)]
pub struct Networks {
    /// The discriminator; with the BERT objective, the encoder of the masked language model.
    pub discriminator: Pretrained,
    /// The generator; `None` for a checkpoint without one.
    pub generator: Option<Pretrained>,
}

/// Head counts, which the tensors do not determine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heads {
    /// Attention heads of the discriminator; hidden / 64 if `None`.
    pub discriminator: Option<i64>,
    /// Attention heads of the generator; hidden / 64, at least 1, if `None`.
    pub generator: Option<i64>,
}

/// Reads a checkpoint, given its prefix (`model.ckpt-1000000`), one of its files, or a folder with a `checkpoint` file
/// or a single checkpoint.
///
/// # Errors
/// Naming the file that is missing or damaged; [`Error::Mismatch`] listing missing variables, or those of an unsupported
/// model (two-tower generators).
pub fn read(source: &Path, heads: Heads) -> Result<Networks> {
    let prefix = prefix(source)?;
    let bundle = Bundle::open(&prefix)?;
    let names: Vec<&str> = bundle.shapes().map(|(name, _)| name).collect();
    let mut sorted: BTreeMap<Scope, Vec<(String, &str)>> = BTreeMap::new();
    let mut unknown = Vec::new();
    let mut skipped = BTreeMap::<&'static str, usize>::new();
    for name in names {
        match variable(name) {
            Variable::Weight(scope, new) => sorted.entry(scope).or_default().push((new, name)),
            Variable::Skipped(what) => *skipped.entry(what).or_default() += 1,
            Variable::Unknown => unknown.push(format!("unknown variable: {name}")),
        }
    }
    if !unknown.is_empty() {
        return Err(Error::Mismatch { path: prefix, differences: unknown });
    }
    let fetch = |scope: Scope| -> Result<Named> {
        let members = sorted.get(&scope).into_iter().flatten();
        members.map(|(new, name)| Ok((new.clone(), weight(&bundle, name)?))).collect()
    };
    let notes: Vec<String> = skipped
        .iter()
        .map(|(what, count)| format!("not used: {count} variables ({what})"))
        .collect();

    let electra = fetch(Scope::Electra)?;
    let generator_head = fetch(Scope::GeneratorHead)?;
    let mut generator = fetch(Scope::Generator)?;
    if !generator_head.is_empty() {
        // The generator shares the tensors that it does not have: the embeddings, or all.
        let own: BTreeSet<_> = generator.iter().map(|(name, _)| name.clone()).collect();
        let whole = own.iter().any(|name| name.starts_with("electra.encoder."));
        let shared = electra
            .iter()
            .filter(|(name, _)| !own.contains(name) && (!whole || name.starts_with(EMBEDDINGS)));
        generator.extend(shared.map(|(name, t)| (name.clone(), t.shallow_clone())));
        generator.extend(generator_head);
    }
    let generator = match generator.is_empty() {
        true => None,
        false => {
            Some(network(&prefix, Architecture::ElectraForMaskedLM, generator, heads.generator)?)
        }
    };
    let mut discriminator = electra;
    discriminator.extend(fetch(Scope::DiscriminatorHead)?);
    let architecture =
        match discriminator.iter().any(|(name, _)| name.starts_with("discriminator_")) {
            true => Architecture::ElectraForPreTraining,
            false => Architecture::ElectraModel,
        };
    let mut discriminator = network(&prefix, architecture, discriminator, heads.discriminator)?;
    discriminator.notes.extend(notes);
    Ok(Networks { discriminator, generator })
}

/// The head count of the reference for a hidden size; its checkpoints do not record it.
pub fn default_heads(hidden: i64) -> i64 {
    (hidden / HEAD_SIZE).max(1)
}

/// Writes both networks (Hugging Face's names) as one checkpoint `model.ckpt-STEP`, with a `checkpoint` file. Equal
/// embeddings are written once.
///
/// # Errors
/// If a file cannot be written, or a variable has no name in the reference.
pub fn write(
    dir: &Path,
    step: u64,
    discriminator: &[(String, Tensor)],
    generator: &[(String, Tensor)],
) -> Result<()> {
    // Embeddings are shared only if all of their tensors are equal.
    let embeddings = |name: &str| name.starts_with(EMBEDDINGS);
    let shared = generator.iter().filter(|(name, _)| embeddings(name)).all(|(name, tensor)| {
        discriminator.iter().any(|(other, t)| other == name && t.equal(tensor))
    });
    let mut tensors = Named::new();
    let mut unknown = Vec::new();
    let networks = [("", discriminator), ("generator", generator)];
    for (network, members) in networks {
        for (name, tensor) in members {
            if network == "generator" && shared && embeddings(name) {
                continue;
            }
            match original_name(network, name) {
                Some(new) if new.ends_with("/kernel") => {
                    tensors.push((new, tensor.detach().transpose(0, 1).contiguous()));
                }
                Some(new) => tensors.push((new, tensor.detach().shallow_clone())),
                None => unknown.push(format!("no TensorFlow name for {network}.{name}")),
            }
        }
    }
    let name = format!("model.ckpt-{step}");
    let prefix = dir.join(&name);
    if !unknown.is_empty() {
        return Err(Error::Mismatch { path: prefix, differences: unknown });
    }
    tensors.push(("global_step".to_owned(), Tensor::from(step as i64)));
    bundle::write(&prefix, &tensors)?;
    let path = dir.join(CHECKPOINT_FILE);
    let text =
        format!("model_checkpoint_path: \"{name}\"\nall_model_checkpoint_paths: \"{name}\"\n");
    fs::write(&path, text).map_err(Error::io(&path))
}

/// The prefix of the checkpoint at a path.
pub(crate) fn prefix(source: &Path) -> Result<PathBuf> {
    if !source.is_dir() {
        let name = source.file_name().unwrap_or_default().to_string_lossy();
        let stem = name
            .strip_suffix(".index")
            .or_else(|| name.rsplit_once(".data-").map(|(stem, _)| stem));
        return Ok(stem.map_or_else(|| source.to_owned(), |stem| source.with_file_name(stem)));
    }
    let list = source.join(CHECKPOINT_FILE);
    if list.is_file() {
        let text = electra_files::read_text(&list)?;
        let named = text.lines().find_map(|line| line.strip_prefix("model_checkpoint_path:"));
        let name = named.map(|name| name.trim().trim_matches('"')).unwrap_or_default();
        // The path may be absolute on the machine of the training run.
        return match Path::new(name).file_name() {
            Some(name) => Ok(source.join(name)),
            None => Err(Error::format(&list, "no line model_checkpoint_path: \"NAME\"")),
        };
    }
    let entries = fs::read_dir(source).map_err(Error::io(source))?;
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "index"))
        .map(|path| path.with_extension(""))
        .collect();
    match (found.pop(), found.as_slice()) {
        (Some(prefix), []) => Ok(prefix),
        (None, _) => Err(Error::format(source, "no TensorFlow checkpoint (NAME.index)")),
        (Some(_), more) => Err(Error::format(
            source,
            format!("{} checkpoints and no `checkpoint` file: pass one NAME.index", more.len() + 1),
        )),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// The discriminator's encoder, and the shared embeddings.
    Electra,
    DiscriminatorHead,
    Generator,
    GeneratorHead,
}

enum Variable {
    /// A weight, with its Hugging Face name.
    Weight(Scope, String),
    /// A variable that is not a weight of the networks.
    Skipped(&'static str),
    Unknown,
}

fn variable(name: &str) -> Variable {
    if name.ends_with("/adam_m") || name.ends_with("/adam_v") {
        return Variable::Skipped("Adam's moments");
    }
    let (scope, rest) = name.split_once('/').unwrap_or((name, ""));
    let found = match (scope, rest) {
        ("global_step" | "temperature", "") => return Variable::Skipped("counters"),
        ("task_specific", _) => return Variable::Skipped("fine-tuning heads"),
        ("electra", rest) => encoder_name(rest).map(|new| (Scope::Electra, new)),
        ("generator", rest) => encoder_name(rest).map(|new| (Scope::Generator, new)),
        ("discriminator_predictions", rest) => {
            let rest = rest.replace("dense_1/", "dense_prediction/");
            tensor_name(&rest)
                .map(|new| (Scope::DiscriminatorHead, format!("discriminator_predictions.{new}")))
        }
        ("generator_predictions", "output_bias") => {
            Some((Scope::GeneratorHead, "generator_lm_head.bias".to_owned()))
        }
        ("generator_predictions", rest) => tensor_name(rest)
            .map(|new| (Scope::GeneratorHead, format!("generator_predictions.{new}"))),
        _ => None,
    };
    found.map_or(Variable::Unknown, |(scope, new)| Variable::Weight(scope, new))
}

/// `encoder/layer_3/…` to `electra.encoder.layer.3.…`.
fn encoder_name(name: &str) -> Option<String> {
    let new = match name.strip_prefix("encoder/layer_") {
        Some(rest) => {
            let (layer, rest) = rest.split_once('/')?;
            let layer: u32 = layer.parse().ok()?;
            format!("encoder.layer.{layer}.{}", tensor_name(rest)?)
        }
        None => match name.strip_prefix("embeddings/") {
            Some(table) if table.ends_with("_embeddings") => format!("embeddings.{table}.weight"),
            Some(rest) => format!("embeddings.{}", tensor_name(rest)?),
            None => tensor_name(name).filter(|new| new.starts_with("embeddings_project."))?,
        },
    };
    Some(format!("electra.{new}"))
}

/// `a/b/kernel` to `a.b.weight`, and so on.
fn tensor_name(name: &str) -> Option<String> {
    let (path, leaf) = name.rsplit_once('/')?;
    let leaf = match leaf {
        "kernel" | "gamma" => "weight",
        "bias" | "beta" => "bias",
        _ => return None,
    };
    Some(format!("{}.{leaf}", path.replace('/', ".")))
}

/// The TensorFlow name of a Hugging Face name: the inverse of [`variable`].
fn original_name(network: &str, name: &str) -> Option<String> {
    let scope = if network.is_empty() { "electra" } else { network };
    if name == "generator_lm_head.bias" {
        return Some("generator_predictions/output_bias".to_owned());
    }
    let (path, leaf) = name.rsplit_once('.')?;
    let leaf = match leaf {
        "weight" if path.ends_with("_embeddings") => {
            return Some(path.replacen("electra", scope, 1).replace('.', "/"));
        }
        "weight" if path.ends_with("LayerNorm") => "gamma",
        "weight" => "kernel",
        "bias" if path.ends_with("LayerNorm") => "beta",
        "bias" => "bias",
        _ => return None,
    };
    let path = match path.strip_prefix("electra.") {
        Some(rest) => format!("{scope}/{}", rest.replace("encoder.layer.", "encoder/layer_")),
        None if path.starts_with("discriminator_predictions.")
            || path.starts_with("generator_predictions.") =>
        {
            path.replace("dense_prediction", "dense_1")
        }
        None => return None,
    };
    Some(format!("{}/{leaf}", path.replace('.', "/")))
}

/// A variable in Hugging Face's layout.
fn weight(bundle: &Bundle, name: &str) -> Result<Tensor> {
    let tensor = bundle.tensor(name)?;
    Ok(match name.ends_with("/kernel") && tensor.dim() == 2 {
        true => tensor.transpose(0, 1).contiguous(),
        false => tensor,
    })
}

/// A network of a checkpoint, with sizes derived from the shapes.
fn network(
    prefix: &Path,
    architecture: Architecture,
    mut tensors: Named,
    heads: Option<i64>,
) -> Result<Pretrained> {
    let path = PathBuf::from(format!("{}.index", prefix.display()));
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let mut differences = Vec::new();
    let mut size = |name: &str, dimension: usize| {
        let found = tensors.iter().find(|(n, _)| n == name).map(|(_, tensor)| tensor.size());
        match found.as_deref() {
            Some([a, b]) => [*a, *b][dimension],
            Some(other) => {
                differences.push(format!("{name}: shape {other:?}, expected two dimensions"));
                0
            }
            None => {
                differences.push(format!("missing from the checkpoint: {name}"));
                0
            }
        }
    };
    const TABLES: &str = "electra.embeddings";
    const FIRST: &str = "electra.encoder.layer.0";
    let hidden = size(&format!("{FIRST}.attention.self.query.weight"), 0);
    let words = format!("{TABLES}.word_embeddings.weight");
    let (vocab_size, embedding_size) = (size(&words, 0), size(&words, 1));
    let sizes = EncoderSizes {
        layers: 0,
        hidden,
        heads: heads.unwrap_or_else(|| default_heads(hidden)),
        intermediate: size(&format!("{FIRST}.intermediate.dense.weight"), 0),
    };
    let mut encoder = EncoderConfig {
        max_positions: size(&format!("{TABLES}.position_embeddings.weight"), 0),
        segments: size(&format!("{TABLES}.token_type_embeddings.weight"), 0),
        ..EncoderConfig::electra(vocab_size, embedding_size, sizes)
    };
    let layers: BTreeSet<i64> = tensors
        .iter()
        .filter_map(|(name, _)| {
            name.strip_prefix("electra.encoder.layer.")?.split('.').next()?.parse().ok()
        })
        .collect();
    encoder.layers = layers.last().map_or(0, |last| last + 1);
    if encoder.layers != layers.len() as i64 {
        differences.push(format!(
            "expected layers 0 to {}, found {} layers",
            encoder.layers - 1,
            layers.len()
        ));
    }
    for (name, tensor) in &mut tensors {
        match tensor.kind() {
            Kind::Float => {}
            Kind::Half | Kind::BFloat16 | Kind::Double => *tensor = tensor.to_kind(Kind::Float),
            other => differences.push(format!("{name}: kind {other:?}, expected a float")),
        }
        if !bool::try_from(tensor.isfinite().all())? {
            differences.push(format!("{name}: has NaN or infinity"));
        }
    }
    if !differences.is_empty() {
        return Err(Error::Mismatch { path, differences });
    }
    encoder.validate("")?;
    let head_count = HeadCount::Unverified;
    let config = Config { head_count, ..Config::new(architecture, encoder, 0) };
    let mut notes: Vec<String> = config.head_count_note().into_iter().collect();
    if notes.is_empty() && heads.is_none() {
        notes.push(format!(
            "not verified: {} attention heads (hidden / {HEAD_SIZE}, as in the reference); the checkpoint does not record the \
             count, and a wrong one would load too",
            config.encoder.heads
        ));
    }
    Ok(Pretrained { config, notes, path, tensors })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_convert_in_both_directions() {
        for (network, theirs, ours) in [
            ("", "electra/embeddings/word_embeddings", "electra.embeddings.word_embeddings.weight"),
            ("", "electra/embeddings/LayerNorm/gamma", "electra.embeddings.LayerNorm.weight"),
            ("", "electra/embeddings_project/kernel", "electra.embeddings_project.weight"),
            (
                "",
                "electra/encoder/layer_11/attention/output/LayerNorm/beta",
                "electra.encoder.layer.11.attention.output.LayerNorm.bias",
            ),
            (
                "generator",
                "generator/encoder/layer_0/attention/self/query/kernel",
                "electra.encoder.layer.0.attention.self.query.weight",
            ),
            (
                "",
                "discriminator_predictions/dense_1/kernel",
                "discriminator_predictions.dense_prediction.weight",
            ),
            (
                "generator",
                "generator_predictions/LayerNorm/gamma",
                "generator_predictions.LayerNorm.weight",
            ),
            ("generator", "generator_predictions/output_bias", "generator_lm_head.bias"),
        ] {
            let Variable::Weight(_, new) = variable(theirs) else { panic!("{theirs} is unknown") };
            assert_eq!(new, ours);
            assert_eq!(original_name(network, ours).as_deref(), Some(theirs));
        }
        for (name, skipped) in [
            ("electra/embeddings/word_embeddings/adam_m", true),
            ("global_step", true),
            ("task_specific/mnli/dense/kernel", true),
            ("generator_ltr/encoder/layer_0/output/dense/kernel", false),
            ("bert/embeddings/word_embeddings", false),
        ] {
            assert_eq!(matches!(variable(name), Variable::Skipped(_)), skipped, "{name}");
            assert_eq!(matches!(variable(name), Variable::Unknown), !skipped, "{name}");
        }
    }
}
