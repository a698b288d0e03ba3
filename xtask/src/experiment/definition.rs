//! Definitions of experiments and scales: `configs/experiments/*.toml`.

use crate::{files, sh, tasks};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// The folders below `configs`.
const DEFINITIONS: &str = "experiments";
const ABLATIONS: &str = "ablations";
/// The folder of the tasks whose data the repository has.
const SAMPLES: &str = "data/sample";
/// The prefix of a scale's file name.
const SCALE: &str = "scale-";
/// The config that all ablations extend. That of a scale takes its place.
const BASE: &str = "electra";

/// A comparison: one row per pre-training config.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Definition {
    pub(super) title: String,
    /// The origin of the comparison and of the scores in the rows.
    pub(super) source: String,
    pub(super) equal: Equal,
    /// The config of the row that the others are compared with.
    pub(super) baseline: String,
    /// The tasks to fine-tune on: of GLUE, or folders of `data/sample`. A scale may leave some out.
    pub(super) tasks: Vec<String>,
    /// Whether the model is also scored before the end of pre-training.
    #[serde(default)]
    pub(super) curve: bool,
    pub(super) rows: Vec<Row>,
}

/// What is the same for all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Equal {
    /// The FLOPs of pre-training.
    Flops,
    /// The updates of pre-training.
    Steps,
}

/// A row of the table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// The name of a file in `configs/ablations`.
    pub(super) config: String,
    pub(super) label: String,
    /// The published score, if there is one.
    pub(super) paper: Option<f64>,
    /// The model is scored only after this percentage of the updates.
    #[serde(default)]
    pub(super) scored_after: u64,
}

/// The sizes of pre-training and fine-tuning.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scale {
    /// The pre-training config that takes the place of `configs/ablations/electra.toml`.
    pub(super) pretrain: Table,
    pub(super) finetune: Finetune,
}

/// The settings of fine-tuning.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Finetune {
    /// The name of a file in `configs`.
    pub(super) config: String,
    /// Number of fine-tuning runs of each model and task. Their median is the score, as in the paper.
    pub(super) seeds: u64,
    /// Overrides of the config.
    #[serde(default)]
    pub(super) set: Vec<String>,
    /// The tasks of the scale, and their epochs.
    pub(super) epochs: BTreeMap<String, f64>,
}

impl Definition {
    /// Reads `configs/experiments/NAME.toml` and checks that it names existing tasks and configs.
    pub(super) fn read(configs: &Path, name: &str) -> Result<Self> {
        let known = names(configs)?;
        let definition: Self = read(configs, name, "experiment", &known)?;
        let file = file_of(configs, name);
        definition.check(configs).with_context(|| file.display().to_string())?;
        Ok(definition)
    }

    fn check(&self, configs: &Path) -> Result<()> {
        check_tasks(self.tasks.iter())?;
        let mut seen = BTreeSet::new();
        for row in &self.rows {
            let path = configs.join(ABLATIONS).join(format!("{}.toml", row.config));
            if !path.is_file() {
                bail!("row {:?}: there is no {}", row.label, path.display());
            }
            if !seen.insert(&row.config) {
                bail!("two rows have config = {:?}", row.config);
            }
        }
        if !seen.contains(&self.baseline) {
            bail!("baseline = {:?}: must be the config of a row", self.baseline);
        }
        Ok(())
    }
}

impl Scale {
    /// Reads `configs/experiments/scale-NAME.toml`.
    pub(super) fn read(configs: &Path, name: &str) -> Result<Self> {
        let known = scales(configs)?;
        if !known.iter().any(|other| other == name) {
            bail!("there is no scale {name:?}: use one of {}", known.join(", "));
        }
        let file = format!("{SCALE}{name}");
        let scale: Self = read(configs, &file, "scale", std::slice::from_ref(&file))?;
        check_tasks(scale.finetune.epochs.keys())
            .with_context(|| file_of(configs, &file).display().to_string())?;
        Ok(scale)
    }

