//! Reads and writes `config.json`.

use crate::{
    config::{EncoderConfig, EncoderSizes, Initializer, PartName},
    error::{Error, Result},
    heads::HeadKind,
};
use electra_files::{PathKind, Settings, read_json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The file that identifies a model folder.
pub const CONFIG_FILE: &str = "config.json";

/// The `transformers` class of a model: an encoder and its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Architecture {
    /// The discriminator with its head.
    ElectraForPreTraining,
    /// The generator with its head.
    ElectraForMaskedLM,
    /// An encoder without a head, or with a head that `transformers` has no class for.
    ElectraModel,
    /// An encoder with a classification or regression head: dense, gelu, dense on the first position.
    ElectraForSequenceClassification,
    /// An encoder with one dense layer on every position.
    ElectraForTokenClassification,
    /// An encoder with one dense layer for start and end logits.
    ElectraForQuestionAnswering,
    /// An encoder with a head that scores each of several choices.
    ElectraForMultipleChoice,
}

impl Architecture {
    /// The class of a pre-training head.
    pub fn of_head(head: HeadKind) -> Self {
        match head {
            HeadKind::MaskedLm | HeadKind::AllTokensMlm => Self::ElectraForMaskedLM,
            HeadKind::ReplacedToken => Self::ElectraForPreTraining,
            HeadKind::Cloze | HeadKind::None => Self::ElectraModel,
        }
    }
}

/// The meaning of a classifier's outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Single-label classification: the classes, in order.
    Classes(Vec<String>),
    /// Multi-label classification: the labels, in order.
    Set(Vec<String>),
    /// Regression.
    Number,
}

/// Whether the head count of `config.json` is confirmed. Tensor shapes do not confirm it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadCount {
    /// The weights were made here, or their file records the same count.
    Verified,
    /// Only `config.json` has it. Files written with this count do not record it.
    Unverified,
}

/// A model's class, sizes and labels: the contents of `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The class.
    pub architecture: Architecture,
    /// The encoder.
    pub encoder: EncoderConfig,
    /// Whether the number of attention heads is confirmed.
    pub head_count: HeadCount,
    /// Id of `[PAD]`.
    pub pad_token_id: i64,
    /// The meaning of a classifier's outputs; `None` for other heads.
    pub labels: Option<Labels>,
    /// Dropout before a task's head, if it differs from the encoder's.
    pub classifier_dropout: Option<f64>,
}

/// Values of `problem_type`.
const SINGLE_LABEL: &str = "single_label_classification";
const MULTI_LABEL: &str = "multi_label_classification";

/// The naming scheme of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Electra,
    Bert,
    /// ELECTRA's names, other parts.
    Custom,
}

/// The `model_type` and `hidden_act` of a network with other parts than ELECTRA's. `transformers` rejects both, the second
/// also if a class is named (`ElectraModel.from_pretrained`), instead of loading the weights into the wrong architecture.
const CUSTOM: &str = "electra_custom";

/// The parts of a custom network, by seam.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    attention: String,
    feed_forward: String,
    embeddings: String,
    block: String,
    positions: String,
}

impl Parts {
    fn apply_to(&self, encoder: &mut EncoderConfig) {
        encoder.attention = PartName::new(&self.attention);
        encoder.feed_forward = PartName::new(&self.feed_forward);
        encoder.embeddings = PartName::new(&self.embeddings);
        encoder.block = PartName::new(&self.block);
        encoder.positions = PartName::new(&self.positions);
    }
}

impl Config {
    /// A config without labels, for weights made here.
    pub fn new(architecture: Architecture, encoder: EncoderConfig, pad_token_id: i64) -> Self {
        Self {
            architecture,
            encoder,
            head_count: HeadCount::Verified,
            pad_token_id,
            labels: None,
            classifier_dropout: None,
        }
    }

