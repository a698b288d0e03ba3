//! `config.json`: what `transformers` calls a model, in and out.

use crate::{
    config::{EncoderConfig, Initializer, PartName, Tower},
    error::{Error, Result},
    heads::HeadKind,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Which class of `transformers` a folder is for: an encoder and the head on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Architecture {
    /// The discriminator with its head.
    ElectraForPreTraining,
    /// The generator with its head.
    ElectraForMaskedLM,
    /// An encoder alone, or with a head that `transformers` has no class for.
    ElectraModel,
    /// An encoder with a classifier or a regression: dense, gelu, dense on the first position.
    ElectraForSequenceClassification,
    /// An encoder with one dense layer on every position.
    ElectraForTokenClassification,
    /// An encoder with one dense layer to start and end logits.
    ElectraForQuestionAnswering,
    /// An encoder that scores one of several texts.
    ElectraForMultipleChoice,
}

impl Architecture {
    /// The class of a pre-training head.
    pub fn of_head(head: HeadKind) -> Self {
        match head {
            HeadKind::MaskedLm => Self::ElectraForMaskedLM,
            HeadKind::ReplacedToken => Self::ElectraForPreTraining,
        }
    }
}

/// What a classifier's outputs mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// One class each, in order.
    Classes(Vec<String>),
    /// One label each, in order, any of which may hold.
    Set(Vec<String>),
    /// A number.
    Number,
}

/// Whether anything but `config.json` says how many attention heads there are: no shape of a weight does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadCount {
    /// The weights were made here, or their file says the same.
    Verified,
    /// Nothing else says it. Files that are written with such a count do not confirm it either.
    Claimed,
}

/// A model's class and sizes: what `config.json` says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which head it carries.
    pub architecture: Architecture,
    /// The encoder's sizes.
    pub encoder: EncoderConfig,
    /// How sure its number of attention heads is.
    pub head_count: HeadCount,
    /// Id of `[PAD]`.
    pub pad_token_id: i64,
    /// What a classifier's outputs mean; `None` for other heads.
    pub labels: Option<Labels>,
    /// Dropout before a task's head, where it is not the encoder's.
    pub classifier_dropout: Option<f64>,
}

/// What `problem_type` says of outputs of which one is the answer, and of which each is one.
const SINGLE_LABEL: &str = "single_label_classification";
const MULTI_LABEL: &str = "multi_label_classification";

/// Which names the weights go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Electra,
    Bert,
    /// ELECTRA's names, with other parts.
    Custom,
}

/// The `model_type` of a network that has other parts than ELECTRA's. `transformers` has no such type, so it refuses
/// the folder and does not load the weights as what they are not.
const CUSTOM: &str = "electra_custom";

/// The parts of such a network, by seam.
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
    fn put_into(&self, encoder: &mut EncoderConfig) {
        encoder.attention = PartName::new(&self.attention);
        encoder.feed_forward = PartName::new(&self.feed_forward);
        encoder.embeddings = PartName::new(&self.embeddings);
        encoder.block = PartName::new(&self.block);
        encoder.positions = PartName::new(&self.positions);
    }
}

impl Config {
    /// An encoder and a head without labels, of weights that were made here.
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

