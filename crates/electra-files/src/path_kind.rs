//! The kinds of folders that commands read, and what to do if a path has another one.

use crate::{
    Error, Result,
    name::parent,
    suggest::{did_you_mean, entries},
};
use std::path::{Component, Path, PathBuf};

/// The kind of a folder, recognized by its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A model in Hugging Face's format: `config.json`.
    Model,
    /// A run of `electra pretrain`: `config.toml` and `manifest.json`.
    Run,
    /// A checkpoint in a run: `state.json`.
    Checkpoint,
    /// The output of `electra finetune`, which may be a grid: `inputs.json`, `results.json` or `grid.json`.
    FineTuning,
    /// The output of `electra shards build`: `index.json`.
    Shards,
}

/// The kinds with the files that each must have, the most specific first.
const FILES: [(PathKind, &[&str]); 7] = [
    (PathKind::FineTuning, &["inputs.json"]),
    (PathKind::FineTuning, &["results.json"]),
    (PathKind::FineTuning, &["grid.json"]),
    (PathKind::Checkpoint, &["state.json"]),
    (PathKind::Run, &["config.toml", "manifest.json"]),
    (PathKind::Shards, &["index.json"]),
    (PathKind::Model, &["config.json"]),
];

/// Paths that a message lists at most.
const MOST: usize = 3;

impl PathKind {
    /// The kind of a folder; `None` if it is of no known kind, or not a folder.
    pub fn of(path: &Path) -> Option<Self> {
        let has = |files: &[&str]| files.iter().all(|file| path.join(file).is_file());
        FILES.iter().find(|(_, files)| has(files)).map(|&(kind, _)| kind)
    }

    /// Checks that `path` has a folder of this kind.
    ///
    /// # Errors
    /// [`Error::WrongPath`] with what is there instead, and the command or path to use.
    pub fn require(self, path: &Path) -> Result<()> {
        match Self::of(path) {
            Some(found) if found == self => Ok(()),
            found => Err(Error::wrong_path(path, self.instead(found, path))),
        }
    }

    /// The kind, with its article.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Model => "a model folder",
            Self::Run => "a run folder",
            Self::Checkpoint => "a checkpoint",
            Self::FineTuning => "the output of `electra finetune`",
            Self::Shards => "a folder of shards",
        }
    }

    /// Where folders of this kind come from.
    fn origin(self) -> &'static str {
        match self {
            Self::Model => "a model folder has it beside weights and vocabulary",
            Self::Run => "`electra pretrain` writes run folders",
            Self::Checkpoint => "checkpoints are in RUN/checkpoints",
            Self::FineTuning => "`electra finetune` writes such folders",
            Self::Shards => "`electra shards build` writes folders of shards",
        }
    }

    /// The files of a folder of this kind that `path` does not have.
    fn missing(self, path: &Path) -> String {
        let files = FILES.iter().filter(|(kind, _)| *kind == self).flat_map(|(_, files)| *files);
        let missing: Vec<&str> = files.copied().filter(|file| !path.join(file).is_file()).collect();
        missing.join(if self == Self::FineTuning { " or " } else { " and " })
    }

    /// What is at `path` instead of this kind, and what to do, to complete "PATH ...".
    fn instead(self, found: Option<Self>, path: &Path) -> String {
        let (shown, wanted) = (path.display(), self.name());
        let Some(found) = found else { return self.unknown(path) };
        let is = format!("is {}, not {wanted}", found.name());
        match (found, self) {
            (Self::Run | Self::Checkpoint, Self::Model) => {
                format!("{is}; export it first: electra export {shown} --out MODEL")
            }
            (Self::FineTuning, Self::Model | Self::Run | Self::Checkpoint) => {
                let model = path.join("model");
                match model.join("config.json").is_file() {
                    true if self == Self::Model => format!("{is}; use {}", model.display()),
                    _ => format!(
                        "{is}; to finish it, run the same `electra finetune` command with --resume"
                    ),
                }
            }
            (Self::Run, Self::Checkpoint) => {
                let newest = entries(&path.join("checkpoints")).pop();
                let newest = newest.map_or_else(
                    || "it has none yet".to_owned(),
                    |newest| format!("use one of its checkpoints, such as {}", newest.display()),
                );
                format!("{is}; {newest}")
            }
            (Self::Model, Self::Run | Self::Checkpoint) => format!(
                "{is}; to train it further, start a run with init.from = \"{shown}\" in its config"
            ),
            (Self::Checkpoint, Self::Run) => {
                let run = parent(parent(path)).display();
                format!("{is}; use its run folder, {run}")
            }
            (Self::Shards, Self::Run) => format!(
                "{is}; pre-train on it: electra pretrain CONFIG --set data.shards={shown} --out RUN"
            ),
            (Self::Model, Self::Shards) => format!(
                "{is}; to build shards with its vocabulary: electra shards build --corpus TEXT --vocab \
                 {shown}/vocab.txt --out SHARDS"
            ),
            (Self::Run, Self::Shards) => {
                format!("{is}; {shown}/config.toml has the path of its shards, data.shards")
            }
            _ => is,
        }
    }

    /// What is at a path that is of no known kind.
    fn unknown(self, path: &Path) -> String {
        let wanted = self.name();
        if path.is_file() {
            let parent = parent(path);
            return match Self::of(parent) == Some(self) {
                true => format!("is a file, not {wanted}; use its folder, {}", parent.display()),
                false => format!("is a file, not {wanted}"),
            };
        }
        if !path.is_dir() {
            return match hub_name(path) {
                Some(name) if self == Self::Model => format!(
                    "is not a folder, and nothing is downloaded: if it is a model of the Hugging Face Hub, get it with `hf \
                     download {name} --local-dir DIR` and use DIR"
                ),
                _ => format!("does not exist{}", did_you_mean(path)),
            };
        }
        let mut inside: Vec<PathBuf> = entries(path);
        inside.retain(|inner| Self::of(inner) == Some(self));
        match list(&inside) {
            Some(list) => format!("is not {wanted}, but contains such folders: {list}"),
            None => {
                let (missing, origin) = (self.missing(path), self.origin());
                format!("is not {wanted}: it has no {missing}; {origin}")
            }
        }
    }
}

/// The first paths, separated by commas; `None` if there are none.
fn list(paths: &[PathBuf]) -> Option<String> {
    let shown: Vec<String> = paths.iter().take(MOST).map(|p| p.display().to_string()).collect();
    let more = if paths.len() > MOST { ", …" } else { "" };
    (!shown.is_empty()).then(|| shown.join(", ") + more)
}

/// The name of a model of the Hugging Face Hub, `OWNER/NAME`, if a path looks like one and no folder is named `OWNER`.
fn hub_name(path: &Path) -> Option<&str> {
    let names: Vec<Component<'_>> = path.components().collect();
    let plain = |name: &Component<'_>| matches!(name, Component::Normal(_));
    (names.len() == 2 && names.iter().all(plain) && !parent(path).is_dir())
        .then(|| path.to_str())
        .flatten()
}