    /// Copies the configs of the ablations to `folder/ablations`, over the scale's base instead of ELECTRA-Base, and the
    /// configs that these extend.
    pub(super) fn write_configs(&self, configs: &Path, folder: &Path) -> Result<()> {
        files::make_folder(folder.join(ABLATIONS))?;
        for (from, to) in [(configs.to_owned(), folder.to_owned()), pair(configs, folder)] {
            for path in tomls(&from)? {
                let name = path.file_name().unwrap_or_default();
                files::write(to.join(name), &files::read(&path)?)?;
            }
        }
        let base = toml::to_string(&self.pretrain)?;
        files::write(ablation(folder, BASE), &base)
    }
}

fn pair(configs: &Path, folder: &Path) -> (PathBuf, PathBuf) {
    (configs.join(ABLATIONS), folder.join(ABLATIONS))
}

/// The path of an ablation's config.
pub(super) fn ablation(configs: &Path, name: &str) -> PathBuf {
    configs.join(ABLATIONS).join(format!("{name}.toml"))
}

/// The names of all experiments.
pub(super) fn names(configs: &Path) -> Result<Vec<String>> {
    let stems = stems(&configs.join(DEFINITIONS))?;
    Ok(stems.into_iter().filter(|name| !name.starts_with(SCALE)).collect())
}

/// The names of all scales.
pub(super) fn scales(configs: &Path) -> Result<Vec<String>> {
    let stems = stems(&configs.join(DEFINITIONS))?;
    Ok(stems.iter().filter_map(|name| name.strip_prefix(SCALE).map(str::to_owned)).collect())
}

/// A config and the configs it extends, the nearest first, with their values.
pub(super) fn chain(path: &Path) -> Result<Vec<(PathBuf, Table)>> {
    let mut chain: Vec<(PathBuf, Table)> = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        if chain.iter().any(|(seen, _)| *seen == path) {
            bail!("{}: the config extends itself", path.display());
        }
        let table: Table =
            files::read(&path)?.parse().with_context(|| path.display().to_string())?;
        let base = table.get("extends").and_then(Value::as_str);
        next = base.map(|base| path.parent().unwrap_or(Path::new("")).join(base));
        chain.push((path, table));
    }
    Ok(chain)
}

/// The value of `section.key` in the nearest config of a chain that has it.
pub(super) fn number_in(chain: &[(PathBuf, Table)], section: &str, key: &str) -> Result<u64> {
    let value = chain.iter().find_map(|(_, table)| table.get(section)?.get(key)?.as_integer());
    let value = value.and_then(|value| u64::try_from(value).ok());
    let path = chain.first().map(|(path, _)| path.display().to_string()).unwrap_or_default();
    value.with_context(|| format!("{path}: {section}.{key} is missing"))
}

fn read<T: DeserializeOwned>(
    configs: &Path,
    name: &str,
    kind: &str,
    known: &[String],
) -> Result<T> {
    if !known.iter().any(|other| other == name) {
        bail!("there is no {kind} {name:?}: use one of {}", known.join(", "));
    }
    let path = file_of(configs, name);
    toml::from_str(&files::read(&path)?).with_context(|| path.display().to_string())
}

fn file_of(configs: &Path, name: &str) -> PathBuf {
    configs.join(DEFINITIONS).join(format!("{name}.toml"))
}

fn check_tasks<'a>(names: impl Iterator<Item = &'a String>) -> Result<()> {
    for name in names {
        if tasks::glue_folder(name).is_none() && sample_folder(name).is_none() {
            bail!(
                "{name:?} is not a task: use one of GLUE (`cargo xtask tasks --help`), or a folder of {SAMPLES} with a task.toml"
            );
        }
    }
    Ok(())
}

/// The folder of a sample task, relative to the repository; `None` if there is no such task.
pub(super) fn sample_folder(name: &str) -> Option<String> {
    let folder = format!("{SAMPLES}/{name}");
    sh::root().join(&folder).join("task.toml").is_file().then_some(folder)
}

fn stems(folder: &Path) -> Result<Vec<String>> {
    let stem = |path: &PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    Ok(tomls(folder)?.iter().filter_map(stem).collect())
}