    /// Names and shapes of the tensors of a task's head; none for the heads of pre-training, which have networks of
    /// their own, and for an encoder alone.
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

/// What a `config.json` says before the weights are known.
#[derive(Debug)]
pub(super) struct Described {
    /// Which names the weights go by.
    pub(super) family: Family,
    /// The head that `architectures` names.
    pub(super) declared: Option<Architecture>,
    path: PathBuf,
    config: Config,
    labels: Result<Labels, String>,
}

impl Described {
    /// All of it, for a model with that head: labels are those of classifiers alone.
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

/// The fields that are read. Those without which `transformers` would take a default in silence are required.
#[derive(Deserialize)]
struct File {
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
    #[serde(default)]
    is_decoder: bool,
    #[serde(default)]
    add_cross_attention: bool,
    id2label: Option<BTreeMap<String, String>>,
    num_labels: Option<usize>,
    problem_type: Option<String>,
    parts: Option<Parts>,
}

fn two() -> i64 {
    2
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
pub(super) fn read(dir: &Path) -> Result<Described> {
    let path = dir.join("config.json");
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let file: File = serde_json::from_str(&text).map_err(|e| Error::format(&path, e))?;
    match parse(&file) {
        Ok((family, declared, config)) => {
            Ok(Described { family, declared, path, config, labels: labels(&file) })
        }
        Err(message) => Err(Error::format(&path, message)),
    }
}

fn parse(file: &File) -> Result<(Family, Option<Architecture>, Config), String> {
    let family = match file.model_type.as_deref() {
        Some("electra") => Family::Electra,
        Some("bert") => Family::Bert,
        Some(CUSTOM) => Family::Custom,
        Some(other) => {
            return Err(format!("model_type is {other:?}; \"electra\" and \"bert\" are read"));
        }
        None => return Err("has no model_type; write \"electra\" or \"bert\"".to_owned()),
    };
    let plain = |field: &str, found: &Option<String>, wanted: &[&str]| match found.as_deref() {
        Some(value) if !wanted.contains(&value) => {
            Err(format!("{field} is {value:?}; only {:?} is read", wanted[0]))
        }
        _ => Ok(()),
    };
    // The tanh forms differ from erf by up to 4.7e-4; RoBERTa's and DeBERTa's positions are other models.
    plain("hidden_act", &file.hidden_act, &["gelu", "gelu_python"])?;
    plain("position_embedding_type", &file.position_embedding_type, &["absolute"])?;
    if file.is_decoder || file.add_cross_attention {
        return Err("is of a decoder; only encoders are read".to_owned());
    }
    let architecture = match file.architectures.as_deref() {
        None | Some([]) => None,
        Some([name, ..]) => Some(architecture(name)?),
    };
    let embedding_size = match (family, file.embedding_size) {
        (_, Some(size)) => size,
        (Family::Bert, None) => file.hidden_size,
        (Family::Electra | Family::Custom, None) => {
            return Err("missing field `embedding_size`".to_owned());
        }
    };
    let sizes = Tower {
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
        (Family::Custom, Some(parts)) => parts.put_into(&mut encoder),
        (Family::Custom, None) => return Err(format!("model_type is {CUSTOM:?}, without `parts`")),
        (Family::Electra | Family::Bert, Some(_)) => {
            return Err(format!("has `parts`, which is of model_type {CUSTOM:?}"));
        }
        (Family::Electra | Family::Bert, None) => {}
    }
    // `model.hidden` is `hidden_size` there, `model.heads` `num_attention_heads`.
    encoder.validate("").map_err(|error| error.to_string())?;
    let config = Config {
        // Where the file names none, the weights decide.
        architecture: architecture.unwrap_or(Architecture::ElectraModel),
        encoder,
        head_count: HeadCount::Claimed,
        pad_token_id: file.pad_token_id.unwrap_or(0),
        labels: None,
        classifier_dropout: file.classifier_dropout,
    };
    Ok((family, architecture, config))
}

/// The class of a name; BERT's become the ELECTRA class whose weights they hold.
fn architecture(name: &str) -> Result<Architecture, String> {
    match name {
        "BertModel" => return Ok(Architecture::ElectraModel),
        "BertForMaskedLM" | "BertForPreTraining" => return Ok(Architecture::ElectraForMaskedLM),
        _ => {}
    }
    serde_json::from_value(Value::String(name.to_owned())).map_err(|_| {
        format!("architectures names {name:?}; read are ELECTRA's classes, BertModel, BertForMaskedLM and BertForPreTraining")
    })
}

/// `id2label` (keys 0, 1, 2, …), or as many labels as `num_labels` says; two without either.
fn labels(file: &File) -> Result<Labels, String> {
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
            Err(format!("problem_type is {kind:?} with {count} labels, which is not read"))
        }
    }
}

/// Writes `config.json`, with keys sorted as `transformers` sorts them.
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
        let parts = e.seams().into_iter().map(|(seam, part)| (seam.to_owned(), part.into()));
        set("parts", Value::Object(parts.collect()));
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
            let numbers = names.iter().enumerate().map(|(i, name)| (name.clone(), i.into()));
            set("id2label", Value::Object(ids.collect::<Map<_, _>>()));
            set("label2id", Value::Object(numbers.collect::<Map<_, _>>()));
            set(
                "problem_type",
                if let Labels::Set(_) = labels { MULTI_LABEL } else { SINGLE_LABEL }.into(),
            );
        }
    }
    let path = dir.join("config.json");
    let json = serde_json::to_string_pretty(&file).map_err(|e| Error::format(&path, e))?;
    fs::write(&path, json + "\n").map_err(Error::io(&path))
}
