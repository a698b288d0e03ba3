//! A cell: a config, pre-trained with one seed, exported and fine-tuned. Its folder is shared by all experiments.

use super::definition;
use crate::{files, sh};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The points of pre-training at which a model is exported, in percent of the updates. Always the same, so that a cell does
/// not depend on the experiment.
pub(super) const POINTS: [u64; 4] = [25, 50, 75, END];
pub(super) const END: u64 = 100;

const RECORD: &str = "cell.json";
const RUN: &str = "run";
const RESULTS: &str = "results.json";

/// What all cells of a scale have in common.
#[derive(Debug)]
pub(super) struct Setting {
    /// The program `electra`.
    pub(super) electra: String,
    /// The configs of the scale.
    pub(super) configs: PathBuf,
    pub(super) shards: PathBuf,
    pub(super) glue: PathBuf,
    pub(super) finetune: Finetune,
}

/// Fine-tuning of each cell.
#[derive(Debug)]
pub(super) struct Finetune {
    pub(super) config: PathBuf,
    pub(super) seeds: u64,
    pub(super) set: Vec<String>,
    /// The tasks, with their epochs, in the order of the table.
    pub(super) tasks: Vec<(String, f64)>,
}

#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) config: String,
    pub(super) seed: u64,
    /// Updates of pre-training.
    pub(super) updates: u64,
    pub(super) flops_per_update: f64,
    /// The points at which it is scored.
    pub(super) points: Vec<u64>,
    pub(super) folder: PathBuf,
}

/// A command of a cell.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The key in `cell.json`.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) command: Vec<String>,
    /// The hash of the config.
    config: String,
    output: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Pre-training from one point to another.
    Pretrain {
        from: u64,
        to: u64,
    },
    Export,
    Finetune {
        task: String,
    },
}

/// The contents of `cell.json`: the commands that were started.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) config: String,
    pub(super) flops_per_update: f64,
    pub(super) steps: BTreeMap<String, Entry>,
}

/// A command that was started.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    command: String,
    /// The hash of the config.
    config: String,
    pub(super) finished: bool,
    /// The time it took, over all attempts.
    pub(super) seconds: f64,
    /// The updates of pre-training, or 0.
    pub(super) updates: u64,
}

impl Cell {
    /// The number of updates at a point.
    pub(super) fn updates_at(&self, point: u64) -> u64 {
        self.updates * point / END
    }

    /// The results of a task at a point.
    pub(super) fn results(&self, task: &str, point: u64) -> PathBuf {
        self.finetuned(task, point).join(RESULTS)
    }

    fn finetuned(&self, task: &str, point: u64) -> PathBuf {
        self.folder.join("tasks").join(format!("{task}-{point}"))
    }

    fn model(&self, point: u64) -> PathBuf {
        self.folder.join(format!("model-{point}"))
    }

    /// All commands of the cell, in their order.
    pub(super) fn steps(&self, setting: &Setting) -> Result<Vec<Step>> {
        let path = definition::ablation(&setting.configs, &self.config);
        let config = hash(&path)?;
        let mut steps = Vec::new();
        let mut before = 0;
        for point in POINTS {
            let updates = self.updates_at(point);
            steps.push(Step {
                name: format!("pretrain-{point}"),
                kind: Kind::Pretrain { from: before, to: updates },
                command: self.pretrain(setting, &path, before, updates),
                config: config.clone(),
                output: self.folder.join(RUN),
            });
            let (checkpoint, model) = (self.checkpoint(updates), self.model(point));
            let command = [&setting.electra, "export", &text(&checkpoint), "--out", &text(&model)];
            steps.push(Step {
                name: format!("export-{point}"),
                kind: Kind::Export,
                command: sh::words(command),
                config: config.clone(),
                output: model,
            });
            before = updates;
        }
        let config = hash(&setting.finetune.config)?;
        for (task, epochs) in &setting.finetune.tasks {
            for point in &self.points {
                steps.push(Step {
                    name: format!("{task}-{point}"),
                    kind: Kind::Finetune { task: task.clone() },
                    command: self.finetune(setting, task, *epochs, *point),
                    config: config.clone(),
                    output: self.finetuned(task, *point),
                });
            }
        }
        Ok(steps)
    }

    fn checkpoint(&self, updates: u64) -> PathBuf {
        self.folder.join(RUN).join("checkpoints").join(format!("step-{updates:07}"))
    }

    fn pretrain(&self, setting: &Setting, config: &Path, from: u64, to: u64) -> Vec<String> {
        let run = text(&self.folder.join(RUN));
        let mut command = if from == 0 {
            let mut command = sh::words([&setting.electra, "pretrain", &text(config)]);
            let sets = [
                format!("data.shards={}", text(&setting.shards)),
                format!("train.steps={}", self.updates),
                format!("train.seed={}", self.seed),
            ];
            for set in &sets {
                command.extend(sh::words(["--set", set]));
            }
            command.extend(sh::words(["--out", &run]));
            command
        } else {
            self.resume(setting)
        };
        if to < self.updates {
            command.extend(sh::words(["--stop-after", &to.to_string()]));
        }
        command
    }

    fn resume(&self, setting: &Setting) -> Vec<String> {
        sh::words([&setting.electra, "pretrain", "--resume", &text(&self.folder.join(RUN))])
    }

