//! The folder of a fine-tuned model of any kind: an encoder in Hugging Face's format, a head, and `task.json`.

use crate::{
    body::{ENCODER, HEAD},
    config::{FinetuneConfig, HeadConfig, HeadKind},
    error::{Error, Result},
};
use electra_files::{PathKind, folder, read_json, write_json};
use electra_model::{
    EncoderConfig,
    hf::{self, Architecture, Labels, Pretrained},
    tensors::Named,
};
use electra_scores::Metric;
use electra_tokenize::{Tokenizer, WordPiece};
use electra_train::Existing;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tch::{Tensor, nn};

/// The version of `task.json` that is written and read.
const FORMAT: u32 = 1;
const TASK: &str = "task.json";
/// The minimum of `max_length`: three special tokens and one of text, as for `train.max_length`.
const MIN_LENGTH: i64 = 4;
/// The kind of a model with a head of another program.
const OWN: &str = "own";
/// The kind of a folder with the models of several tasks.
pub const MULTI: &str = "multi";

/// The keys of `task.json` that every kind of task has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the file's format.
    pub format: u32,
    /// The kind of task: [`crate::kinds::Kind::task_json`], `multi` or `own`; `sentence` if a file of an earlier version
    /// has none.
    #[serde(default = "sentence")]
    pub kind: String,
    /// The task's name.
    pub task: String,
    /// The metric that seeds were compared by.
    pub metric: Metric,
    /// The length of the longest input in tokens.
    pub max_length: usize,
    /// The head's settings.
    pub head: HeadConfig,
    /// The seed of the model.
    pub seed: u64,
}

fn sentence() -> String {
    "sentence".to_owned()
}

impl Header {
    /// The header of a model with a head of another program.
    pub fn new(task: &str, metric: Metric, config: &FinetuneConfig, seed: u64) -> Self {
        Self {
            format: FORMAT,
            kind: OWN.to_owned(),
            task: task.to_owned(),
            metric,
            max_length: config.train.max_length,
            head: config.head.clone(),
            seed,
        }
    }

    /// The header of a model that was not fine-tuned by this crate.
    pub fn foreign(task: &str, metric: Metric, config: &hf::Config) -> Self {
        Self {
            format: FORMAT,
            kind: sentence(),
            task: task.to_owned(),
            metric,
            max_length: config.encoder.max_positions as usize,
            head: HeadConfig::hf(config.classifier_dropout.unwrap_or(config.encoder.dropout)),
            seed: 0,
        }
    }

    /// The header with another kind.
    #[must_use]
    pub fn of_kind(self, kind: &str) -> Self {
        Self { kind: kind.to_owned(), ..self }
    }

    /// Reads the header of a fine-tuned model's folder.
    ///
    /// # Errors
    /// If it is not a model folder, has no `task.json`, or one of an unsupported version.
    pub fn read(dir: &Path) -> Result<Self> {
        PathKind::Model.require(dir)?;
        if !is_fine_tuned(dir) {
            let choices = match hf::read_config(dir)?.architecture {
                Architecture::ElectraForMultipleChoice => {
                    " and the columns of the text and the choices: --text-a TEXT --text-b CHOICE --text-b CHOICE"
                }
                _ => "",
            };
            let message = format!(
                "has no task.json: it is a model without a task; fine-tune it with `electra finetune --model`, or, if another \
                 program fine-tuned it, import it again with `electra import --from hf`{choices}"
            );
            return Err(Error::file(dir, message));
        }
        let header: Self = read_info(dir)?;
        match header.format {
            FORMAT => Ok(header),
            other => {
                let message =
                    format!("has format {other}; this version of electra reads format {FORMAT}");
                Err(Error::file(dir.join(TASK), message))
            }
        }
    }

    /// Checks that the encoder of the folder takes inputs of this length.
    ///
    /// # Errors
    /// Naming `task.json` and the key.
    pub(crate) fn check(&self, dir: &Path, encoder: &EncoderConfig) -> Result<()> {
        let (length, most) = (self.max_length, encoder.max_positions);
        match i64::try_from(length) {
            Ok(length) if (MIN_LENGTH..=most).contains(&length) => Ok(()),
            _ => {
                let expected =
                    format!("must be from {MIN_LENGTH} to {most}, the positions of the model");
                Err(invalid(dir)(Error::value("max_length", length, expected)))
            }
        }
    }
}

/// The files of a model folder besides weights.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFiles {
    /// `task.json`, which has at least the keys of [`Header`].
    pub info: serde_json::Value,
    /// The class of `transformers` that loads the folder.
    pub class: HeadClass,
    /// Models in the folder that share its encoder; if there are any, the folder itself is the encoder alone.
    pub members: Vec<MemberModel>,
}

impl ModelFiles {
    /// The files of a model whose `task.json` is `info`.
    pub fn new<I: Serialize>(info: &I, class: HeadClass) -> Self {
        let info = serde_json::to_value(info).expect("plain values serialize");
        Self { info, class, members: Vec::new() }
    }

