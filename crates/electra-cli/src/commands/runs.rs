//! `electra runs`: a table of the runs in a folder.

use super::{
    run_folders::{INPUTS, NotShown, RESULTS, RunFolders, name, no_run, seeds},
    table::table,
};
use crate::console;
use anyhow::ensure;
use clap::Parser;
use electra_files::{folder, if_there, read_json};
use electra_scores::{Metric, metrics::Summary};
use electra_tasks::{Report, report::SeedReport};
use electra_train::{
    report::RunLog,
    run_dir::RunDir,
    state,
    summary::{bytes, short, time},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};
use walkdir::WalkDir;

/// List the runs in a folder.
///
/// Lists the runs of `electra pretrain` and `electra finetune` in the folder and its subfolders. Runs may be in training: they are only read. `tokens` is the number that a run has been trained on, without padding, by the
/// mean length of its examples. `loss` is the last held-out loss of a pre-training run, and the last training loss of
/// fine-tuning. `score` is the discriminator's held-out AUC (without a discriminator, the accuracy at the masked positions); of
/// fine-tuning the median of the finished seeds on dev. `age` is the time since the last row of metrics. Folders without a
/// readable run are listed below the table.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  electra runs runs
  electra runs . --json")]
pub(crate) struct Args {
    /// The folder.
    dir: PathBuf,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// A run of pre-training, or a folder of fine-tuning.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    kind: Kind,
    /// The objective, or the task.
    objective: String,
    state: State,
    /// Updates done, of all seeds.
    step: u64,
    /// Total number of updates; not known before fine-tuning is finished.
    steps: Option<u64>,
    tokens: Option<u64>,
    parameters: Option<i64>,
    loss: Option<f64>,
    score: Option<Score>,
    age_seconds: Option<u64>,
    bytes: u64,
    /// The seeds of fine-tuning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seeds: Vec<Seed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    PreTraining,
    FineTuning,
}

/// A run is running if its lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Running,
    Finished,
    Stopped,
}

#[derive(Debug, Serialize)]
struct Score {
    metric: String,
    value: f64,
}

#[derive(Debug, Serialize)]
struct Seed {
    seed: u64,
    finished: bool,
    step: u64,
    dev: Option<f64>,
}

const HEADER: [&str; 10] = [
    "run",
    "objective",
    "state",
    "updates",
    "tokens",
    "parameters",
    "loss",
    "score",
    "age",
    "size",
];

/// The columns of text, which are aligned to the left.
const TEXTS: usize = 3;

