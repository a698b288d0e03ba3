//! The kinds of tasks, a folder each, and their table; kinds of other crates can be added to it.

pub mod multi_label;
pub mod multiple_choice;
pub mod sentence;
pub mod squad;
pub mod tagging;

use crate::{
    adopt::{Adopt, Foreign},
    answer::TaskModel,
    error::{Error, Result},
    model::{Header, MULTI, is_fine_tuned, write_info},
    model_kind::{ModelKind, adopt, open},
    pool::ModelSite,
    task::Task,
};
use electra_files::{Section, nearest, parse_toml};
use electra_model::hf;
use electra_scores::{SentenceTask, TaskFile, glue, multi_label::MultiLabelTask, squad::Version};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A task with the folder of its files, and the changes of its `task.toml` to the fine-tuning config.
#[derive(Clone, Debug)]
pub struct DescribedTask {
    /// The task.
    pub task: Arc<dyn Task>,
    /// The folder of its files.
    pub data: PathBuf,
    /// Keys of the fine-tuning config ([`crate::FinetuneConfig::for_task`]); empty if the file has none.
    pub config: Section,
}

/// A task, and the `[config]` section of its file.
pub type Described = Result<(Arc<dyn Task>, Section)>;

/// The header of a folder without `task.json`, or `None` if the folder is not of the kind.
pub type Untuned = fn(&Path) -> Result<Option<Header>>;

/// A kind of task.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The values of `kind` in a `task.toml`.
    pub task_toml: &'static [&'static str],
    /// The value of `kind` in a model's `task.json`.
    pub task_json: &'static str,
    /// Names of tasks, each with its `task.toml`.
    pub named: &'static [(&'static str, &'static str)],
    /// The task of a `task.toml` with `KEY=VALUE` overrides of its keys, and its `[config]` section.
    pub describe: fn(&TaskFile, &[String]) -> Described,
    /// Opens a model folder of the kind.
    pub open: fn(&ModelSite<'_>) -> Result<Box<dyn TaskModel>>,
    /// The header of a folder without `task.json`; `None` if the kind has only fine-tuned models.
    pub untuned: Option<Untuned>,
    /// The `task.json` of a folder that `transformers` wrote.
    pub adopt: Adopt,
}

impl Kind {
    /// A kind whose `task.toml` is a `T`, with these values of its key `kind`, and whose `task.json` is an `M`.
    pub const fn new<T: Task + DeserializeOwned + 'static, M: ModelKind>(
        task_toml: &'static [&'static str],
    ) -> Self {
        Self {
            task_toml,
            task_json: M::KIND,
            named: &[],
            describe: parse::<T>,
            open: open::<M>,
            untuned: None,
            adopt: adopt::<M>,
        }
    }
}

/// The kinds of this crate: a new one is a folder and an entry here.
const SHIPPED: &[Kind] = &[
    Kind::new::<SentenceTask, sentence::SentenceInfo>(&["classification", "regression"]),
    Kind::new::<MultiLabelTask, multi_label::MultiLabelInfo>(&["multi-label"]),
    Kind { named: squad::NAMED, ..Kind::new::<squad::SquadTask, squad::SquadInfo>(&["squad"]) },
    Kind::new::<tagging::TaggingTask, tagging::TaggingInfo>(&["tagging"]),
    Kind::new::<multiple_choice::ChoiceTask, multiple_choice::ChoiceInfo>(&["multiple-choice"]),
];

/// Kinds of tasks by name.
#[derive(Clone, Debug)]
pub struct Kinds(Vec<Kind>);

impl Default for Kinds {
    fn default() -> Self {
        Self(SHIPPED.to_vec())
    }
}

impl Kinds {
    /// Adds a kind of another crate.
    #[must_use]
    pub fn with(mut self, kind: Kind) -> Self {
        self.0.push(kind);
        self
    }

    /// The task of a `task.toml` with `KEY=VALUE` overrides of its keys, and its `[config]` section.
    ///
    /// # Errors
    /// Naming the file, line and key.
    pub fn describe(&self, file: &TaskFile, overrides: &[String]) -> Described {
        // Any parser reports a file without a kind, with the line.
        let wanted = file.kind().unwrap_or_else(|| self.0[0].task_toml[0].to_owned());
        let kind = self.0.iter().find(|kind| kind.task_toml.contains(&wanted.as_str()));
        let kind = kind.ok_or_else(|| {
            let known: Vec<&str> = self.0.iter().flat_map(|kind| kind.task_toml).copied().collect();
            Error::file(file.path(), format!("unknown kind {wanted:?}{}", nearest(&wanted, known)))
        })?;
        (kind.describe)(file, overrides)
    }