    /// The files of a model with a head of another program.
    pub fn own(header: Header) -> Self {
        Self::new(&header, HeadClass::none())
    }
}

/// A model in the folder of another, with the same encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberModel {
    /// The name of its folder, which is also the prefix of its variables within the head's.
    pub folder: String,
    /// Its files.
    pub files: ModelFiles,
}

/// The class of `transformers` that loads a model folder, and its name for the head.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadClass {
    /// The class; [`Architecture::ElectraModel`] if no class has such a head.
    pub architecture: Architecture,
    /// The meaning of its outputs.
    pub labels: Option<Labels>,
    /// Dropout before the head, if it differs from the encoder's.
    pub dropout: Option<f64>,
    /// The prefix of the head's variables; empty if they have several, and then the head uses the names of the class.
    pub head: &'static str,
}

impl HeadClass {
    /// No class has such a head; `transformers` loads the encoder.
    pub fn none() -> Self {
        Self { architecture: Architecture::ElectraModel, labels: None, dropout: None, head: HEAD }
    }

    /// The class of a head on the pooled input with these outputs, if there is one.
    pub fn of_sequences(head: &HeadConfig, labels: Labels) -> Self {
        match head.kind {
            HeadKind::Reference => Self::none(),
            HeadKind::Hf => Self {
                architecture: Architecture::ElectraForSequenceClassification,
                labels: Some(labels),
                dropout: Some(head.dropout),
                head: "classifier",
            },
        }
    }

    /// The name of `transformers`' class, and whether it has the head.
    pub(crate) fn auto_model(&self) -> (&'static str, bool) {
        match self.architecture {
            Architecture::ElectraForSequenceClassification => {
                ("AutoModelForSequenceClassification", true)
            }
            Architecture::ElectraForTokenClassification => {
                ("AutoModelForTokenClassification", true)
            }
            Architecture::ElectraForQuestionAnswering => ("AutoModelForQuestionAnswering", true),
            Architecture::ElectraForMultipleChoice => ("AutoModelForMultipleChoice", true),
            Architecture::ElectraForPreTraining => ("AutoModelForPreTraining", true),
            _ => ("AutoModel", false),
        }
    }
}

/// Reads `task.json` with the keys of its kind.
pub(crate) fn read_info<T: DeserializeOwned>(dir: &Path) -> Result<T> {
    Ok(read_json(&dir.join(TASK))?)
}

/// Writes `task.json`.
pub(crate) fn write_info<T: Serialize>(dir: &Path, info: &T) -> Result<()> {
    Ok(write_json(&dir.join(TASK), info)?)
}

/// For `map_err`: an error about a value of `task.json`.
pub(crate) fn invalid(dir: &Path) -> impl FnOnce(Error) -> Error {
    let path = dir.join(TASK);
    |error| Error::file(path, error)
}

/// Checks that the model has an embedding for every token of a vocabulary; `origin` is the file or folder that has it.
///
/// # Errors
/// If it has fewer.
pub fn check_vocabulary(
    origin: &Path,
    tokenizer: &WordPiece,
    encoder: &EncoderConfig,
) -> Result<()> {
    let (tokens, rows) = (tokenizer.vocab().rows(), encoder.vocab_size);
    if tokens as i64 <= rows {
        return Ok(());
    }
    let empty = tokenizer.vocab().pieces().iter().position(String::is_empty);
    let empty = empty.map(|id| {
        format!(
            "; line {} of the vocabulary is empty or a duplicate: remove it if it has no id in the model",
            id + 1
        )
    });
    let message = format!(
        "the vocabulary has {tokens} tokens, the model {rows}: use the vocabulary that the model was trained with, or add \
         tokens with `electra vocab extend`{}",
        empty.unwrap_or_default()
    );
    Err(Error::file(origin, message))
}

/// The encoder's config and the tokenizer of a model folder.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) config: EncoderConfig,
    pub(crate) tokenizer: WordPiece,
}

impl Source {
    /// Reads `config.json` and the tokenizer, and checks that they fit.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let config = hf::read_config(dir)?.encoder;
        let tokenizer = WordPiece::from_pretrained_dir(dir)?;
        check_vocabulary(dir, &tokenizer, &config)?;
        Ok(Self { config, tokenizer })
    }

    pub(crate) fn pad(&self) -> u32 {
        self.tokenizer.vocab().special().pad
    }
}

/// The encoder's weights of a folder: `electra.*`. Heads of pre-training or of another task are dropped, except the
/// head that the task starts from.
#[derive(Debug)]
pub(crate) struct EncoderWeights(Pretrained);

impl EncoderWeights {
    /// The encoder's weights, and with `head` those of the head with this name in the folder.
    pub(crate) fn read(dir: &Path, head: Option<&str>) -> Result<Self> {
        let mut pretrained = Pretrained::read(dir)?;
        for note in &pretrained.notes {
            tracing::info!("{}: {note}", dir.display());
        }
        let initial_head = match head {
            None => Vec::new(),
            Some(head) => {
                let own = handles(&pretrained.tensors, |name| is_under(name, head));
                if own.is_empty() {
                    let message =
                        format!("has no {head}.*: the task needs a discriminator with its head");
                    return Err(Error::file(dir, message));
                }
                renamed(own, head, HEAD)
            }
        };
        // The head of another task may have the same name.
        pretrained.tensors.retain(|(name, _)| !hf::is_head(name));
        pretrained.tensors.extend(initial_head);
        Ok(Self(pretrained))
    }