/// Held-out metrics in the column `score`, the first that a run has, with short names.
const SCORES: [(&str, &str); 2] =
    [("discriminator_auc", "AUC"), ("masked_lm_accuracy", "accuracy")];

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let dir = &self.dir;
        let RunFolders { pretraining, finetuning, unreadable: mut not_shown } =
            RunFolders::find(dir)?;
        let pretraining = pretraining.iter().map(|run| (run, Row::of_pretraining(dir, run)));
        let finetuning = finetuning.iter().map(|run| (run, Row::of_finetuning(dir, run)));
        let mut rows = Vec::new();
        for (path, row) in pretraining.chain(finetuning) {
            match row {
                Ok(row) => rows.push(row),
                Err(error) => {
                    not_shown
                        .push(NotShown { name: name(dir, path), reason: format!("{error:#}") });
                }
            }
        }
        ensure!(!rows.is_empty() || !not_shown.is_empty(), no_run(dir));
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        if self.json {
            let results = json!({ "runs": rows, "not_shown": not_shown });
            console::print(serde_json::to_string_pretty(&results)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let cells = rows.iter().map(Row::cells).collect();
        table(HEADER, TEXTS, &[cells]).iter().try_for_each(console::print)?;
        for folder in &not_shown {
            console::print(format_args!("not shown: {}: {}", folder.name, folder.reason))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Row {
    fn of_pretraining(dir: &Path, path: &Path) -> anyhow::Result<Self> {
        let run = RunDir::open(path)?;
        let log = RunLog::read("", &run)?;
        let done = state::steps_done(path)?;
        let step = done.max(log.step());
        let steps = integer(&log.config, "train", "steps");
        let batch = integer(&log.config, "train", "batch_size")
            .zip(integer(&log.config, "train", "accumulate"))
            .map(|(size, passes)| size * passes);
        // A run of another program's objective may have other files.
        let split = run.shards().ok().map(|index| index.train);
        let tokens = batch.zip(split.filter(|split| split.examples > 0)).map(|(batch, split)| {
            let length = split.tokens as f64 / split.examples as f64;
            (length * (batch * step) as f64) as u64
        });
        let held_out = log.last("evaluate");
        let metric = |name: &str| held_out?.get(name)?.as_f64();
        let last = || log.last("train")?.get("loss")?.as_f64();
        let score = SCORES.iter().find_map(|(name, short)| {
            Some(Score { metric: (*short).to_owned(), value: metric(name)? })
        });
        Ok(Self {
            name: name(dir, path),
            kind: Kind::PreTraining,
            objective: log.manifest.objective.clone(),
            state: State::of(path, steps.is_some_and(|steps| done >= steps))?,
            step,
            steps,
            tokens,
            parameters: Some(log.manifest.parameters),
            loss: metric("loss").or_else(last),
            score,
            age_seconds: age(&[&run.metrics(), &path.join("manifest.json")]),
            bytes: size(path),
            seeds: Vec::new(),
        })
    }

    fn of_finetuning(dir: &Path, path: &Path) -> anyhow::Result<Self> {
        let inputs: Value = read_json(&path.join(INPUTS))?;
        let report: Option<Report> = if_there(read_json(&path.join(RESULTS)))?;
        let of_task = |key: &str| inputs["task"][key].as_str();
        let metric = match &report {
            Some(report) => Some(report.metric),
            None => of_task("metric").and_then(|name| serde_json::from_value(name.into()).ok()),
        };
        let (mut all, mut latest, mut files) = (Vec::new(), None, vec![path.join(INPUTS)]);
        for (seed, path) in seeds(path)? {
            let run = RunDir::open(&path)?;
            let log = RunLog::read("", &run)?;
            let result: Option<SeedReport> = if_there(read_json(&path.join("result.json")))?;
            let dev = result.as_ref().zip(metric).and_then(|(seed, metric)| seed.dev_score(metric));
            let step = log.step().max(state::steps_done(&path)?);
            all.push(Seed { seed, finished: result.is_some(), step, dev });
            files.push(run.metrics());
            latest = Some(log);
        }
        let last_loss = |log: &RunLog| log.last("train")?.get("loss")?.as_f64();
        let dev = Summary::of(&all.iter().filter_map(|seed| seed.dev).collect::<Vec<_>>());
        let score = |(metric, dev): (Metric, Summary)| Score {
            metric: metric.to_string(),
            value: dev.median,
        };
        Ok(Self {
            name: name(dir, path),
            kind: Kind::FineTuning,
            objective: of_task("name").unwrap_or_default().to_owned(),
            state: State::of(path, report.is_some())?,
            step: all.iter().map(|seed| seed.step).sum(),
            steps: report.map(|report| report.steps * report.seeds.len() as u64),
            tokens: None,
            parameters: latest.as_ref().map(|log| log.manifest.parameters),
            loss: latest.as_ref().and_then(last_loss),
            score: metric.zip(dev).map(score),
            age_seconds: age(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>()),
            bytes: size(path),
            seeds: all,
        })
    }

    fn cells(&self) -> [String; 10] {
        let or_unknown = |cell: Option<String>| cell.unwrap_or_else(|| "-".to_owned());
        let updates = match self.steps {
            Some(steps) => format!("{}/{steps}", self.step),
            None => self.step.to_string(),
        };
        let score =
            self.score.as_ref().map(|Score { metric, value }| format!("{metric} {value:.3}"));
        [
            self.name.clone(),
            self.objective.clone(),
            self.state.name().to_owned(),
            updates,
            or_unknown(self.tokens.map(|count| short(count as f64))),
            or_unknown(self.parameters.map(|count| short(count as f64))),
            or_unknown(self.loss.map(|loss| format!("{loss:.3}"))),
            or_unknown(score),
            or_unknown(self.age_seconds.map(|seconds| time(seconds as f64))),
            bytes(self.bytes as f64),
        ]
    }
}

impl State {
    fn of(path: &Path, finished: bool) -> anyhow::Result<Self> {
        Ok(match (folder::is_locked(path)?, finished) {
            (true, _) => Self::Running,
            (false, true) => Self::Finished,
            (false, false) => Self::Stopped,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
        }
    }
}

/// A number in a section of a config.
fn integer(config: &toml::Table, section: &str, key: &str) -> Option<u64> {
    config.get(section)?.get(key)?.as_integer()?.try_into().ok()
}

/// Seconds since the newest of some files was written.
fn age(files: &[&Path]) -> Option<u64> {
    let written = files.iter().filter_map(|file| fs::metadata(file).ok()?.modified().ok()).max()?;
    // The clock of a file server may be ahead.
    Some(SystemTime::now().duration_since(written).map_or(0, |age| age.as_secs()))
}

/// The size of all files in a folder.
fn size(dir: &Path) -> u64 {
    let files = WalkDir::new(dir).into_iter().filter_map(Result::ok);
    files
        .filter_map(|file| file.metadata().ok().filter(fs::Metadata::is_file))
        .map(|file| file.len())
        .sum()
}
