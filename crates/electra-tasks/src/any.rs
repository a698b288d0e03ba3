//! A task of any kind: what `task.toml` says by its key `kind`, and the tasks that have a name of their own.

use crate::{
    Error, MultiLabelTask, Result, SquadTask, TaggingTask, Task, glue::winograd::WinogradTask,
    task::Files,
};
use electra_files::{Section, parse_toml, parse_toml_with};
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

/// What a `task.toml` says: the task, and what it changes in the config that it is learned by.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskFile {
    /// The task.
    pub task: AnyTask,
    /// Its `[config]`: keys of a fine-tuning config ([`crate::FinetuneConfig::for_task`]); none where there is none.
    pub config: Section,
}

/// The name of that section.
const CONFIG: &str = "config";

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
        let Some((_, text)) = NAMED.iter().find(|(known, _)| *known == name) else {
            return Ok(None);
        };
        Ok(Some(TaskFile::parse(text, name.as_ref(), overrides)?.task))
    }

    /// The task of a [`TaskFile`], without what that says of the config.
    ///
    /// # Errors
    /// As [`TaskFile::read`].
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        Ok(TaskFile::read(path, overrides)?.task)
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

    /// Checks that the keys fit each other.
    fn validate(&self) -> Result<()> {
        match self {
            Self::Sentence(task) => task.validate(),
            Self::MultiLabel(task) => task.validate(),
            Self::Squad(task) => no_tables(&task.files),
            Self::Tagging(task) => task.validate().and_then(|()| no_tables(&task.files)),
            Self::Winograd(task) => task.validate().and_then(|()| no_tables(&task.files)),
        }
    }
}

/// Checks that nothing is said of the format of files that are no tables of one's own.
fn no_tables(files: &Files) -> Result<()> {
    let expected = "is for tables: the files of this kind of task have a format of their own";
    files.format.map_or(Ok(()), |format| Err(Error::value("files.format", format, expected)))
}

impl TaskFile {
    /// Reads `task.toml`, or the one in the folder `path`, with `KEY=VALUE` overrides of its keys.
    ///
    /// # Errors
    /// Naming the file, line and key.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let path = if path.is_dir() { path.join("task.toml") } else { path.to_owned() };
        let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
        Self::parse(&text, &path, overrides)
    }

    fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Peek {
            kind: Option<String>,
        }
        let kind = toml::from_str::<Peek>(text).ok().and_then(|peek| peek.kind);
        let file = match kind.as_deref() {
            Some("squad") => Self::of(AnyTask::Squad, text, path, overrides),
            Some("multi-label") => Self::of(AnyTask::MultiLabel, text, path, overrides),
            Some("tagging") => Self::of(AnyTask::Tagging, text, path, overrides),
            Some("winograd") => Self::of(AnyTask::Winograd, text, path, overrides),
            _ => Self::of(AnyTask::Sentence, text, path, overrides),
        }?;
        file.task.validate()?;
        Ok(file)
    }

    fn of<T: DeserializeOwned>(
        kind: fn(T) -> AnyTask,
        text: &str,
        path: &Path,
        overrides: &[String],
    ) -> Result<Self> {
        let (task, config) = parse_toml_with(text, path, CONFIG, overrides)?;
        Ok(Self { task: kind(task), config })
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
