//! `electra finetune`: fine-tunes on a task with several seeds, and scores baselines.

use super::{Overwrite, pretrain};
use crate::{
    Extensions,
    console::{self, Progress},
};
use anyhow::bail;
use clap::Parser;
use electra_files::{Section, read_toml};
use electra_scores::metrics::Summary;
use electra_tasks::{
    Completion, Event, Finetune, FinetuneConfig, Grid, MultiTask, Preset, Report, Task, Weights,
    finetune::{
        CellReport, GridReport,
        grid::{self, Axis},
    },
    kinds::DescribedTask,
    model,
    multi::OneOf,
    preset::Group,
};
use electra_train::{Existing, StartFrom};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Fine-tune a model on a labeled task.
///
/// Prints the dev score of each seed and of baselines. The task is described by a `task.toml`: its columns, files and metric, and in `[config]` overrides of the config of
/// `--config` or `--preset`. Ctrl-C stops the run with a checkpoint and exit code 130.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
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
    /// A task.toml or its folder, squad1.1, squad2.0, or a task of GLUE: cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte,
    /// wnli; or wnli-candidates, which is WNLI with the pre-training head.
    ///
    /// Repeatable: several tasks are learned together on one encoder, with a head for each.
    #[arg(long, required = true)]
    task: Vec<PathBuf>,
    /// Folder of the task's files; for a task of GLUE, the folder with GLUE's folders. Default: the folder of task.toml.
    /// For several tasks, give it once for all tasks or once per task.
    #[arg(long)]
    data: Vec<PathBuf>,
    /// T: a task with n inputs is sampled in proportion to n^(1/T); with 1, each input is used once per epoch.
    #[arg(long, default_value_t = 1.0, help_heading = SEVERAL)]
    temperature: f64,
    /// The weight of each task's loss, as in `1,0.5`; 1 by default.
    #[arg(long, value_delimiter = ',', help_heading = SEVERAL)]
    weights_of_tasks: Vec<f64>,
    /// The encoder: a Hugging Face folder with its tokenizer, or the output of an earlier fine-tuning (without its head).
    #[arg(long)]
    model: PathBuf,
    /// Output folder.
    #[arg(long)]
    out: PathBuf,
    /// Config file (TOML). Default: --preset paper.
    #[arg(long, conflicts_with = "preset")]
    config: Option<PathBuf>,
    /// Published hyperparameters for the size of the model and the task.
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Override a key of the config, as in `train.epochs=3`, or of the task, as in `task.files.dev="my-dev.json"`;
    /// repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Values of a key to try, as in `train.epochs=3,10`; repeatable. Each combination runs with all seeds, in its own
    /// folder.
    #[arg(long, value_name = "KEY=VALUE,VALUE")]
    grid: Vec<String>,
    /// Number of runs, with the seeds `train.seed`, `train.seed` + 1, ...
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MOST_SEEDS))]
    seeds: u64,
    /// Initial weights of the encoder.
    #[arg(long, value_enum, default_value_t = Weights::Pretrained)]
    weights: Weights,
    /// Resume the run in --out; finished seeds are skipped.
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    #[command(flatten)]
    overwrite: Overwrite,
}

/// The heading of the options for several tasks.
const SEVERAL: &str = "Several tasks";

/// The prefix of a task's keys in `--set`.
const TASK_KEYS: &str = "task.";

/// The largest number of runs of one command.
const MOST_SEEDS: u64 = 10_000;