    pub(crate) fn load(&self, vs: &nn::VarStore) -> Result<()> {
        Ok(self.0.load_encoder(vs, hf::is_head)?)
    }
}

/// The name of a variable below the prefix `path`. With an empty path, the name itself, unless it is the encoder's.
fn below<'a>(name: &'a str, path: &str) -> Option<&'a str> {
    match path {
        "" => (!is_under(name, ENCODER)).then_some(name),
        _ => name.strip_prefix(path)?.strip_prefix('.'),
    }
}

/// Whether a variable has the prefix `path`.
fn is_under(name: &str, path: &str) -> bool {
    below(name, path).is_some()
}

/// Shallow clones of the tensors whose names `wanted` selects.
pub(crate) fn handles(tensors: &[(String, Tensor)], wanted: impl Fn(&str) -> bool) -> Named {
    let wanted = tensors.iter().filter(|(name, _)| wanted(name));
    wanted.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}

/// `tensors` with the prefix `from` of their names replaced by `to`; an empty prefix is that of all names but the
/// encoder's.
pub(crate) fn renamed(tensors: Named, from: &str, to: &str) -> Named {
    let rename = |name: String| match below(&name, from) {
        Some(rest) if to.is_empty() => rest.to_owned(),
        Some(rest) => format!("{to}.{rest}"),
        None => name,
    };
    tensors.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect()
}

/// Writes a model folder atomically; its card is written when all seeds are finished.
pub(crate) fn write(
    dir: &Path,
    source: &Source,
    variables: &[(String, Tensor)],
    files: &ModelFiles,
) -> Result<()> {
    folder::whole(dir, Existing::Replace, hf::CONFIG_FILE, |dir| {
        fill(dir, source, variables, files)
    })
}

/// Writes a model into a folder, and the models that share its encoder into subfolders.
fn fill(
    dir: &Path,
    source: &Source,
    variables: &[(String, Tensor)],
    files: &ModelFiles,
) -> Result<()> {
    let ModelFiles { info, class, members } = files;
    let own = handles(variables, |name| members.is_empty() || !is_under(name, HEAD));
    let config = hf::Config {
        labels: class.labels.clone(),
        classifier_dropout: class.dropout,
        ..hf::Config::new(class.architecture, source.config.clone(), i64::from(source.pad()))
    };
    hf::write(dir, &config, &renamed(own, HEAD, class.head))?;
    source.tokenizer.write_pretrained(dir, source.config.max_positions as usize)?;
    write_info(dir, info)?;
    for MemberModel { folder, files } in members {
        let dir = dir.join(folder);
        fs::create_dir(&dir).map_err(Error::io(&dir))?;
        let path = format!("{HEAD}.{folder}");
        let own = handles(variables, |name| !is_under(name, HEAD) || is_under(name, &path));
        fill(&dir, source, &renamed(own, &path, HEAD), files)?;
    }
    Ok(())
}

/// Whether a folder has a fine-tuned model.
pub fn is_fine_tuned(dir: &Path) -> bool {
    dir.join(TASK).exists()
}

/// Copies the model of a fine-tuning run, or a model folder, to `out`, for `transformers`.
///
/// # Errors
/// If it has the reference's head, which `transformers` has no class for, or `out` is not empty or is not a model that
/// may be replaced.
pub fn export(run: &Path, out: &Path, existing: Existing) -> Result<()> {
    let dir = folder_of(run);
    let kind = Header::read(&dir)?.kind;
    if hf::read_config(&dir)?.architecture == Architecture::ElectraModel {
        let message = match kind.as_str() {
            MULTI => {
                "is the encoder of several tasks: export the folder of one of them inside it, or load the encoder with \
                 AutoModel"
            }
            OWN => "has a head that transformers has no class for; load its encoder with AutoModel",
            _ => {
                "has the reference's head, which transformers has no class for; fine-tune with --set head.kind=hf to \
                 export a model with its head, or load its encoder with AutoModel"
            }
        };
        return Err(Error::file(&dir, message));
    }
    folder::whole(out, existing, hf::CONFIG_FILE, |out| {
        for entry in fs::read_dir(&dir).map_err(Error::io(&dir))? {
            let entry = entry.map_err(Error::io(&dir))?;
            let copy = out.join(entry.file_name());
            fs::copy(entry.path(), &copy).map_err(Error::io(&copy))?;
        }
        Ok(())
    })
}

/// The model folder of a fine-tuning run, or `run` itself if it is a model folder.
pub fn folder_of(run: &Path) -> PathBuf {
    let inner = run.join("model");
    if inner.is_dir() { inner } else { run.to_owned() }
}
