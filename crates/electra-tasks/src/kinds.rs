//! The kinds of tasks, a folder each, and the one place that knows them by name.

pub mod multi_label;
pub mod sentence;
pub mod squad;
pub mod tagging;
pub mod winograd;

use crate::{
    answer::TaskModel,
    error::{Error, Result},
    model::MULTI,
    pool::ModelSite,
    task::Task,
};
use electra_files::{Section, nearest, parse_toml};
use electra_scores::{SentenceTask, TaskFile, glue, multi_label::MultiLabelTask};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A task with the folder of its files, and what its `task.toml` changes in the fine-tuning config.
#[derive(Clone, Debug)]
pub struct DescribedTask {
    /// The task.
    pub task: Arc<dyn Task>,
    /// The folder of its files.
    pub data: PathBuf,
    /// Keys of the fine-tuning config ([`crate::FinetuneConfig::for_task`]); empty if the file has none.
    pub config: Section,
}

/// The tasks with a name of their own besides GLUE's: SQuAD, by the official files' names, and WNLI by candidates.
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

/// A task, and the section `[config]` of its file.
pub type Described = Result<(Arc<dyn Task>, Section)>;

/// A kind of task.
struct Kind {
    /// The values of `kind` in a `task.toml`.
    task_toml: &'static [&'static str],
    /// The value of `kind` in a model's `task.json`.
    task_json: &'static str,
    /// The task of a `task.toml`, with `KEY=VALUE` overrides of its keys, and its section `[config]`.
    describe: fn(&TaskFile, &[String]) -> Described,
    /// Opens a model folder of the kind.
    open: fn(&ModelSite<'_>) -> Result<Box<dyn TaskModel>>,
}

/// A new kind is a folder and an entry here.
const KINDS: [Kind; 5] = [
    Kind {
        task_toml: &["classification", "regression"],
        task_json: sentence::KIND,
        describe: |file, overrides| {
            parse(file, overrides, |task: &SentenceTask| Ok(task.validate()?))
        },
        open: sentence::open,
    },
    Kind {
        task_toml: &["multi-label"],
        task_json: multi_label::KIND,
        describe: |file, overrides| {
            parse(file, overrides, |task: &MultiLabelTask| Ok(task.validate()?))
        },
        open: multi_label::open,
    },
    Kind {
        task_toml: &["squad"],
        task_json: squad::KIND,
        describe: |file, overrides| parse(file, overrides, squad::SquadTask::validate),
        open: squad::open,
    },
    Kind {
        task_toml: &["tagging"],
        task_json: tagging::KIND,
        describe: |file, overrides| parse(file, overrides, tagging::TaggingTask::validate),
        open: tagging::open,
    },
    Kind {
        task_toml: &["winograd"],
        task_json: winograd::KIND,
        describe: |file, overrides| parse(file, overrides, winograd::WinogradTask::validate),
        open: winograd::open,
    },
];

/// The task of a `task.toml`, with `KEY=VALUE` overrides of its keys, and its section `[config]`.
///
/// # Errors
/// Naming the file, line and key.
pub fn describe(file: &TaskFile, overrides: &[String]) -> Described {
    // A file without a kind is refused by whatever parses it, which names the line.
    let wanted = file.kind().unwrap_or_else(|| KINDS[0].task_toml[0].to_owned());
    let kind = KINDS.iter().find(|kind| kind.task_toml.contains(&wanted.as_str()));
    let kind = kind.ok_or_else(|| {
        let known: Vec<&str> = KINDS.iter().flat_map(|kind| kind.task_toml).copied().collect();
        Error::file(file.path(), format!("unknown kind {wanted:?}{}", nearest(&wanted, known)))
    })?;
    (kind.describe)(file, overrides)
}

/// Opens a model folder whose `task.json` names the kind.
pub(crate) fn open(site: &ModelSite<'_>) -> Result<Box<dyn TaskModel>> {
    let wanted = site.header.kind.as_str();
    match KINDS.iter().find(|kind| kind.task_json == wanted) {
        Some(kind) => (kind.open)(site),
        None if wanted == MULTI => {
            let message =
                "holds the models of several tasks: name the folder of one of them, in it";
            Err(Error::file(site.dir, message))
        }
        None => {
            let message =
                format!("task.json: this crate has no head for models of kind {wanted:?}");
            Err(Error::file(site.dir, message))
        }
    }
}

fn parse<T: Task + DeserializeOwned + 'static>(
    file: &TaskFile,
    overrides: &[String],
    validate: impl FnOnce(&T) -> Result<()>,
) -> Described {
    let (task, config) = file.parse::<T>(overrides)?;
    validate(&task)?;
    Ok((Arc::new(task), config))
}

impl DescribedTask {
    /// The task that `--task` names: an existing `task.toml` or its folder; GLUE's names, `squad1.1`, `squad2.0` and
    /// `wnli-candidates`. `data` is the folder of its files (of GLUE's folders), by default the one that `task.toml` is
    /// in. `overrides` are of its keys.
    ///
    /// # Errors
    /// Naming the file, line and key, or the folder that must be given.
    pub fn open(task: &Path, data: Option<&Path>, overrides: &[String]) -> Result<Self> {
        let name = task.to_str().filter(|_| !task.exists());
        let missing =
            |what: &str| Error::value("data", "not given", format!("must name {what} (--data)"));
        if let Some(row) = name.and_then(|name| glue::find(name).ok()) {
            let what = || missing(&format!("the folder that holds GLUE's folder {:?}", row.folder));
            let (task, data) = glue::open(row.name, data.ok_or_else(what)?)?;
            let task = Arc::new(with_overrides(&task, overrides)?);
            return Ok(Self { task, data, config: Section::default() });
        }
        if let Some(name) = name
            && let Some(task) = named(name, overrides)?
        {
            let what = || missing(&format!("the folder that holds the files of {name}"));
            let data = data.ok_or_else(what)?.to_owned();
            return Ok(Self { task, data, config: Section::default() });
        }
        let own = if task.is_dir() { Some(task) } else { task.parent() };
        let data = data.or(own).unwrap_or(task).to_owned();
        let (task, config) = describe(&TaskFile::read(task)?, overrides)?;
        Ok(Self { task, data, config })
    }
}

/// The task of a `task.toml`, or of the one in the folder `path`, without its section `[config]`.
///
/// # Errors
/// Naming the file, line and key.
pub fn read(path: &Path, overrides: &[String]) -> Result<Arc<dyn Task>> {
    Ok(describe(&TaskFile::read(path)?, overrides)?.0)
}

/// The task that is called `name`, if there is one, with `KEY=VALUE` overrides of its keys.
///
/// # Errors
/// If an override is of an unknown key.
pub fn named(name: &str, overrides: &[String]) -> Result<Option<Arc<dyn Task>>> {
    let Some((_, text)) = NAMED.iter().find(|(known, _)| *known == name) else { return Ok(None) };
    Ok(Some(describe(&TaskFile::from_text(name, (*text).to_owned()), overrides)?.0))
}

/// `task` with `KEY=VALUE` overrides of its keys.
fn with_overrides<T: Serialize + DeserializeOwned>(task: &T, overrides: &[String]) -> Result<T> {
    let text = toml::to_string(task).expect("plain values serialise");
    Ok(parse_toml(&text, "task".as_ref(), overrides)?)
}