    fn finetune(&self, setting: &Setting, task: &str, epochs: f64, point: u64) -> Vec<String> {
        let Finetune { config, seeds, set, .. } = &setting.finetune;
        let (name, data) = match definition::sample_folder(task) {
            Some(folder) => (folder.clone(), folder),
            None => (task.to_owned(), text(&setting.glue)),
        };
        let mut command = sh::words([
            &setting.electra,
            "finetune",
            "--task",
            &name,
            "--data",
            &data,
            "--model",
            &text(&self.model(point)),
            "--config",
            &text(config),
            "--seeds",
            &seeds.to_string(),
        ]);
        // Different for each cell, and for each of its runs.
        let seed = (self.seed - 1) * seeds + 1;
        let own = [format!("train.epochs={epochs:?}"), format!("train.seed={seed}")];
        for set in set.iter().chain(&own) {
            command.extend(sh::words(["--set", set]));
        }
        command.extend(sh::words(["--out", &text(&self.finetuned(task, point))]));
        command
    }

    /// The steps that are not finished.
    ///
    /// # Errors
    /// If a step was run with another command or config.
    pub(super) fn missing(&self, setting: &Setting) -> Result<Vec<Step>> {
        let record = Record::read(&self.folder)?;
        let mut missing = Vec::new();
        for step in self.steps(setting)? {
            if !self.is_finished(&step, &record)? {
                missing.push(step);
            }
        }
        Ok(missing)
    }

    fn is_finished(&self, step: &Step, record: &Record) -> Result<bool> {
        let Some(entry) = record.steps.get(&step.name) else { return Ok(false) };
        let (now, folder) = (sh::shown(&step.command), self.folder.display());
        let advice = format!("move {folder} away, or use another --out");
        if entry.command != now {
            let name = &step.name;
            bail!(
                "{folder} has {name} from another command: {advice}\n  it was {}\n  now it is {now}",
                entry.command
            );
        }
        if entry.config != step.config {
            bail!("{folder}: the config of {} has changed since it was run: {advice}", step.name);
        }
        // The run of a complete cell may be deleted to save space.
        let kept = matches!(step.kind, Kind::Pretrain { .. }) || step.output.exists();
        Ok(entry.finished && kept)
    }

    /// Runs the steps that are not finished. Output goes to `log`, or to the terminal.
    ///
    /// # Errors
    /// If a command fails or is interrupted.
    pub(super) fn run(
        &self,
        setting: &Setting,
        env: &[(&str, &str)],
        log: Option<&Path>,
    ) -> Result<()> {
        files::make_folder(&self.folder)?;
        let mut record = Record::read(&self.folder)?;
        record.config.clone_from(&self.config);
        record.flops_per_update = self.flops_per_update;
        for step in self.steps(setting)? {
            if self.is_finished(&step, &record)? {
                continue;
            }
            let updates = match step.kind {
                Kind::Pretrain { from, to } => to - from,
                _ => 0,
            };
            let entry = record.steps.entry(step.name.clone()).or_insert_with(|| Entry {
                command: sh::shown(&step.command),
                config: step.config.clone(),
                finished: false,
                seconds: 0.0,
                updates,
            });
            let before = entry.seconds;
            record.write(&self.folder)?;
            let start = std::time::Instant::now();
            let done = match self.command_now(setting, &step)? {
                Some(command) => sh::run_with(&command, env, log).map(drop),
                None => Ok(()),
            };
            if let Some(entry) = record.steps.get_mut(&step.name) {
                entry.seconds = before + start.elapsed().as_secs_f64();
                entry.finished = done.is_ok();
            }
            record.write(&self.folder)?;
            done?;
        }
        Ok(())
    }

    /// The command that begins or resumes a step; `None` if its output is already complete.
    fn command_now(&self, setting: &Setting, step: &Step) -> Result<Option<Vec<String>>> {
        let mut command = step.command.clone();
        match step.kind {
            Kind::Pretrain { to, .. } => match newest_checkpoint(&step.output)? {
                Some(done) if done >= to => return Ok(None),
                Some(_) => {
                    command = self.resume(setting);
                    if to < self.updates {
                        command.extend(sh::words(["--stop-after", &to.to_string()]));
                    }
                }
                None if step.output.exists() => command.push("--overwrite".to_owned()),
                None => {}
            },
            Kind::Export if step.output.exists() => command.push("--overwrite".to_owned()),
            Kind::Finetune { .. } if step.output.exists() => command.push("--resume".to_owned()),
            _ => {}
        }
        Ok(Some(command))
    }
}

impl Record {
    /// The record of a cell; empty before its first step.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(RECORD);
        if !path.exists() {
            return Ok(Self::default());
        }
        serde_json::from_str(&files::read(&path)?).with_context(|| {
            format!("{}: damaged; move the folder away to run it again", path.display())
        })
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(RECORD);
        let new = path.with_extension("new");
        files::write(&new, &serde_json::to_string_pretty(self)?)?;
        fs::rename(&new, &path).with_context(|| path.display().to_string())
    }

    /// The records of all cells below a folder.
    pub(super) fn all(runs: &Path) -> Result<Vec<Self>> {
        let entries = walkdir::WalkDir::new(runs).min_depth(3).max_depth(3).sort_by_file_name();
        let found = entries.into_iter().flatten().filter(|entry| entry.file_name() == RECORD);
        found.map(|entry| Self::read(entry.path().parent().unwrap_or(runs))).collect()
    }
}

/// The number of updates of the newest checkpoint of a run.
fn newest_checkpoint(run: &Path) -> Result<Option<u64>> {
    let folder = run.join("checkpoints");
    if !folder.exists() {
        return Ok(None);
    }
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let updates = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("step-")?.parse().ok());
    Ok(updates.max())
}

/// A hash of the values of a config and of those it extends. Comments do not count.
fn hash(config: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    for (_, table) in definition::chain(config)? {
        hasher.update(toml::to_string(&table)?);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
impl Step {
    /// A step without a command.
    pub(super) fn new_for_test(kind: Kind) -> Self {
        let none = String::new();
        Self { name: none.clone(), kind, command: vec![], config: none, output: "o".into() }
    }
}
