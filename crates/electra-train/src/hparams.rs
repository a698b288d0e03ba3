//! Converts the reference's `--hparams` to a config.
//!
//! Source: reference `configure_pretraining.py`: class defaults, then the user's values, then derived values,
//! then the user's values again.

use crate::{
    Error, Result, RunConfig,
    config::{
        CheckpointConfig, DataConfig, EvaluateConfig, InitConfig, MaskingConfig, ObjectiveConfig,
        TrainConfig,
    },
    objective::{BertConfig, ElectricConfig, GeneratorKind, LossPositions, ReplacedTokenConfig},
    optim::OptimizerConfig,
};
use electra_files::read_json;
use electra_model::{ElectraConfig, EncoderConfig, EncoderSizes, PartName};
use serde_json::{Map, Value};
use std::path::Path;

/// Keys for paths, hardware and speed, which do not change what the reference computes.
const IGNORED: [&str; 18] = [
    "do_train",
    "do_eval",
    "num_eval_steps",
    "eval_batch_size",
    "iterations_per_loop",
    "use_tpu",
    "num_tpu_cores",
    "tpu_job_name",
    "tpu_name",
    "tpu_zone",
    "gcp_project",
    "data_dir",
    "model_name",
    "model_dir",
    "pretrain_tfrecords",
    "vocab_file",
    "results_txt",
    "results_pkl",
];

/// Reads a JSON file of the reference's hyper-parameters. Also returns notes on ignored keys, one line each.
///
/// # Errors
/// Naming the file and the key that is unknown, of the wrong type, or not supported.
pub fn read(path: &Path, shards: &Path) -> Result<(RunConfig, Vec<String>)> {
    let fail = |message: String| Error::Config { path: path.to_owned(), message };
    let value: Value = read_json(path)?;
    let Value::Object(map) = value else {
        return Err(fail("expected a JSON object of hyper-parameters".to_owned()));
    };
    let (config, notes) = convert(map, shards).map_err(fail)?;
    config.validate()?;
    Ok((config, notes))
}

/// The keys of an object that were not read yet.
struct Keys(Map<String, Value>);