    /// Names and shapes of a task head's tensors; empty for pre-training heads, which are built as networks, and for an
    /// encoder without a head.
    ///
    /// Source: transformers 5.23, `modeling_electra.py`.
    pub(crate) fn task_head(&self) -> Vec<(String, Vec<i64>)> {
        let hidden = self.encoder.hidden;
        let dense = |name: &str, outputs: i64| {
            vec![
                (format!("{name}.weight"), vec![outputs, hidden]),
                (format!("{name}.bias"), vec![outputs]),
            ]
        };
        let labels = match &self.labels {
            Some(Labels::Classes(names) | Labels::Set(names)) => names.len() as i64,
            Some(Labels::Number) | None => 1,
        };
        match self.architecture {
            Architecture::ElectraForPreTraining
            | Architecture::ElectraForMaskedLM
            | Architecture::ElectraModel => Vec::new(),
            Architecture::ElectraForSequenceClassification => {
                [dense("classifier.dense", hidden), dense("classifier.out_proj", labels)].concat()
            }
            Architecture::ElectraForTokenClassification => dense("classifier", labels),
            Architecture::ElectraForQuestionAnswering => dense("qa_outputs", 2),
            Architecture::ElectraForMultipleChoice => {
                [dense("sequence_summary.summary", hidden), dense("classifier", 1)].concat()
            }
        }
    }
}

/// A parsed `config.json`, before the weights determine the head.
#[derive(Debug)]
pub(super) struct ParsedConfig {
    /// The naming scheme of the weights.
    pub(super) family: Family,
    /// The class in `architectures`.
    pub(super) declared: Option<Architecture>,
    path: PathBuf,
    config: Config,
    labels: Result<Labels, String>,
}

impl ParsedConfig {
    /// The config of a model with this head; only classifiers have labels.
    pub(super) fn with_head(self, architecture: Architecture) -> Result<Config> {
        let labels = match architecture {
            Architecture::ElectraForSequenceClassification
            | Architecture::ElectraForTokenClassification => {
                Some(self.labels.map_err(|message| Error::format(self.path, message))?)
            }
            _ => None,
        };
        Ok(Config { architecture, labels, ..self.config })
    }
}

/// The fields that are read. Fields that `transformers` would silently replace with a default are required.
#[derive(Deserialize)]
struct ConfigFile {
    model_type: Option<String>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    vocab_size: i64,
    embedding_size: Option<i64>,
    hidden_size: i64,
    num_hidden_layers: i64,
    num_attention_heads: i64,
    intermediate_size: i64,
    max_position_embeddings: i64,
    #[serde(default = "two")]
    type_vocab_size: i64,
    hidden_act: Option<String>,
    #[serde(default = "tenth")]
    hidden_dropout_prob: f64,
    #[serde(default = "tenth")]
    attention_probs_dropout_prob: f64,
    classifier_dropout: Option<f64>,
    #[serde(default = "layer_norm_eps")]
    layer_norm_eps: f64,
    #[serde(default = "initializer_range")]
    initializer_range: f64,
    pad_token_id: Option<i64>,
    position_embedding_type: Option<String>,
    #[serde(default = "first")]
    summary_type: Value,
    #[serde(default = "yes")]
    summary_use_proj: Value,
    #[serde(default = "gelu")]
    summary_activation: Value,
    #[serde(default)]
    is_decoder: bool,
    #[serde(default)]
    add_cross_attention: bool,
    id2label: Option<BTreeMap<String, String>>,
    num_labels: Option<usize>,
    problem_type: Option<String>,
    parts: Option<Parts>,
    /// The settings of custom parts, by name.
    #[serde(default)]
    custom: BTreeMap<String, Settings>,
}

fn two() -> i64 {
    2
}
fn first() -> Value {
    "first".into()
}
fn yes() -> Value {
    true.into()
}
fn gelu() -> Value {
    "gelu".into()
}
fn tenth() -> f64 {
    0.1
}
fn layer_norm_eps() -> f64 {
    1e-12
}
fn initializer_range() -> f64 {
    0.02
}

/// Reads and checks a folder's `config.json`.
pub(super) fn read(dir: &Path) -> Result<ParsedConfig> {
    PathKind::Model.require(dir)?;
    let path = dir.join(CONFIG_FILE);
    let file: ConfigFile = read_json(&path)?;
    match parse(&file) {
        Ok((family, declared, config)) => {
            Ok(ParsedConfig { family, declared, path, config, labels: labels(&file) })
        }
        Err(message) => Err(Error::format(&path, message)),
    }
}