/// The `.toml` files of a folder, sorted.
fn tomls(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let is_toml = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "toml");
    let mut paths: Vec<PathBuf> = paths.into_iter().filter(is_toml).collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs() -> PathBuf {
        sh::root().join("configs")
    }

    #[test]
    fn every_definition_names_existing_configs_and_tasks() {
        let names = names(&configs()).unwrap();
        for name in ["objectives", "sharing", "generator-size", "gdes", "learning-curve"] {
            assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
        }
        for name in &names {
            let definition = Definition::read(&configs(), name).unwrap();
            assert!(definition.rows.len() > 1, "{name}");
        }
    }

    /// A cell has one number of updates, so experiments that share a config give it the same number.
    #[test]
    fn shared_configs_have_the_same_updates_in_all_experiments() {
        let mut uses: BTreeMap<String, (Equal, String)> = BTreeMap::new();
        for name in names(&configs()).unwrap() {
            let definition = Definition::read(&configs(), &name).unwrap();
            // The updates of a baseline are those of the scale.
            let others = definition.rows.iter().filter(|row| row.config != definition.baseline);
            for row in others {
                let (equal, first) =
                    uses.entry(row.config.clone()).or_insert((definition.equal, name.clone()));
                assert_eq!(*equal, definition.equal, "{} in {first} and {name}", row.config);
            }
            if definition.equal == Equal::Flops {
                assert_eq!(definition.baseline, BASE, "{name}");
            }
        }
        assert_ne!(uses.get("electra").map(|(equal, _)| *equal), Some(Equal::Flops));
    }

    #[test]
    fn scales_lie_over_the_ablations() {
        let dir = tempfile::tempdir().unwrap();
        let names = scales(&configs()).unwrap();
        for name in ["base", "small", "tiny"] {
            assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
        }
        for name in &names {
            let scale = Scale::read(&configs(), name).unwrap();
            assert!(configs().join(&scale.finetune.config).is_file(), "{name}");
            let folder = dir.path().join(name);
            scale.write_configs(&configs(), &folder).unwrap();
            let chain = chain(&ablation(&folder, "gdes")).unwrap();
            let files: Vec<_> =
                chain.iter().map(|(path, _)| path.file_stem().unwrap().to_str().unwrap()).collect();
            assert_eq!(files[..3], ["gdes", "generator-1-1", "electra"]);
            assert!(files[3].starts_with("pretrain-"), "{files:?}");
            assert!(number_in(&chain, "train", "steps").unwrap() >= 4);
            assert!(number_in(&chain, "model", "vocab_size").unwrap() > 1000);
        }
    }

    #[test]
    fn faults_of_a_definition_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let configs = dir.path();
        for folder in [ABLATIONS, DEFINITIONS] {
            fs::create_dir(configs.join(folder)).unwrap();
        }
        fs::write(ablation(configs, "electra"), "").unwrap();
        let error = |text: &str| {
            fs::write(file_of(configs, "mine"), text).unwrap();
            format!("{:#}", Definition::read(configs, "mine").unwrap_err())
        };
        let text = |tasks: &str, rows: &str, baseline: &str| {
            let head = "title = \"\"\nsource = \"\"\nequal = \"steps\"";
            format!("{head}\nbaseline = \"{baseline}\"\ntasks = [{tasks}]\n{rows}")
        };
        let row = |config: &str| format!("[[rows]]\nconfig = \"{config}\"\nlabel = \"A\"\n");
        let found = error(&text("\"colla\"", &row("electra"), "electra"));
        assert!(
            found.contains("mine.toml") && found.contains("\"colla\" is not a task"),
            "{found}"
        );
        let found = error(&text("\"cola\"", &row("other"), "electra"));
        assert!(
            found.contains("row \"A\": there is no") && found.contains("other.toml"),
            "{found}"
        );
        assert_eq!(sample_folder("word-order").as_deref(), Some("data/sample/word-order"));
        assert_eq!(sample_folder("cola"), None);
        let found = error(&text("", &row("electra"), "other"));
        assert!(found.contains("baseline = \"other\""), "{found}");
        let found = error(&text("", &row("electra").repeat(2), "electra"));
        assert!(found.contains("two rows have config = \"electra\""), "{found}");
        let found = Definition::read(configs, "other").unwrap_err().to_string();
        assert_eq!(found, "there is no experiment \"other\": use one of mine");
        let found = Scale::read(configs, "huge").unwrap_err().to_string();
        assert!(found.starts_with("there is no scale \"huge\""), "{found}");
    }
}