/// The parts of a run's config that do not come from the command's options.
struct Basis {
    group: Group,
    /// The section `[config]` of the task's file.
    section: Section,
}

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
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
                bail!("--set task.KEY is for a single task: for several, edit their task.toml");
            }
            let task = self.several(extensions)?;
            let groups: Vec<Group> = task.tasks.iter().map(|one| one.task.group()).collect();
            let basis = Basis { group: Group::of_all(&groups), section: Section::default() };
            return self.tune(&task, PathBuf::new(), &basis, extensions);
        }
        let DescribedTask { task, data, config } = self.describe(0, &of_task, extensions)?;
        let basis = Basis { group: task.group(), section: config };
        self.tune(&*task, data, &basis, extensions)
    }

    fn tune(
        &self,
        task: &dyn Task,
        data: PathBuf,
        basis: &Basis,
        extensions: &Extensions,
    ) -> anyhow::Result<ExitCode> {
        let model = model::folder_of(&self.model);
        let config = self.config(&model, basis, &[])?;
        let mut finetune = Finetune::new(task, data, model, &config, &self.out);
        finetune.seeds = (config.train.seed..).take(self.seeds as usize).collect();
        finetune.weights = self.weights;
        finetune.parts = Some(extensions.parts.clone());
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
        let mut checkpoint = PathBuf::new();
        let mut on_event = |event: Event<'_>| {
            if let Event::Training(electra_train::Event::Checkpoint(path)) = event {
                path.clone_into(&mut checkpoint);
            }
            show(&mut progress, task, event);
        };
        if self.grid.is_empty() {
            let completion = finetune.run(&stop, &mut on_event)?;
            drop(progress);
            return ended(completion, &checkpoint, table);
        }
        let axes: Vec<Axis> =
            self.grid.iter().map(|axis| axis.parse()).collect::<Result<_, _>>()?;
        let set = |key: &str| self.overrides.iter().any(|set| set.split('=').next() == Some(key));
        if let Some(axis) = axes.iter().find(|axis| set(&axis.key)) {
            bail!("--set and --grid both set {}: remove one of them", axis.key);
        }
        let cells = grid::cells(&axes, |values| self.config(&finetune.model, basis, values))?;
        let completion = Grid { finetune, cells: &cells }.run(&stop, &mut on_event)?;
        drop(progress);
        ended(completion, &checkpoint, |report| grid_table(report, &self.out))
    }

    /// The config of the file or the preset, overridden by the task's file, then by `--set` and `more`.
    fn config(
        &self,
        model: &Path,
        basis: &Basis,
        more: &[String],
    ) -> electra_tasks::Result<FinetuneConfig> {
        let of_config = self.overrides.iter().filter(|set| !set.starts_with(TASK_KEYS));
        let overrides: Vec<String> = of_config.chain(more).cloned().collect();
        match &self.config {
            Some(path) => {
                let config: FinetuneConfig = read_toml(path, &[])?;
                config.for_task(&path.display().to_string(), &basis.section, &overrides)
            }
            None => {
                let preset = self.preset.unwrap_or(Preset::Paper);
                preset.read(model, basis.group, &basis.section, &overrides)
            }
        }
    }

    /// The tasks combined into one.
    fn several(&self, extensions: &Extensions) -> anyhow::Result<MultiTask> {
        let (count, folders) = (self.task.len(), self.data.len());
        if folders > 1 && folders != count {
            bail!(
                "--data is given {folders} times: give it once, or once for each of the {count} tasks"
            );
        }
        let weights = self.weights_of_tasks.len();
        if weights > 0 && weights != count {
            bail!("--weights-of-tasks has {weights} numbers for {count} tasks");
        }
        let one = |number| {
            let DescribedTask { task, data, config } = self.describe(number, &[], extensions)?;
            if !config.is_empty() {
                let path = config.path().display();
                tracing::warn!("{path}: [config] is ignored: several tasks share one config");
            }
            let weight = self.weights_of_tasks.get(number).copied().unwrap_or(1.0);
            Ok(OneOf { task, data, weight })
        };
        let tasks: Vec<OneOf> = (0..count).map(one).collect::<anyhow::Result<_>>()?;
        let names: Vec<&str> = tasks.iter().map(|one| one.task.name()).collect();
        Ok(MultiTask { name: names.join("+"), temperature: self.temperature, tasks })
    }

    /// The task with this index, and the folder of its files.
    fn describe(
        &self,
        number: usize,
        overrides: &[String],
        extensions: &Extensions,
    ) -> electra_tasks::Result<DescribedTask> {
        let data = self.data.get(number).or(self.data.first());
        extensions.kinds.task(&self.task[number], data.map(PathBuf::as_path), overrides)
    }
}