fn parse(file: &ConfigFile) -> Result<(Family, Option<Architecture>, Config), String> {
    let family = match file.model_type.as_deref() {
        Some("electra") => Family::Electra,
        Some("bert") => Family::Bert,
        Some(CUSTOM) => Family::Custom,
        Some(other) => {
            return Err(format!(
                "model_type {other:?} is not supported: only ELECTRA and BERT models can be read (model_type \"electra\" or \
                 \"bert\"), which have the same layers and a WordPiece vocabulary"
            ));
        }
        None => {
            return Err("missing field `model_type`: set it to \"electra\" or \"bert\"".to_owned());
        }
    };
    let require = |field: &str, found: &Option<String>, supported: &[&str]| match found.as_deref() {
        Some(value) if !supported.contains(&value) => {
            Err(format!("{field} {value:?} is not supported, only {:?}", supported[0]))
        }
        _ => Ok(()),
    };
    // The tanh approximations differ from erf by up to 4.7e-4; relative positions are other models.
    let activations: &[&str] = match family {
        Family::Custom => &[CUSTOM],
        _ => &["gelu", "gelu_python"],
    };
    require("hidden_act", &file.hidden_act, activations)?;
    require("position_embedding_type", &file.position_embedding_type, &["absolute"])?;
    if file.is_decoder || file.add_cross_attention {
        return Err("decoders are not supported, only encoders".to_owned());
    }
    let architecture = match file.architectures.as_deref() {
        None | Some([]) => None,
        Some([name, ..]) => Some(architecture(name)?),
    };
    if architecture == Some(Architecture::ElectraForMultipleChoice) {
        for (field, value, supported) in [
            ("summary_type", &file.summary_type, first()),
            ("summary_use_proj", &file.summary_use_proj, yes()),
            ("summary_activation", &file.summary_activation, gelu()),
        ] {
            if *value != supported {
                return Err(format!("{field} {value} is not supported, only {supported}"));
            }
        }
    }
    let embedding_size = match (family, file.embedding_size) {
        (_, Some(size)) => size,
        (Family::Bert, None) => file.hidden_size,
        (Family::Electra | Family::Custom, None) => {
            return Err("missing field `embedding_size`".to_owned());
        }
    };
    let sizes = EncoderSizes {
        layers: file.num_hidden_layers,
        hidden: file.hidden_size,
        heads: file.num_attention_heads,
        intermediate: file.intermediate_size,
    };
    let mut encoder = EncoderConfig {
        max_positions: file.max_position_embeddings,
        segments: file.type_vocab_size,
        dropout: file.hidden_dropout_prob,
        attention_dropout: file.attention_probs_dropout_prob,
        layer_norm_eps: file.layer_norm_eps,
        initializer: Initializer { std: file.initializer_range, ..Initializer::reference() },
        ..EncoderConfig::electra(file.vocab_size, embedding_size, sizes)
    };
    match (family, &file.parts) {
        (Family::Custom, Some(parts)) => parts.apply_to(&mut encoder),
        (Family::Custom, None) => {
            return Err(format!("missing field `parts`, required by model_type {CUSTOM:?}"));
        }
        (Family::Electra | Family::Bert, Some(_)) => {
            return Err(format!("`parts` requires model_type {CUSTOM:?}"));
        }
        (Family::Electra | Family::Bert, None) => {}
    }
    if let Some(name) = file.custom.keys().find(|name| !encoder.has_part(name)) {
        return Err(format!("custom.{name}: `parts` has no part of this name"));
    }
    encoder.custom = file.custom.clone();
    // In messages `model.hidden` means `hidden_size`, and `model.heads` means `num_attention_heads`.
    encoder.validate("").map_err(|error| error.to_string())?;
    let config = Config {
        // Without `architectures`, the weights determine the class.
        architecture: architecture.unwrap_or(Architecture::ElectraModel),
        encoder,
        head_count: HeadCount::Unverified,
        pad_token_id: file.pad_token_id.unwrap_or(0),
        labels: None,
        classifier_dropout: file.classifier_dropout,
    };
    Ok((family, architecture, config))
}

