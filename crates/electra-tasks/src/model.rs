//! The folder of a fine-tuned model: an encoder in Hugging Face's format, a head, and `task.json`.

use crate::{
    Error, Result, Task,
    config::HeadConfig,
    heads::SentenceHead,
    objective::{HEAD, TaskNetwork},
    scores::Metric,
    task::Answers,
};
use electra_model::{
    ElectraConfig, EncoderConfig, Parts,
    hf::{self, Architecture},
    networks::variables,
    tensors::{self, Named},
};
use electra_tokenize::{Tokenizer, WordPiece};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tch::{Device, nn};

const FORMAT: u32 = 1;
const TASK: &str = "task.json";
const WEIGHTS: &str = "model.safetensors";

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

/// The shipped parts, for encoders whose `config.json` names none.
pub fn shipped_parts(config: &EncoderConfig) -> Parts {
    // Parts depend on the kinds alone, which every size has in common.
    Parts::from_config(&ElectraConfig::small(config.vocab_size))
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
        let (_, config) = hf::read_config(dir)?;
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
pub(crate) struct EncoderWeights {
    path: PathBuf,
    tensors: Named,
}

impl EncoderWeights {
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(WEIGHTS);
        let mut tensors = tensors::read(&path)?;
        tensors.retain(|(name, _)| name.starts_with("electra."));
        Ok(Self { path, tensors })
    }

    pub(crate) fn load(&self, vs: &nn::VarStore) -> Result<()> {
        let is_head =
            |name: &str| name.strip_prefix(HEAD).is_some_and(|rest| rest.starts_with('.'));
        Ok(tensors::load(&self.path, &self.tensors, &variables(vs)?, |_| false, is_head)?)
    }
}

/// Writes a model folder through a temporary one beside it.
pub(crate) fn write(
    dir: &Path,
    source: &Source,
    variables: &[(String, tch::Tensor)],
    info: &TaskInfo,
) -> Result<()> {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or("model");
    let temporary = dir.with_file_name(format!(".{name}.tmp"));
    if temporary.exists() {
        fs::remove_dir_all(&temporary).map_err(Error::io(&temporary))?;
    }
    fs::create_dir_all(&temporary).map_err(Error::io(&temporary))?;
    let pad = i64::from(source.pad());
    hf::write(&temporary, Architecture::ElectraModel, &source.config, pad, variables)?;
    source.tokenizer.write_pretrained(&temporary, source.config.max_positions as usize)?;
    let path = temporary.join(TASK);
    let json = serde_json::to_string_pretty(info).expect("plain values serialise");
    fs::write(&path, json + "\n").map_err(Error::io(&path))?;
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(Error::io(dir))?;
    }
    fs::rename(&temporary, dir).map_err(Error::io(dir))
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
    let shipped = shipped_parts(&source.config);
    let parts = parts.unwrap_or(&shipped);
    let network = TaskNetwork::new(&vs.root(), &source.config, parts, source.pad(), |path| {
        SentenceHead::new(path, &source.config, &info.head, &info.answers)
    })?;
    let path = dir.join(WEIGHTS);
    tensors::load(&path, &tensors::read(&path)?, &variables(&vs)?, |_| false, |_| false)?;
    Ok(Loaded { info, network, tokenizer: source.tokenizer })
}
