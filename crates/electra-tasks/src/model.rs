//! The folder of a fine-tuned model of any kind: an encoder in Hugging Face's format, a head, and `task.json`.

use crate::{
    Error, FinetuneConfig, Problem, Result,
    config::HeadConfig,
    heads::Head,
    objective::{HEAD, SharedNetwork, TaskNetwork},
    problem::{HeadClass, Remembered},
    scores::Metric,
};
use electra_model::{
    EncoderConfig, Parts,
    hf::{self, Architecture, Pretrained},
    tensors::Named,
};
use electra_tokenize::{Tokenizer, WordPiece};
use electra_train::{Existing, folder};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tch::{Device, nn};

/// The version of `task.json` that is written and read.
pub(crate) const FORMAT: u32 = 1;
const TASK: &str = "task.json";
/// Tokens of the shortest input: three special ones and one of text, as for `train.max_length`.
const LEAST_LENGTH: i64 = 4;

/// What `task.json` says whatever the kind of task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the file's format.
    pub format: u32,
    /// The kind of task; `sentence` where files of earlier versions have none.
    #[serde(default)]
    pub kind: Kind,
    /// The task's name.
    pub task: String,
    /// What the task is judged by.
    pub metric: Metric,
    /// Longest input in tokens.
    pub max_length: usize,
    /// The head's settings.
    pub head: HeadConfig,
    /// The seed that the model is of.
    pub seed: u64,
}

/// A kind of task, as `task.json` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Classes or a number for a text or a pair.
    #[default]
    Sentence,
    /// A set of labels for a text or a pair.
    MultiLabel,
    /// Spans of a text for a question.
    Squad,
    /// A tag for every word.
    Tagging,
    /// The antecedent of a pronoun among candidates.
    Winograd,
    /// Several tasks: each has a model of its own in the folder.
    Multi,
    /// One of your own, with a head that this crate does not know.
    Own,
}

impl Header {
    /// What a model of the kind and the config begins with.
    pub fn new<P: Problem>(kind: Kind, problem: &P, config: &FinetuneConfig, seed: u64) -> Self {
        Self {
            format: FORMAT,
            kind,
            task: problem.name().to_owned(),
            metric: problem.metric(),
            max_length: config.train.max_length,
            head: config.head.clone(),
            seed,
        }
    }

    /// What the folder of a fine-tuned model says of itself.
    ///
    /// # Errors
    /// If it has no `task.json`, or one of another version.
    pub fn read(dir: &Path) -> Result<Self> {
        let header: Self = read_info(dir)?;
        match header.format {
            FORMAT => Ok(header),
            other => {
                let message = format!("format {other}, this version reads {FORMAT}");
                Err(Error::file(dir.join(TASK), message))
            }
        }
    }

    /// Checks that the encoder of the folder can be given inputs of this length.
    ///
    /// # Errors
    /// Naming `task.json` and the key.
    pub(crate) fn check(&self, dir: &Path, encoder: &EncoderConfig) -> Result<()> {
        let (length, most) = (self.max_length, encoder.max_positions);
        match i64::try_from(length) {
            Ok(length) if (LEAST_LENGTH..=most).contains(&length) => Ok(()),
            _ => {
                let expected =
                    format!("must be from {LEAST_LENGTH} to {most}, the positions of the model");
                Err(invalid(dir)(Error::value("max_length", length, expected)))
            }
        }
    }
}

/// `task.json` as whatever its kind has in it.
fn read_info<T: DeserializeOwned>(dir: &Path) -> Result<T> {
    let path = dir.join(TASK);
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    serde_json::from_str(&text).map_err(|e| Error::file(&path, e))
}

/// A value of `task.json` that nothing can be made with, as an error that names the file too.
pub(crate) fn invalid(dir: &Path) -> impl FnOnce(Error) -> Error {
    let path = dir.join(TASK);
    |error| Error::file(path, error)
}

/// Checks that a network of the folder has an embedding for every token.
///
/// # Errors
/// If it has fewer.
pub fn check_vocabulary(dir: &Path, tokenizer: &WordPiece, encoder: &EncoderConfig) -> Result<()> {
    match tokenizer.vocab().len() {
        tokens if tokens as i64 > encoder.vocab_size => {
            let sizes =
                format!("the vocabulary has {tokens} tokens, the model {}", encoder.vocab_size);
            Err(Error::file(dir, sizes))
        }
        _ => Ok(()),
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
        check_vocabulary(dir, &tokenizer, &config)?;
        Ok(Self { config, tokenizer })
    }

    pub(crate) fn pad(&self) -> u32 {
        self.tokenizer.vocab().special().pad
    }
}

/// The encoder's weights of a folder: `electra.*`. Heads of pre-training or of another task stay behind, but for the one
/// that is asked for.
#[derive(Debug)]
pub(crate) struct EncoderWeights(Pretrained);

impl EncoderWeights {
    /// Weights with those of the head that the folder calls `head`, if one is.
    pub(crate) fn read(dir: &Path, head: Option<&str>) -> Result<Self> {
        let mut pretrained = Pretrained::read(dir)?;
        for note in &pretrained.notes {
            tracing::info!("{}: {note}", dir.display());
        }
        let begun = head.map(|head| {
            let under =
                |name: &str| name.strip_prefix(head).is_some_and(|rest| rest.starts_with('.'));
            let own = pretrained.tensors.iter().filter(|(name, _)| under(name));
            let own: Named = own.map(|(name, x)| (name.clone(), x.shallow_clone())).collect();
            match own.is_empty() {
                true => {
                    let message = format!(
                        "has no {head}.*: the task begins with the head of a discriminator"
                    );
                    Err(Error::file(dir, message))
                }
                false => Ok(renamed(&own, head, HEAD)),
            }
        });
        let begun = begun.transpose()?.unwrap_or_default();
        // A head of the same name, of another task, would be loaded or be of a wrong shape.
        pretrained.tensors.retain(|(name, _)| !hf::is_head(name));
        pretrained.tensors.extend(begun);
        Ok(Self(pretrained))
    }