impl Keys {
    fn take<T>(
        &mut self,
        key: &str,
        kind: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let read =
                    read(&value).ok_or_else(|| format!("{key} is {value}, expected {kind}"))?;
                Ok(Some(read))
            }
        }
    }
    fn number(&mut self, key: &str, default: f64) -> Result<f64, String> {
        Ok(self.take(key, "a number", Value::as_f64)?.unwrap_or(default))
    }
    fn integer(&mut self, key: &str, default: u64) -> Result<u64, String> {
        Ok(self.take(key, "a non-negative integer", Value::as_u64)?.unwrap_or(default))
    }
    fn flag(&mut self, key: &str, default: bool) -> Result<bool, String> {
        Ok(self.take(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }
}

fn convert(map: Map<String, Value>, shards: &Path) -> Result<(RunConfig, Vec<String>), String> {
    let mut keys = Keys(map);
    let mut notes = Vec::new();
    let electric = keys.flag("electric_objective", false)?;
    let two_tower = keys.flag("two_tower_generator", false)?;
    let replaced_token = keys.flag("electra_objective", true)?;
    let uniform = keys.flag("uniform_generator", false)?;
    let untied = keys.flag("untied_generator", true)?;
    let disallow_correct = keys.flag("disallow_correct", false)?;
    if keys.flag("debug", false)? {
        return Err(
            "debug = true is not supported: the reference then trains another model (3 layers of 144) for 20 updates of 8 sequences and deletes model_dir; remove the key, and set train.steps and train.batch_size"
                .to_owned(),
        );
    }
    // The reference keeps every checkpoint for both 0 and null.
    let keep_last = match keys.0.get("keep_checkpoint_max") {
        Some(Value::Null) => 0,
        _ => keys.integer("keep_checkpoint_max", 5)?,
    };
    keys.0.remove("keep_checkpoint_max");
    let untied_embeddings = keys.flag("untied_generator_embeddings", false)?;

    let size = keys.take("model_size", "a string", |v| v.as_str().map(str::to_owned))?;
    let (layers, hidden, fixed_embedding) = match size.as_deref().unwrap_or("small") {
        "small" => (12, 256, Some(128)),
        "base" => (12, 768, None),
        "large" => (24, 1024, None),
        other => return Err(format!("model_size is {other:?}, expected small, base or large")),
    };
    let overrides = keys.take("model_hparam_overrides", "an object", |v| v.as_object().cloned())?;
    let mut model = Keys(overrides.unwrap_or_default());
    let integer = |model: &mut Keys, key: &str, default: i64| -> Result<i64, String> {
        Ok(model.integer(key, default as u64)? as i64)
    };
    let hidden = integer(&mut model, "hidden_size", hidden)?;
    let layers = integer(&mut model, "num_hidden_layers", layers)?;
    let discriminator = EncoderSizes {
        layers,
        hidden,
        heads: integer(&mut model, "num_attention_heads", (hidden / 64).max(1))?,
        intermediate: integer(&mut model, "intermediate_size", 4 * hidden)?,
    };
    // Python's `round` rounds half to even.
    let scale = |size: i64, factor: f64| (size as f64 * factor).round_ties_even() as i64;
    let generator_hidden = scale(hidden, keys.number("generator_hidden_size", 0.25)?);
    let generator = EncoderSizes {
        layers: scale(layers, keys.number("generator_layers", 1.0)?),
        hidden: generator_hidden,
        heads: (generator_hidden / 64).max(1),
        intermediate: 4 * generator_hidden,
    };
    let embedding_size =
        keys.integer("embedding_size", fixed_embedding.unwrap_or(hidden as u64))? as i64;
    let vocab_size = keys.integer("vocab_size", 30_522)? as i64;
    let vocab_size = integer(&mut model, "vocab_size", vocab_size)?;
    let mut network = EncoderConfig {
        max_positions: integer(&mut model, "max_position_embeddings", 512)?,
        segments: integer(&mut model, "type_vocab_size", 2)?,
        dropout: model.number("hidden_dropout_prob", 0.1)?,
        attention_dropout: model.number("attention_probs_dropout_prob", 0.1)?,
        ..EncoderConfig::electra(vocab_size, embedding_size, discriminator)
    };
    network.initializer.std = model.number("initializer_range", 0.02)?;
    let generator = match (electric || (replaced_token && !uniform), untied) {
        (false, _) => None,
        (true, true) => Some(network.resized(generator)),
        (true, false) => Some(network.clone()),
    };
    let sharing = PartName::new(if untied || generator.is_none() { "tied" } else { "tied-all" });
    let mut networks = ElectraConfig { generator, discriminator: network, sharing };
    let activation = model.take("hidden_act", "a string", |v| v.as_str().map(str::to_owned))?;
    if activation.is_some_and(|act| act != "gelu") {
        return Err("model_hparam_overrides.hidden_act: only \"gelu\" is supported".to_owned());
    }
    if let Some(key) = model.0.keys().next() {
        return Err(format!("unknown key model_hparam_overrides.{key}"));
    }
    if untied_embeddings && untied && networks.generator.is_some() {
        networks.sharing = PartName::new("untied");
        notes.push(format!(
            "untied_generator_embeddings: the generator's embeddings have size {embedding_size} here, {generator_hidden} in the reference"
        ));
    }

    let sequence_length = keys.integer("max_seq_length", 128)?;
    let rate = keys.number("mask_prob", 0.15)?;
    let default = ((rate + 0.005) * sequence_length as f64) as u64;
    let predictions = keys.integer("max_predictions_per_seq", default)?;
    if predictions != default {
        return Err(format!(
            "max_predictions_per_seq = {predictions}: only the default for mask_prob and max_seq_length ({default}) is supported"
        ));
    }
    if !keys.flag("do_lower_case", true)? {
        notes.push("do_lower_case = false: pass --cased to `electra vocab train` and `electra shards build`".to_owned());
    }
    let learning_rate = keys.number("learning_rate", 5e-4)?;
    let masking = MaskingConfig::Reference { rate, mask_share: 0.85 };
    let replaced_token_config = ReplacedTokenConfig {
        generator_weight: keys.number("gen_weight", 1.0)?,
        discriminator_weight: keys.number("disc_weight", 50.0)?,
        temperature: keys.number("temperature", 1.0)?,
        generator: match (uniform, two_tower) {
            (true, _) => GeneratorKind::Uniform,
            (false, true) => GeneratorKind::TwoTower,
            (false, false) => GeneratorKind::MaskedLm,
        },
        disallow_correct,
        positions: LossPositions::All,
        log_conflict: false,
        masking: masking.clone(),
    };
    let ReplacedTokenConfig { generator_weight, discriminator_weight, .. } = replaced_token_config;
    let objective = match (electric, replaced_token) {
        // In the reference Electric has two towers, whatever the other keys.
        (true, _) => ObjectiveConfig::Electric(ElectricConfig {
            generator_weight,
            discriminator_weight,
            masking,
        }),
        (false, true) => ObjectiveConfig::ReplacedToken(replaced_token_config),
        (false, false) => ObjectiveConfig::Bert(BertConfig { random_share: 0.0, masking }),
    };
    let config = RunConfig {
        init: InitConfig::default(),
        data: DataConfig {
            shards: shards.to_owned(),
            sequence_length: sequence_length as usize,
            loader_threads: 1,
        },
        train: TrainConfig {
            steps: keys.integer("num_train_steps", 1_000_000)?,
            batch_size: keys.integer("train_batch_size", 128)? as usize,
            accumulate: 1,
            seed: 1,
            device: "auto".to_owned(),
            log_every: 100,
            max_hours: 0.0,
        },
        checkpoint: CheckpointConfig {
            every: keys.integer("save_checkpoints_steps", 1000)?,
            keep_last: keep_last as usize,
        },
        evaluate: EvaluateConfig { every: 10_000, ..EvaluateConfig::default() },
        optimizer: OptimizerConfig {
            learning_rate,
            warmup_steps: keys.integer("num_warmup_steps", 10_000)?,
            decay_power: keys.number("lr_decay_power", 1.0)?,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-6,
            weight_decay: keys.number("weight_decay_rate", 0.01)?,
            clip_norm: 1.0,
        },
        objective,
        model: networks,
    };
    for key in IGNORED {
        if keys.0.remove(key).is_some() {
            notes.push(format!("{key}: ignored, has no equivalent here"));
        }
    }
    match keys.0.keys().next() {
        // As in the reference, an unknown key is an error.
        Some(key) => Err(format!("{key} is not a hyper-parameter of the reference")),
        None => Ok((config, notes)),
    }
}