    /// The task of a `task.toml`, or of the folder that has one, without its `[config]` section.
    ///
    /// # Errors
    /// Naming the file, line and key.
    pub fn read(&self, path: &Path, overrides: &[String]) -> Result<Arc<dyn Task>> {
        Ok(self.describe(&TaskFile::read(path)?, overrides)?.0)
    }

    /// The task with this name, if there is one, with `KEY=VALUE` overrides of its keys.
    ///
    /// # Errors
    /// If an override has an unknown key.
    pub fn named(&self, name: &str, overrides: &[String]) -> Result<Option<Arc<dyn Task>>> {
        let mut named = self.0.iter().flat_map(|kind| kind.named);
        let Some((_, text)) = named.find(|(known, _)| *known == name) else { return Ok(None) };
        let file = TaskFile::from_text(name, (*text).to_owned());
        Ok(Some(self.describe(&file, overrides)?.0))
    }

    /// The task of `--task`: an existing `task.toml` or its folder, a name of GLUE or of [`Kind::named`]. `data` is the
    /// folder of its files (of GLUE's folders), by default that of `task.toml`; `overrides` are `KEY=VALUE` of its
    /// keys.
    ///
    /// # Errors
    /// Naming the file, line and key, or the folder that must be given.
    pub fn task(
        &self,
        task: &Path,
        data: Option<&Path>,
        overrides: &[String],
    ) -> Result<DescribedTask> {
        let name = task.to_str().filter(|_| !task.exists());
        let missing =
            |what: &str| Error::value("data", "not given", format!("must name {what} (--data)"));
        let config = Section::default();
        if let Some(row) = name.and_then(|name| glue::find(name).ok()) {
            let what = || missing(&format!("the folder that holds GLUE's folder {:?}", row.folder));
            let (task, data) = glue::open(row.name, data.ok_or_else(what)?)?;
            let task = Arc::new(with_overrides(&task, overrides)?);
            return Ok(DescribedTask { task, data, config });
        }
        if let Some(name) = name
            && let Some(task) = self.named(name, overrides)?
        {
            let what = || missing(&format!("the folder that holds the files of {name}"));
            let data = data.ok_or_else(what)?.to_owned();
            return Ok(DescribedTask { task, data, config });
        }
        let own = if task.is_dir() { Some(task) } else { task.parent() };
        let data = data.or(own).unwrap_or(task).to_owned();
        let (task, config) = self.describe(&TaskFile::read(task)?, overrides)?;
        Ok(DescribedTask { task, data, config })
    }

    /// Writes `task.json` into a folder that `transformers` wrote, so that [`crate::Predictor`] opens it. `task` is the
    /// name of the task, `texts` are the columns of its texts, and `squad` is the version of a model of questions.
    /// Returns false if no kind has such models.
    ///
    /// # Errors
    /// Naming the folder, if its labels or the columns do not suit the kind.
    pub fn adopt(&self, dir: &Path, task: &str, texts: &[String], squad: Version) -> Result<bool> {
        let config = hf::read_config(dir)?;
        let folder = Foreign::new(dir, &config, task, texts, squad);
        for kind in &self.0 {
            if let Some(info) = (kind.adopt)(&folder)? {
                write_info(dir, &info)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The header of a model folder: that of its `task.json`, or of [`Kind::untuned`].
    pub(crate) fn header(&self, dir: &Path) -> Result<Header> {
        if !is_fine_tuned(dir) {
            for untuned in self.0.iter().filter_map(|kind| kind.untuned) {
                if let Some(header) = untuned(dir)? {
                    return Ok(header);
                }
            }
        }
        Header::read(dir)
    }

    /// Opens a model folder by the kind of its header.
    pub(crate) fn open(&self, site: &ModelSite<'_>) -> Result<Box<dyn TaskModel>> {
        let wanted = site.header.kind.as_str();
        let message = match self.0.iter().find(|kind| kind.task_json == wanted) {
            Some(kind) => return (kind.open)(site),
            None if wanted == MULTI => {
                "has the models of several tasks: open the folder of one of them inside it"
                    .to_owned()
            }
            None => format!(
                "task.json: unknown kind of model {wanted:?}; only the program that trained it can open it"
            ),
        };
        Err(Error::file(site.dir, message))
    }
}

fn parse<T: Task + DeserializeOwned + 'static>(file: &TaskFile, overrides: &[String]) -> Described {
    let (task, config) = file.parse::<T>(overrides)?;
    task.validate()?;
    Ok((Arc::new(task), config))
}

/// `task` with `KEY=VALUE` overrides of its keys.
fn with_overrides<T: Serialize + DeserializeOwned>(task: &T, overrides: &[String]) -> Result<T> {
    let text = toml::to_string(task).expect("plain values serialize");
    Ok(parse_toml(&text, "task".as_ref(), overrides)?)
}
