//! The folder of a fine-tuned model: an encoder in Hugging Face's format, a head, and `task.json`.

use crate::{
    Error, Result, Task,
    config::{HeadConfig, HeadKind, Pooling},
    heads::SentenceHead,
    objective::{HEAD, TaskNetwork},
    scores::Metric,
    task::Answers,
};
use electra_model::{
    EncoderConfig, Parts,
    hf::{self, Architecture, Labels, Pretrained},
    tensors::Named,
};
use electra_tokenize::{Tokenizer, WordPiece};
use electra_train::{Existing, folder};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};
use tch::{Device, nn};

const FORMAT: u32 = 1;
const TASK: &str = "task.json";

/// What a fine-tuned model needs besides weights: `task.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Version of the file's format.
    pub format: u32,
    /// The task's name.
    pub task: String,
    /// Column of the (first) text.
    pub text_a: String,
    /// Column of the second text, for pairs.
    pub text_b: Option<String>,
    /// Column of the label.
    pub label: String,
    /// What the task is judged by.
    pub metric: Metric,
    /// What answers look like.
    pub answers: Answers,
    /// Longest input in tokens.
    pub max_length: usize,
    /// The head's settings.
    pub head: HeadConfig,
    /// The seed that the model is of.
    pub seed: u64,
}

impl TaskInfo {
    /// What a model of `task` needs.
    pub fn new(
        task: &Task,
        answers: &Answers,
        head: &HeadConfig,
        max_length: usize,
        seed: u64,
    ) -> Self {
        Self {
            format: FORMAT,
            task: task.name.clone(),
            text_a: task.text_a.clone(),
            text_b: task.text_b.clone(),
            label: task.label.clone(),
            metric: task.metric,
            answers: answers.clone(),
            max_length,
            head: head.clone(),
            seed,
        }
    }

    /// Columns of the texts.
    pub fn text_columns(&self) -> Vec<&str> {
        std::iter::once(self.text_a.as_str()).chain(self.text_b.as_deref()).collect()
    }
}

/// A model folder's sizes and tokenizer.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) config: EncoderConfig,
    pub(crate) tokenizer: WordPiece,
}

impl Source {
    /// Reads `config.json` and the tokenizer, and checks that they belong together.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let config = hf::read_config(dir)?.encoder;
        let tokenizer = WordPiece::from_pretrained_dir(dir)?;
        let tokens = tokenizer.vocab().len();
        if tokens as i64 > config.vocab_size {
            let sizes =
                format!("the vocabulary has {tokens} tokens, the model {}", config.vocab_size);
            return Err(Error::file(dir, sizes));
        }
        Ok(Self { config, tokenizer })
    }

    pub(crate) fn pad(&self) -> u32 {
        self.tokenizer.vocab().special().pad
    }
}

/// The encoder's weights of a folder: `electra.*`. Heads of pre-training or of another task stay behind.
#[derive(Debug)]
pub(crate) struct EncoderWeights(Pretrained);

impl EncoderWeights {
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let pretrained = Pretrained::read(dir)?;
        for note in &pretrained.notes {
            tracing::info!("{}: {note}", dir.display());
        }
        Ok(Self(pretrained))
    }

    pub(crate) fn load(&self, vs: &nn::VarStore) -> Result<()> {
        Ok(self.0.load_encoder(vs, hf::is_head)?)
    }
}

/// What a head's variables are called in a folder: as `transformers` calls its own.
fn head_name(kind: HeadKind) -> &'static str {
    match kind {
        HeadKind::Reference => HEAD,
        HeadKind::Hf => "classifier",
    }
}

/// Names whose first part is `from` with `to` in its place.
fn renamed(tensors: &[(String, tch::Tensor)], from: &str, to: &str) -> Named {
    tensors
        .iter()
        .map(|(name, tensor)| {
            let rest = name.strip_prefix(from).filter(|rest| rest.starts_with('.'));
            let name = rest.map_or_else(|| name.clone(), |rest| format!("{to}{rest}"));
            (name, tensor.shallow_clone())
        })
        .collect()
}

/// The class and the sizes of a fine-tuned model.
fn config(source: &Source, info: &TaskInfo) -> hf::Config {
    let encoder = source.config.clone();
    let pad = i64::from(source.pad());
    match info.head.kind {
        HeadKind::Reference => hf::Config::new(Architecture::ElectraModel, encoder, pad),
        HeadKind::Hf => hf::Config {
            labels: Some(match &info.answers {
                Answers::Classes(names) => Labels::Classes(names.clone()),
                Answers::Range { .. } => Labels::Number,
            }),
            classifier_dropout: Some(info.head.dropout),
            ..hf::Config::new(Architecture::ElectraForSequenceClassification, encoder, pad)
        },
    }
}

