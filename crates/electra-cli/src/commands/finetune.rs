//! `electra finetune`: a task over several seeds, with baselines.

use super::{Overwrite, pretrain};
use crate::console::{self, Progress};
use anyhow::bail;
use clap::{Parser, ValueEnum};
use electra_files::{Section, read_toml};
use electra_tasks::{
    AnyTask, Completion, Finetune, FinetuneConfig, Grid, MultiTask, Preset, Problem, Report,
    Weights,
    any::{self, TaskFile},
    finetune::{
        Event,
        grid::{self, Axis, CellReport, GridReport},
    },
    glue, model,
    multi::OneOf,
    preset::Group,
    scores::Summary,
};
use electra_train::{Existing, StartFrom};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Fine-tune an exported model on a labelled task: the dev score of each seed, baselines beside it.
///
/// The task is described by a `task.toml`: its columns, files and metric, and in `[config]` what it changes in the config
/// of `--config` or `--preset`. Ctrl-C ends it with a checkpoint and exit code 130.
#[derive(Debug, Parser)]
#[command(after_help = "Example:
  electra finetune --task data/mine/task.toml --data data/mine --model exported/small \\
    --config configs/finetune-small.toml --seeds 3 --out runs/mine
  electra finetune --task cola --data GLUE --model exported/small \\
    --config configs/finetune-small.toml --out runs/glue/cola
  electra finetune --task squad1.1 --data SQUAD --model exported/small \\
    --config configs/finetune-squad-small.toml --out runs/squad
  electra finetune --task rte --data GLUE --model exported/small --preset paper --seeds 3 \\
    --grid optimizer.learning_rate=1e-4,2e-4,3e-4 --grid train.epochs=3,10 --out runs/glue/rte
  electra finetune --task cola --task rte --data GLUE --temperature 2 --model exported/small \\
    --preset paper --out runs/both")]
pub(crate) struct Args {
    /// A task.toml, the folder that holds it, squad1.1, squad2.0, or a task of GLUE: cola, sst2, mrpc, stsb, qqp, mnli,
    /// qnli, rte, wnli; or wnli-candidates, which is WNLI with the head of pre-training.
    ///
    /// Given more than once, all are learned on one encoder, with a head for each.
    #[arg(long, required = true)]
    task: Vec<PathBuf>,
    /// The folder of the task's files, the task's own by default; for a task of GLUE, the one that holds GLUE's folders.
    /// For several tasks one for all, or as many as tasks.
    #[arg(long)]
    data: Vec<PathBuf>,
    /// Of several tasks: one of n inputs has a share of n^(1/T) of an epoch; 1 takes each input once.
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Of several tasks: what the losses of each are multiplied by, as in `1,0.5`; 1 by default.
    #[arg(long, value_delimiter = ',')]
    weights_of_tasks: Vec<f64>,
    /// The encoder: a Hugging Face folder with its tokenizer, or what an earlier fine-tuning wrote (its head is left).
    #[arg(long)]
    model: PathBuf,
    /// How it is learned; by default --preset paper.
    #[arg(long, conflicts_with = "preset")]
    config: Option<PathBuf>,
    /// Published values, for the size of the model and the task.
    #[arg(long, value_enum)]
    preset: Option<PresetName>,
    /// Override one key of the config, as in `train.epochs=3`, or of the task, as in
    /// `task.files.dev="my-dev.json"`; may be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Values of a key to try, as in `train.epochs=3,10`; may be given more than once: every combination is tried, each
    /// over all seeds in a folder of its own.
    #[arg(long, value_name = "KEY=VALUE,VALUE")]
    grid: Vec<String>,
    /// Runs, each from a seed of its own: `train.seed` and those after it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MOST_SEEDS))]
    seeds: u64,
    /// Whether the model's weights are used.
    #[arg(long, value_enum, default_value_t = WeightsRule::Pretrained)]
    weights: WeightsRule,
    /// Where everything is written.
    #[arg(long)]
    out: PathBuf,
    /// Go on with what `--out` holds; finished seeds are skipped.
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    #[command(flatten)]
    overwrite: Overwrite,
}

/// What `--set` puts before a key of the task.
const TASK_KEYS: &str = "task.";

/// The most runs of one command.
const MOST_SEEDS: u64 = 10_000;