    pub(crate) fn load(&self, vs: &nn::VarStore) -> Result<()> {
        Ok(self.0.load_encoder(vs, hf::is_head)?)
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

/// Writes a model folder, whole or not at all; its card is written when all seeds are done.
pub(crate) fn write(
    dir: &Path,
    source: &Source,
    variables: &[(String, tch::Tensor)],
    remembered: &Remembered,
) -> Result<()> {
    folder::whole(dir, Existing::Replace, folder::MODEL, |dir| {
        fill(dir, source, variables, remembered)
    })
}

/// Writes a model into a folder, and those that share its encoder into folders in it.
fn fill(
    dir: &Path,
    source: &Source,
    variables: &[(String, tch::Tensor)],
    remembered: &Remembered,
) -> Result<()> {
    let Remembered { info, class, members } = remembered;
    let under =
        |name: &str, path: &str| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    let shared = |name: &str| members.is_empty() || !under(name, HEAD);
    let own: Vec<_> = variables.iter().filter(|(name, _)| shared(name)).collect();
    let own: Named = own.into_iter().map(|(name, x)| (name.clone(), x.shallow_clone())).collect();
    let config = hf::Config {
        labels: class.labels.clone(),
        classifier_dropout: class.dropout,
        ..hf::Config::new(class.architecture, source.config.clone(), i64::from(source.pad()))
    };
    hf::write(dir, &config, &renamed(&own, HEAD, class.head))?;
    source.tokenizer.write_pretrained(dir, source.config.max_positions as usize)?;
    write_info(dir, info)?;
    for member in members {
        let dir = dir.join(&member.folder);
        fs::create_dir(&dir).map_err(Error::io(&dir))?;
        let path = format!("{HEAD}.{}", member.variables);
        let variables =
            variables.iter().filter(|(name, _)| !under(name, HEAD) || under(name, &path));
        let variables: Named =
            variables.map(|(name, x)| (name.clone(), x.shallow_clone())).collect();
        fill(&dir, source, &renamed(&variables, &path, HEAD), &member.remembered)?;
    }
    Ok(())
}

/// Writes `task.json`.
pub(crate) fn write_info<T: Serialize>(dir: &Path, info: &T) -> Result<()> {
    let path = dir.join(TASK);
    let json = serde_json::to_string_pretty(info).expect("plain values serialise");
    fs::write(&path, json + "\n").map_err(Error::io(&path))
}

/// Whether a folder is of a fine-tuned model.
pub fn is_fine_tuned(dir: &Path) -> bool {
    dir.join(TASK).exists()
}

/// The model folder of a fine-tuning run, or `run` itself where it has none: it is one then.
pub fn folder_of(run: &Path) -> PathBuf {
    let inner = run.join("model");
    if inner.is_dir() { inner } else { run.to_owned() }
}

/// Copies the model of a fine-tuning run (or a model folder) to where `transformers` is to load it.
///
/// # Errors
/// If it has the reference's head, which `transformers` has no class for, or `out` is not empty or no model to
/// replace.
pub fn export(run: &Path, out: &Path, existing: Existing) -> Result<()> {
    let dir = folder_of(run);
    let kind = Header::read(&dir)?.kind;
    if hf::read_config(&dir)?.architecture == Architecture::ElectraModel {
        let message = match kind {
            Kind::Multi => {
                "is the encoder of several tasks: export the folder of one of them, in it; or load the encoder with \
                 AutoModel"
            }
            Kind::Own => {
                "has a head of its own kind, which transformers has no class for; load its encoder with AutoModel"
            }
            _ => {
                "has the reference's head, which transformers has no class for; fine-tune with --set head.kind=hf to \
                 export a model with its head, or load its encoder with AutoModel"
            }
        };
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

/// A fine-tuned model, read; threads share it.
#[derive(Debug)]
pub(crate) struct Model<I, H> {
    pub(crate) info: I,
    pub(crate) network: SharedNetwork<H>,
    pub(crate) tokenizer: WordPiece,
}

/// Reads a folder that [`write`] made for the kind of task; every tensor must be there and no other. `class` says
/// what the folder calls the head, and `head` builds it.
pub(crate) fn read<I: DeserializeOwned, H: Head>(
    dir: &Path,
    device: Device,
    parts: Option<&Parts>,
    kind: Kind,
    class: impl FnOnce(&I) -> HeadClass,
    head: impl FnOnce(&nn::Path<'_>, &EncoderConfig, &I) -> electra_model::Result<H>,
) -> Result<Model<I, H>> {
    let header = Header::read(dir)?;
    if header.kind != kind {
        let message = format!(
            "a model of the kind {:?}, which has a reader of its own; asked for was {kind:?}",
            header.kind
        );
        return Err(Error::file(dir.join(TASK), message));
    }
    let info: I = read_info(dir)?;
    let source = Source::read(dir)?;
    header.check(dir, &source.config)?;
    let vs = nn::VarStore::new(device);
    let shipped = Parts::shipped();
    let parts = parts.unwrap_or(&shipped);
    let network = TaskNetwork::new(&vs.root(), &source.config, parts, source.pad(), |path| {
        head(path, &source.config, &info)
    })?;
    let mut pretrained = Pretrained::read(dir)?;
    pretrained.tensors = renamed(&pretrained.tensors, class(&info).head, HEAD);
    pretrained.load(&vs)?;
    Ok(Model { info, network: SharedNetwork::new(network), tokenizer: source.tokenizer })
}
