//! `electra finetune`: a task over several seeds, with baselines.

use super::{Overwrite, pretrain};
use crate::console::{self, Progress};
use anyhow::bail;
use clap::{Parser, ValueEnum};
use electra_tasks::{
    AnyTask, Completion, Finetune, FinetuneConfig, Problem, Report, Weights, any, finetune::Event,
    glue, model, scores::Summary,
};
use electra_train::{Existing, From};
use std::{path::PathBuf, process::ExitCode};

/// Fine-tune an exported model on a labelled task: the dev score of each seed, baselines beside it.
///
/// The task is described by a `task.toml` (its columns, files and metric). Ctrl-C ends it with a checkpoint and exit
/// code 130.
#[derive(Debug, Parser)]
#[command(after_help = "Example:
  electra finetune --task data/mine/task.toml --data data/mine --model exported/small \\
    --config configs/finetune-small.toml --seeds 3 --out runs/mine
  electra finetune --task cola --data GLUE --model exported/small \\
    --config configs/finetune-small.toml --out runs/glue/cola
  electra finetune --task squad1.1 --data SQUAD --model exported/small \\
    --config configs/finetune-squad-small.toml --out runs/squad")]
pub(crate) struct Args {
    /// A task.toml, the folder that holds it, squad1.1, squad2.0, or a task of GLUE: cola, sst2, mrpc, stsb, qqp, mnli,
    /// qnli, rte, wnli.
    #[arg(long)]
    task: PathBuf,
    /// The folder of the task's files, the task's own by default; for a task of GLUE, the one that holds GLUE's folders.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The encoder: a Hugging Face folder with its tokenizer, or what an earlier fine-tuning wrote (its head is left).
    #[arg(long)]
    model: PathBuf,
    /// How it is learned.
    #[arg(long)]
    config: PathBuf,
    /// Override one key of the config, as in `train.epochs=3`, or of the task, as in
    /// `task.files.dev="my-dev.json"`; may be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Runs, each from a seed of its own: `train.seed` and those after it.
    #[arg(long, default_value_t = 1)]
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WeightsRule {
    /// Those of the folder.
    Pretrained,
    /// New ones in the folder's sizes: the control that shows what pre-training is worth.
    Random,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (of_task, of_config): (Vec<_>, Vec<_>) =
            self.overrides.iter().cloned().partition(|key| key.starts_with(TASK_KEYS));
        let config = FinetuneConfig::read(&self.config, &of_config)?;
        let of_task: Vec<String> =
            of_task.iter().map(|key| key[TASK_KEYS.len()..].into()).collect();
        let (task, data) = self.task(&of_task)?;
        match task {
            AnyTask::Sentence(task) => self.tune(&task, data, &config),
            AnyTask::Squad(task) => self.tune(&task, data, &config),
            _ => bail!("this version of the command knows no such kind of task"),
        }
    }

    fn tune<P: Problem>(
        self,
        task: &P,
        data: PathBuf,
        config: &FinetuneConfig,
    ) -> anyhow::Result<ExitCode> {
        let metric = task.metric();
        let mut finetune =
            Finetune::new(task, data, model::folder_of(&self.model), config, &self.out);
        finetune.seeds = (config.train.seed..).take(self.seeds as usize).collect();
        finetune.weights = match self.weights {
            WeightsRule::Pretrained => Weights::Pretrained,
            WeightsRule::Random => Weights::Random,
        };
        finetune.from = match (self.resume, self.overwrite.existing()) {
            (true, _) => From::Checkpoint,
            (false, existing) => From::Scratch(existing),
        };
        debug_assert!(
            !self.resume || self.overwrite.existing() == Existing::Refuse,
            "clap excludes both"
        );

        let stop = console::stop_flag()?;
        let mut progress = Progress::new("fine-tuning", 0);
        let completion = finetune.run(&stop, &mut |event| match event {
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
            Event::Training(event) => pretrain::show(&mut progress, event),
            Event::SeedFinished(report) => {
                progress.line(&seed_line("done", report.seed, report.dev_score(metric)))
            }
            Event::SeedSkipped(report) => {
                progress.line(&seed_line("done before", report.seed, report.dev_score(metric)));
            }
            _ => {}
        })?;
        drop(progress);
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

    /// What is learned, and the folder of its files. What is there is a path before it is a name.
    fn task(&self, overrides: &[String]) -> anyhow::Result<(AnyTask, PathBuf)> {
        let name = self.task.to_str().filter(|_| !self.task.exists());
        if let Some(task) = name.and_then(|name| glue::find(name).ok()) {
            let Some(data) = &self.data else {
                bail!("--data must name the folder that holds GLUE's folder {:?}", task.folder);
            };
            let (task, data) = glue::open(task.name, data)?;
            return Ok((AnyTask::Sentence(any::with_overrides(&task, overrides)?), data));
        }
        if let Some(name) = name
            && let Some(task) = AnyTask::named(name, overrides)?
        {
            let Some(data) = &self.data else {
                bail!("--data must name the folder that holds the files of {name}");
            };
            return Ok((task, data.clone()));
        }
        let own = if self.task.is_dir() { Some(self.task.as_path()) } else { self.task.parent() };
        let data = self.data.clone().unwrap_or_else(|| own.unwrap_or(&self.task).to_owned());
        Ok((AnyTask::read(&self.task, overrides)?, data))
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
        row(&format!("best on dev, {name}"), score.get(&metric).copied().flatten(), None)?;
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