/// A task with the folder of its files.
struct Described {
    file: TaskFile,
    data: PathBuf,
}

impl Described {
    /// A task that no file describes.
    fn known(task: AnyTask, data: PathBuf) -> Self {
        Self { file: TaskFile { task, config: Section::default() }, data }
    }
}

/// What the config of a run is made of, besides the command's options.
struct Basis {
    group: Group,
    /// What the task's file says of it.
    section: Section,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WeightsRule {
    /// Those of the folder.
    Pretrained,
    /// New ones in the folder's sizes: the control that shows what pre-training is worth.
    Random,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PresetName {
    /// The paper's Table 7.
    Paper,
    /// The defaults of the released code: weight decay 0.01, and for Small a rate of 1e-4.
    Repo,
}

impl PresetName {
    fn preset(self) -> Preset {
        match self {
            Self::Paper => Preset::Paper,
            Self::Repo => Preset::Repo,
        }
    }
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let of_task: Vec<String> = self
            .overrides
            .iter()
            .filter_map(|set| set.strip_prefix(TASK_KEYS).map(str::to_owned))
            .collect();
        if self.task.len() == 1 && (self.temperature != 1.0 || !self.weights_of_tasks.is_empty()) {
            bail!("--temperature and --weights-of-tasks are for several tasks");
        }
        if self.task.len() > 1 {
            if !of_task.is_empty() {
                bail!("--set task.KEY is for one task; several are described by files");
            }
            let task = self.several()?;
            let group = Group::of_all(task.tasks.iter().map(|one| &one.task));
            let basis = Basis { group, section: Section::default() };
            return self.tune(&task, PathBuf::new(), &basis);
        }
        let Described { file: TaskFile { task, config: section }, data } =
            self.task(0, &of_task)?;
        let basis = Basis { group: Group::of(&task), section };
        match task {
            AnyTask::Sentence(task) => self.tune(&task, data, &basis),
            AnyTask::MultiLabel(task) => self.tune(&task, data, &basis),
            AnyTask::Squad(task) => self.tune(&task, data, &basis),
            AnyTask::Tagging(task) => self.tune(&task, data, &basis),
            AnyTask::Winograd(task) => self.tune(&task, data, &basis),
            _ => bail!("this version of the command knows no such kind of task"),
        }
    }

    fn tune<P: Problem>(&self, task: &P, data: PathBuf, basis: &Basis) -> anyhow::Result<ExitCode> {
        let model = model::folder_of(&self.model);
        let config = self.config(&model, basis, &[])?;
        let mut finetune = Finetune::new(task, data, model, &config, &self.out);
        finetune.seeds = (config.train.seed..).take(self.seeds as usize).collect();
        finetune.weights = match self.weights {
            WeightsRule::Pretrained => Weights::Pretrained,
            WeightsRule::Random => Weights::Random,
        };
        finetune.from = match (self.resume, self.overwrite.existing()) {
            (true, _) => StartFrom::Checkpoint,
            (false, existing) => StartFrom::Scratch(existing),
        };
        debug_assert!(
            !self.resume || self.overwrite.existing() == Existing::Refuse,
            "clap excludes both"
        );

        let stop = console::stop_flag()?;
        let mut progress = Progress::new("fine-tuning", 0);
        let mut on_event = |event: Event<'_>| show(&mut progress, task, event);
        if self.grid.is_empty() {
            let completion = finetune.run(&stop, &mut on_event)?;
            drop(progress);
            return self.ended(completion, table);
        }
        let axes: Vec<Axis> =
            self.grid.iter().map(|axis| axis.parse()).collect::<Result<_, _>>()?;
        let set = |key: &str| self.overrides.iter().any(|set| set.split('=').next() == Some(key));
        if let Some(axis) = axes.iter().find(|axis| set(&axis.key)) {
            bail!("--set and --grid both have {}: name it in one of them", axis.key);
        }
        let cells = grid::cells(&axes, |values| self.config(&finetune.model, basis, values))?;
        let completion = Grid { finetune, cells: &cells }.run(&stop, &mut on_event)?;
        drop(progress);
        self.ended(completion, |report| grid_table(report, &self.out))
    }

    /// The config of the file or the preset, with what the task's file says over it, and over that `--set` and `more`.
    fn config(
        &self,
        model: &Path,
        basis: &Basis,
        more: &[String],
    ) -> electra_tasks::Result<FinetuneConfig> {
        let of_config = self.overrides.iter().filter(|set| !set.starts_with(TASK_KEYS));
        let overrides: Vec<String> = of_config.chain(more).cloned().collect();
        let (config, origin): (FinetuneConfig, String) = match &self.config {
            Some(path) => (read_toml(path, &[])?, path.display().to_string()),
            None => {
                let preset = self.preset.map_or(Preset::Paper, PresetName::preset);
                (preset.read(model, basis.group)?, format!("--preset {}", preset.name()))
            }
        };
        config.for_task(&origin, &basis.section, &overrides)
    }

    fn ended<R>(
        &self,
        completion: Completion<R>,
        table: impl FnOnce(&R) -> anyhow::Result<()>,
    ) -> anyhow::Result<ExitCode> {
        match completion {
            Completion::Finished(report) => {
                table(&report)?;
                Ok(ExitCode::SUCCESS)
            }
            Completion::Stopped => {
                console::print(format_args!(
                    "stopped with a checkpoint; the same command with --resume goes on: {}",
                    self.out.display()
                ))?;
                Ok(ExitCode::from(console::INTERRUPTED))
            }
        }
    }

    /// Several tasks as one.
    fn several(&self) -> anyhow::Result<MultiTask> {
        let (count, folders) = (self.task.len(), self.data.len());
        if folders > 1 && folders != count {
            bail!("--data is given {folders} times: once for all of {count} tasks, or for each");
        }
        let weights = self.weights_of_tasks.len();
        if weights > 0 && weights != count {
            bail!("--weights-of-tasks has {weights} numbers for {count} tasks");
        }
        let one = |number| {
            let Described { file: TaskFile { task, config }, data } = self.task(number, &[])?;
            if !config.is_empty() {
                let path = config.path().display();
                tracing::warn!("{path}: [config] is not used: several tasks have one config");
            }
            let weight = self.weights_of_tasks.get(number).copied().unwrap_or(1.0);
            Ok(OneOf { task, data, weight })
        };
        let tasks: Vec<OneOf> = (0..count).map(one).collect::<anyhow::Result<_>>()?;
        let names: Vec<&str> = tasks.iter().map(|one| one.task.name()).collect();
        Ok(MultiTask { name: names.join("+"), temperature: self.temperature, tasks })
    }

    /// What is learned as the task of this number, and the folder of its files. What is there is a path before it is
    /// a name.
    fn task(&self, number: usize, overrides: &[String]) -> anyhow::Result<Described> {
        let path = &self.task[number];
        let given = self.data.get(number).or(self.data.first());
        let name = path.to_str().filter(|_| !path.exists());
        if let Some(task) = name.and_then(|name| glue::find(name).ok()) {
            let Some(data) = given else {
                bail!("--data must name the folder that holds GLUE's folder {:?}", task.folder);
            };
            let (task, data) = glue::open(task.name, data)?;
            let task = AnyTask::Sentence(any::with_overrides(&task, overrides)?);
            return Ok(Described::known(task, data));
        }
        if let Some(name) = name
            && let Some(task) = AnyTask::named(name, overrides)?
        {
            let Some(data) = given else {
                bail!("--data must name the folder that holds the files of {name}");
            };
            return Ok(Described::known(task, data.clone()));
        }
        let own = if path.is_dir() { Some(path.as_path()) } else { path.parent() };
        let data = given.cloned().unwrap_or_else(|| own.unwrap_or(path).to_owned());
        Ok(Described { file: TaskFile::read(path, overrides)?, data })
    }
}

/// Shows what happens.
fn show<P: Problem>(progress: &mut Progress, task: &P, event: Event<'_>) {
    let metric = task.metric();
    match event {
        Event::CellStarted { name, index, count } => {
            progress.line(&format!("{name} ({} of {count})", index + 1));
        }
        Event::CellFinished(CellReport { name, diverged: Some(why), .. }) => {
            progress.line(&format!("{name} has diverged: {why}"));
        }
        Event::CellFinished(cell) => {
            let median = figure(cell.dev.map(|dev| dev.median));
            progress.line(&format!("{} done: dev {median} (median)", cell.name));
        }
        Event::Loaded { examples, steps } => progress.line(&format!(
            "{}: {} training, {} dev, {} test examples; {steps} updates a seed",
            task.name(),
            examples.train,
            examples.dev,
            examples.test
        )),
        Event::SeedStarted { seed, index, count } => {
            progress.line(&format!("seed {seed} ({} of {count})", index + 1));
        }
        Event::Training(event) => pretrain::show(progress, event),
        Event::SeedFinished(report) => {
            progress.line(&seed_line("done", report.seed, report.dev_score(metric)));
        }
        Event::SeedSkipped(report) => {
            progress.line(&seed_line("done before", report.seed, report.dev_score(metric)));
        }
        _ => {}
    }
}

fn seed_line(how: &str, seed: u64, score: Option<f64>) -> String {
    format!("seed {seed} {how}: dev {}", figure(score))
}

fn figure(score: Option<f64>) -> String {
    score.map_or_else(|| "-".to_owned(), |score| format!("{score:.4}"))
}

/// The scores of every seed, their summary, and the baselines.
fn table(report: &Report) -> anyhow::Result<()> {
    let metric = report.metric;
    console::print(format_args!("{:<24}{:>10}{:>10}   ({metric})", report.task, "dev", "test"))?;
    let row = |name: &str, dev: Option<f64>, test: Option<f64>| {
        console::print(format_args!("{name:<24}{:>10}{:>10}", figure(dev), figure(test)))
    };
    for seed in &report.seeds {
        row(&format!("seed {}", seed.seed), seed.dev_score(metric), seed.test_score(metric))?;
    }
    for (name, score) in report.best(|seed| Some(seed.more_dev.clone())).unwrap_or_default() {
        let test = report.best(|seed| seed.more_test.get(&name)?.get(&metric).copied().flatten());
        row(&format!("best on dev, {name}"), score.get(&metric).copied().flatten(), test)?;
    }
    let of = |summary: &Option<Summary>, pick: fn(&Summary) -> f64| summary.as_ref().map(pick);
    row("best on dev", report.best(|s| s.dev_score(metric)), report.best_seed_test)?;
    row("median", of(&report.dev, |s| s.median), of(&report.test, |s| s.median))?;
    row("mean", of(&report.dev, |s| s.mean), of(&report.test, |s| s.mean))?;
    row("standard deviation", of(&report.dev, |s| s.sd), of(&report.test, |s| s.sd))?;
    let baselines = [
        ("majority", Some(&report.baselines.majority)),
        ("bag of words", report.baselines.bag_of_words.as_ref()),
    ];
    for (name, scores) in baselines.into_iter().filter_map(|(name, scores)| Some((name, scores?))) {
        let test = scores.test.as_ref().and_then(|test| test.get(&metric).copied().flatten());
        row(name, scores.dev.get(&metric).copied().flatten(), test)?;
    }
    Ok(())
}

/// The scores of every cell over its seeds, and where the best model is.
fn grid_table(report: &GridReport, out: &Path) -> anyhow::Result<()> {
    let width = report.cells.iter().map(|cell| cell.name.len()).max().unwrap_or(0);
    let line = |name: &str, figures: [&str; 6]| {
        let figures: String = figures.iter().map(|figure| format!("{figure:>9}")).collect();
        console::print(format_args!("{name:<width$}{figures}"))
    };
    let seeds = report.seeds.len();
    console::print(format_args!("{}: dev {}, {seeds} seeds a row", report.task, report.metric))?;
    line("", ["median", "mean", "sd", "best", "seed", "its test"])?;
    for cell in &report.cells {
        let of = |pick: fn(&Summary) -> f64| figure(cell.dev.as_ref().map(pick));
        let (median, mean, sd) = (of(|s| s.median), of(|s| s.mean), of(|s| s.sd));
        let (best, test) = (figure(cell.best_dev), figure(cell.best_test));
        line(&cell.name, [&median, &mean, &sd, &best, &cell.best_seed.to_string(), &test])?;
    }
    for cell in &report.cells {
        if let Some(why) = &cell.diverged {
            console::print(format_args!("{} has no score: {why}", cell.name))?;
        }
    }
    let Some(best) = &report.best else {
        bail!("every cell has diverged: lower learning rates may do")
    };
    console::print(format_args!(
        "best by its median: {best}; its model: {}",
        out.join("model").display()
    ))
}