/// The class of a name; BERT classes map to the ELECTRA class with the same weights.
fn architecture(name: &str) -> Result<Architecture, String> {
    match name {
        "BertModel" => return Ok(Architecture::ElectraModel),
        "BertForMaskedLM" | "BertForPreTraining" => return Ok(Architecture::ElectraForMaskedLM),
        _ => {}
    }
    serde_json::from_value(Value::String(name.to_owned())).map_err(|_| {
        format!(
            "architecture {name:?} is not supported, only ELECTRA's classes, BertModel, BertForMaskedLM and \
             BertForPreTraining"
        )
    })
}

/// Labels from `id2label` (keys 0, 1, 2, …), or `num_labels` default labels, or two.
fn labels(file: &ConfigFile) -> Result<Labels, String> {
    let names = match (&file.id2label, file.num_labels) {
        (Some(map), _) => (0..map.len())
            .map(|i| map.get(&i.to_string()).cloned())
            .collect::<Option<Vec<_>>>()
            .ok_or("id2label must have the keys \"0\", \"1\", … without gaps")?,
        (None, count) => (0..count.unwrap_or(2)).map(|i| format!("LABEL_{i}")).collect(),
    };
    match (names.len(), file.problem_type.as_deref()) {
        (0, _) => Err("id2label is empty".to_owned()),
        (_, Some(MULTI_LABEL)) => Ok(Labels::Set(names)),
        (1, None | Some("regression")) => Ok(Labels::Number),
        (_, None | Some(SINGLE_LABEL)) => Ok(Labels::Classes(names)),
        (count, Some(kind)) => {
            Err(format!("problem_type {kind:?} with {count} labels is not supported"))
        }
    }
}

/// Writes `config.json`, with sorted keys as in `transformers`.
pub(super) fn write(dir: &Path, config: &Config) -> Result<()> {
    let e = &config.encoder;
    let mut file = json!({
        "architectures": [config.architecture],
        "attention_probs_dropout_prob": e.attention_dropout,
        "dtype": "float32",
        "embedding_size": e.embedding_size,
        "hidden_act": "gelu",
        "hidden_dropout_prob": e.dropout,
        "hidden_size": e.hidden,
        "initializer_range": e.initializer.std,
        "intermediate_size": e.intermediate,
        "layer_norm_eps": e.layer_norm_eps,
        "max_position_embeddings": e.max_positions,
        "model_type": "electra",
        "num_attention_heads": e.heads,
        "num_hidden_layers": e.layers,
        "pad_token_id": config.pad_token_id,
        "tie_word_embeddings": true,
        "type_vocab_size": e.segments,
        "vocab_size": e.vocab_size,
    });
    let mut set = |key: &str, value: Value| file[key] = value;
    if !e.is_electra() {
        set("model_type", CUSTOM.into());
        set("hidden_act", CUSTOM.into());
        let parts = e.seams().into_iter().map(|(seam, part)| (seam.to_owned(), part.into()));
        set("parts", Value::Object(parts.collect()));
        // The other network of a pair may have custom parts of its own.
        let own = e.custom.iter().filter(|(name, _)| e.has_part(name));
        let own: BTreeMap<&String, &Settings> = own.collect();
        if !own.is_empty() {
            set("custom", json!(own));
        }
    }
    if let Some(dropout) = config.classifier_dropout {
        set("classifier_dropout", dropout.into());
    }
    match &config.labels {
        None => {}
        Some(Labels::Number) => {
            set("id2label", json!({"0": "LABEL_0"}));
            set("label2id", json!({"LABEL_0": 0}));
            set("problem_type", "regression".into());
        }
        Some(labels @ (Labels::Classes(names) | Labels::Set(names))) => {
            let ids =
                names.iter().enumerate().map(|(i, name)| (i.to_string(), name.clone().into()));
            // Of classes with the same name, the first counts.
            let numbers = names.iter().enumerate().rev().map(|(i, name)| (name.clone(), i.into()));
            set("id2label", Value::Object(ids.collect::<Map<_, _>>()));
            set("label2id", Value::Object(numbers.collect::<Map<_, _>>()));
            set(
                "problem_type",
                if let Labels::Set(_) = labels { MULTI_LABEL } else { SINGLE_LABEL }.into(),
            );
        }
    }
    let path = dir.join(CONFIG_FILE);
    let json = serde_json::to_string_pretty(&file).map_err(|e| Error::format(&path, e))?;
    fs::write(&path, json + "\n").map_err(Error::io(&path))
}
