//! Behavior of the public interface: fine-tuning, prediction, submissions, and the whole pipeline.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod adopted;
mod bad_input;
mod batches;
mod custom_task;
mod e2e;
mod glue;
mod grid;
mod labels;
mod multi_label;
mod multiple_choice;
mod own_task;
mod parts;
mod predict;
mod presets;
mod questions;
mod report;
mod resume;
mod row_numbers;
mod several;
mod spans;
mod submit;
mod tags;

use electra_model::tensors;
use electra_scores::TaskFile;
use electra_tasks::Request;
use electra_tokenize::{TokenizerConfig, Vocab, WordPiece};
pub(crate) use electra_torch::testing::{device, device_name, train_device};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Checks that the message of an error contains each of `words`.
#[track_caller]
pub(crate) fn says<T: std::fmt::Debug, E: std::error::Error>(result: Result<T, E>, words: &[&str]) {
    let result = result.map_err(|error| error.to_string());
    let message = result.unwrap_err();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

/// The task that a `task.toml`, or the one in a folder, describes.
pub(crate) fn described<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    TaskFile::read(path).unwrap().parse(&[]).unwrap().0
}

/// A folder of transformers in `tests/fixtures/foreign`, with a vocabulary: the token with id 5 is `w5`.
pub(crate) fn foreign(name: &str) -> tempfile::TempDir {
    let (dir, source) = (tempfile::tempdir().unwrap(), root().join("tests/fixtures/foreign"));
    for file in ["config.json", "model.safetensors"] {
        fs::copy(source.join(name).join(file), dir.path().join(file)).unwrap();
    }
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let tokens = special.into_iter().chain((5..20).map(|i| format!("w{i}")));
    let vocab = Vocab::from_tokens(tokens.collect()).unwrap();
    let tokenizer = WordPiece::new(vocab, TokenizerConfig::default()).unwrap();
    tokenizer.write_pretrained(dir.path(), 16).unwrap();
    dir
}

/// Requests of single texts.
pub(crate) fn texts(texts: &[&str]) -> Vec<Request> {
    texts.iter().map(|text| Request::text(text)).collect()
}

/// Gives a model finite weights whose products are infinite: hidden states of 2, times 3e38 in `layer`.
#[track_caller]
pub(crate) fn break_layer(model: &Path, layer: &str) {
    let path = model.join("model.safetensors");
    let mut weights = tensors::read(&path).unwrap();
    assert!(weights.iter().any(|(name, _)| name == layer), "no {layer}");
    for (name, tensor) in &mut weights {
        let value = match name.as_str() {
            name if name == layer => 3e38,
            name if name.ends_with("output.LayerNorm.weight") => 0.0,
            name if name.ends_with("output.LayerNorm.bias") => 2.0,
            _ => continue,
        };
        let _ = tensor.fill_(value);
    }
    tensors::write(&path, &weights).unwrap();
}

/// Opens a model with each of several invalid values in its task.json.
pub(crate) fn with_key<T>(
    model: &Path,
    open: impl Fn(&Path) -> T,
) -> impl Fn(&str, serde_json::Value) -> T {
    let path = model.join("task.json");
    let plain: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    move |key, value| {
        let mut edited = plain.clone();
        *edited.pointer_mut(key).unwrap() = value;
        fs::write(&path, edited.to_string()).unwrap();
        open(path.parent().unwrap())
    }
}
