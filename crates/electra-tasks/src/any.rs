//! A task of any kind: what `task.toml` says by its key `kind`, and the tasks that have a name of their own.

use crate::{MultiLabelTask, Result, SquadTask, TaggingTask, Task, glue::winograd::WinogradTask};
use electra_train::config::parse_toml;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{fs, path::Path};

/// A task of any kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum AnyTask {
    /// Classes or a number for a text or a pair: `kind = "classification"` or `"regression"`.
    Sentence(Task),
    /// A set of labels for a text or a pair: `kind = "multi-label"`.
    MultiLabel(MultiLabelTask),
    /// Spans of a text for a question: `kind = "squad"`.
    Squad(SquadTask),
    /// A tag for every word: `kind = "tagging"`.
    Tagging(TaggingTask),
    /// The antecedent of a pronoun among candidates: `kind = "winograd"`.
    Winograd(WinogradTask),
}

/// The tasks with a name of their own that are no table's: SQuAD, by the official files' names, and WNLI by candidates.
const NAMED: [(&str, &str); 3] = [
    (
        "wnli-candidates",
        "name = \"wnli-candidates\"\nkind = \"winograd\"\nmetric = \"accuracy\"\n\
         [files]\ntrain = \"WNLI/train.tsv\"\ndev = \"WNLI/dev.tsv\"\n",
    ),
    (
        "squad1.1",
        "name = \"squad1.1\"\nkind = \"squad\"\nversion = \"1.1\"\nmetric = \"f1\"\n\
         [files]\ntrain = \"train-v1.1.json\"\ndev = \"dev-v1.1.json\"\n",
    ),
    (
        "squad2.0",
        "name = \"squad2.0\"\nkind = \"squad\"\nversion = \"2.0\"\nmetric = \"f1\"\n\
         [files]\ntrain = \"train-v2.0.json\"\ndev = \"dev-v2.0.json\"\n",
    ),
];

impl AnyTask {
    /// The task that is called `name`, if there is one, with `KEY=VALUE` overrides of its keys.
    ///
    /// # Errors
    /// If an override is of no key.
    pub fn named(name: &str, overrides: &[String]) -> Result<Option<Self>> {
        let found = NAMED.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| Self::parse(text, name.as_ref(), overrides)).transpose()
    }

    /// Reads `task.toml`, or the one in the folder `path`, with `KEY=VALUE` overrides of its keys.
    ///
    /// # Errors
    /// Naming the file, line and key.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let path = if path.is_dir() { path.join("task.toml") } else { path.to_owned() };
        let text = fs::read_to_string(&path).map_err(crate::Error::io(&path))?;
        Self::parse(&text, &path, overrides)
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        match self {
            Self::Sentence(task) => &task.name,
            Self::MultiLabel(task) => &task.name,
            Self::Squad(task) => &task.name,
            Self::Tagging(task) => &task.name,
            Self::Winograd(task) => &task.name,
        }
    }

    fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Peek {
            kind: Option<String>,
        }
        let kind = toml::from_str::<Peek>(text).ok().and_then(|peek| peek.kind);
        Ok(match kind.as_deref() {
            Some("squad") => Self::Squad(parse_toml(text, path, overrides)?),
            Some("multi-label") => {
                let task: MultiLabelTask = parse_toml(text, path, overrides)?;
                task.validate()?;
                Self::MultiLabel(task)
            }
            Some("tagging") => {
                let task: TaggingTask = parse_toml(text, path, overrides)?;
                task.validate()?;
                Self::Tagging(task)
            }
            Some("winograd") => {
                let task: WinogradTask = parse_toml(text, path, overrides)?;
                task.validate()?;
                Self::Winograd(task)
            }
            _ => {
                let task: Task = parse_toml(text, path, overrides)?;
                task.validate()?;
                Self::Sentence(task)
            }
        })
    }
}

/// `task` with `KEY=VALUE` overrides of its keys.
///
/// # Errors
/// If an override is of no key.
pub fn with_overrides<T: Serialize + DeserializeOwned>(
    task: &T,
    overrides: &[String],
) -> Result<T> {
    let text = toml::to_string(task).expect("plain values serialise");
    Ok(parse_toml(&text, "task".as_ref(), overrides)?)
}