/// Writes a model folder, whole or not at all; its card is written when all seeds are done.
pub(crate) fn write(
    dir: &Path,
    source: &Source,
    variables: &[(String, tch::Tensor)],
    info: &TaskInfo,
) -> Result<()> {
    let tensors = renamed(variables, HEAD, head_name(info.head.kind));
    folder::whole(dir, Existing::Replace, folder::MODEL, |dir| {
        hf::write(dir, &config(source, info), &tensors)?;
        source.tokenizer.write_pretrained(dir, source.config.max_positions as usize)?;
        write_info(dir, info)
    })
}

fn write_info(dir: &Path, info: &TaskInfo) -> Result<()> {
    let path = dir.join(TASK);
    let json = serde_json::to_string_pretty(info).expect("plain values serialise");
    fs::write(&path, json + "\n").map_err(Error::io(&path))
}

/// Writes `task.json` beside a classifier that `transformers` has trained, so that it predicts here. Its inputs are
/// in the columns `text_a` and, for pairs, `text_b`; `task` is what it is called.
///
/// # Errors
/// If the folder is of another kind of model.
pub fn adopt_classifier(
    dir: &Path,
    task: &str,
    text_a: &str,
    text_b: Option<&str>,
) -> Result<TaskInfo> {
    let config = hf::read_config(dir)?;
    let answers = match (config.architecture, config.labels) {
        (Architecture::ElectraForSequenceClassification, Some(Labels::Classes(names))) => {
            Answers::Classes(names)
        }
        // The scale that it was trained on is the scale of its outputs.
        (Architecture::ElectraForSequenceClassification, Some(Labels::Number)) => {
            Answers::Range { min: 0.0, max: 1.0 }
        }
        (other, _) => return Err(Error::file(dir, format!("{other:?} is no classifier"))),
    };
    let info = TaskInfo {
        format: FORMAT,
        task: task.to_owned(),
        text_a: text_a.to_owned(),
        text_b: text_b.map(str::to_owned),
        label: "label".to_owned(),
        metric: match answers {
            Answers::Classes(_) => Metric::Accuracy,
            Answers::Range { .. } => Metric::Pearson,
        },
        answers,
        max_length: config.encoder.max_positions as usize,
        head: HeadConfig {
            kind: HeadKind::Hf,
            dropout: config.classifier_dropout.unwrap_or(config.encoder.dropout),
            pooling: Pooling::First,
        },
        seed: 0,
    };
    write_info(dir, &info)?;
    Ok(info)
}

/// Copies the model of a fine-tuning run (or a model folder) to where `transformers` is to load it.
///
/// # Errors
/// If it has the reference's head, which `transformers` has no class for, or `out` is not empty or no model to
/// replace.
pub fn export(run: &Path, out: &Path, existing: Existing) -> Result<()> {
    let dir = match run.join("model").is_dir() {
        true => run.join("model"),
        false => run.to_owned(),
    };
    let path = dir.join(TASK);
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let info: TaskInfo = serde_json::from_str(&text).map_err(|e| Error::file(&path, e))?;
    if info.head.kind != HeadKind::Hf {
        let message = "has the reference's head (dropout and one dense layer), which transformers has no class for; \
             fine-tune with --set head.kind=hf to export a classifier, or load its encoder with AutoModel";
        return Err(Error::file(&dir, message));
    }
    folder::whole(out, existing, folder::MODEL, |out| {
        for entry in fs::read_dir(&dir).map_err(Error::io(&dir))? {
            let entry = entry.map_err(Error::io(&dir))?;
            let copy = out.join(entry.file_name());
            fs::copy(entry.path(), &copy).map_err(Error::io(&copy))?;
        }
        Ok(())
    })
}

/// A fine-tuned model, read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) info: TaskInfo,
    pub(crate) network: TaskNetwork<SentenceHead>,
    pub(crate) tokenizer: WordPiece,
}

/// Reads a folder that [`write`] made; every tensor must be there and no other.
pub(crate) fn read(dir: &Path, device: Device, parts: Option<&Parts>) -> Result<Loaded> {
    let path = dir.join(TASK);
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let info: TaskInfo = serde_json::from_str(&text).map_err(|e| Error::file(&path, e))?;
    if info.format != FORMAT {
        let message = format!("format {}, this version reads {FORMAT}", info.format);
        return Err(Error::file(&path, message));
    }
    let source = Source::read(dir)?;
    let vs = nn::VarStore::new(device);
    let shipped = Parts::shipped();
    let parts = parts.unwrap_or(&shipped);
    let network = TaskNetwork::new(&vs.root(), &source.config, parts, source.pad(), |path| {
        SentenceHead::new(path, &source.config, &info.head, &info.answers)
    })?;
    let mut pretrained = Pretrained::read(dir)?;
    pretrained.tensors = renamed(&pretrained.tensors, head_name(info.head.kind), HEAD);
    pretrained.load(&vs)?;
    Ok(Loaded { info, network, tokenizer: source.tokenizer })
}