/// Prints the results of a finished run, or how to resume a stopped one.
fn ended<R>(
    completion: Completion<R>,
    checkpoint: &Path,
    table: impl FnOnce(&R) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    match completion {
        Completion::Finished(report) => {
            table(&report)?;
            Ok(ExitCode::SUCCESS)
        }
        Completion::Stopped => {
            console::print(format_args!(
                "stopped with the checkpoint {}; to resume, run the same command with --resume",
                checkpoint.display()
            ))?;
            Ok(ExitCode::from(console::INTERRUPTED))
        }
    }
}

/// Shows an event of a run.
fn show(progress: &mut Progress, task: &dyn Task, event: Event<'_>) {
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
            progress.line(&format!("{} done: dev {median}", cell.name));
        }
        Event::Loaded(summary) => {
            summary.to_string().lines().for_each(|line| progress.line(line));
        }
        Event::SeedStarted { seed, index, count } => {
            progress.line(&format!("seed {seed} ({} of {count})", index + 1));
        }
        Event::Training(event) => pretrain::show(progress, event),
        Event::SeedFinished(report) => {
            progress.line(&seed_line("done", report.seed, report.dev_score(metric)));
        }
        Event::SeedSkipped(report) => {
            progress.line(&seed_line("already done", report.seed, report.dev_score(metric)));
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

/// Prints the scores of each seed, their summary, and the baselines.
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
    // A single seed has no spread.
    if report.seeds.len() > 1 {
        row("best on dev", report.best(|s| s.dev_score(metric)), report.best_seed_test)?;
        row("median", of(&report.dev, |s| s.median), of(&report.test, |s| s.median))?;
        row("mean", of(&report.dev, |s| s.mean), of(&report.test, |s| s.mean))?;
        row("standard deviation", of(&report.dev, |s| s.sd), of(&report.test, |s| s.sd))?;
    }
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

/// Prints the scores of each cell over its seeds, and the folder of the best model.
fn grid_table(report: &GridReport, out: &Path) -> anyhow::Result<()> {
    let width = report.cells.iter().map(|cell| cell.name.len()).max().unwrap_or(0);
    let line = |name: &str, figures: [&str; 6]| {
        let figures: String = figures.iter().map(|figure| format!("{figure:>9}")).collect();
        console::print(format_args!("{name:<width$}{figures}"))
    };
    let seeds = match report.seeds.len() {
        1 => "one seed".to_owned(),
        seeds => format!("{seeds} seeds"),
    };
    console::print(format_args!("{}: dev {}, {seeds} per row", report.task, report.metric))?;
    if report.seeds.len() == 1 {
        let line = |name: &str, dev: &str, test: &str| {
            console::print(format_args!("{name:<width$}{dev:>9}{test:>9}"))
        };
        line("", "dev", "test")?;
        for cell in &report.cells {
            line(&cell.name, &figure(cell.best_dev), &figure(cell.best_test))?;
        }
        return grid_end(report, out);
    }
    line("", ["median", "mean", "sd", "best", "seed", "test"])?;
    for cell in &report.cells {
        let of = |pick: fn(&Summary) -> f64| figure(cell.dev.as_ref().map(pick));
        let (median, mean, sd) = (of(|s| s.median), of(|s| s.mean), of(|s| s.sd));
        let (best, test) = (figure(cell.best_dev), figure(cell.best_test));
        line(&cell.name, [&median, &mean, &sd, &best, &cell.best_seed.to_string(), &test])?;
    }
    grid_end(report, out)
}

/// Prints the cells without a score, and the folder of the best model.
fn grid_end(report: &GridReport, out: &Path) -> anyhow::Result<()> {
    for cell in &report.cells {
        if let Some(why) = &cell.diverged {
            console::print(format_args!("{} has no score: {why}", cell.name))?;
        }
    }
    let Some(best) = &report.best else {
        bail!("all cells have diverged: try lower learning rates")
    };
    let by = if report.seeds.len() > 1 { " by median" } else { "" };
    console::print(format_args!(
        "best{by}: {best}; model: {}",
        out.join(best).join("model").display()
    ))
}
