//! `electra pretrain`: starts or resumes a pre-training run.

use super::Overwrite;
use crate::{
    Extensions,
    console::{self, Progress},
};
use anyhow::{Context, bail};
use clap::Parser;
use electra_train::{
    Event, Outcome, RunConfig, Start, StartFrom, metrics::Figures, run_dir::RunDir,
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::Ordering,
};

/// Pre-train with a config.
///
/// The objective of the config is replaced token detection or another one. Ctrl-C stops the run with a checkpoint and exit code 130.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  electra pretrain configs/pretrain-small.toml --set data.shards=shards --out runs/small
  electra pretrain --resume runs/small")]
pub(crate) struct Args {
    /// Config file (TOML). Not needed with --resume.
    config: Option<PathBuf>,
    /// Override a config key, as in `train.steps=1000`; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Run folder to create.
    #[arg(long, conflicts_with = "resume", required_unless_present = "resume")]
    out: Option<PathBuf>,
    /// Resume this run folder from its newest intact checkpoint.
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    /// Stop with a checkpoint after this many updates, counted from the start of the run.
    #[arg(long, value_name = "STEP")]
    stop_after: Option<u64>,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        let (config, from, out) = match (&self.resume, &self.out) {
            (Some(run), _) => (self.resumed_config(run)?, StartFrom::Checkpoint, run.clone()),
            (None, Some(out)) => {
                let path = self
                    .config
                    .as_ref()
                    .context("a config is required, such as configs/pretrain-small.toml")?;
                let config = RunConfig::read(path, &self.overrides)?;
                (config, StartFrom::Scratch(self.overwrite.existing()), out.clone())
            }
            (None, None) => bail!("use --out or --resume with a run folder"),
        };
        let stop = console::stop_flag()?;
        let mut progress = Progress::new("pre-training", config.train.steps);
        let mut checkpoint = PathBuf::new();
        let mut on_event = |event: Event<'_>| {
            if let Event::Checkpoint(path) = event {
                path.clone_into(&mut checkpoint);
            }
            show(&mut progress, event);
        };
        let start = Start { out: out.clone(), from, stop_after: self.stop_after };
        let outcome = extensions.recipe(config).pretrain_with(&start, &stop, &mut on_event)?;
        drop(progress);
        match outcome {
            Outcome::Finished => console::print(format_args!("finished: {}", out.display()))?,
            Outcome::Stopped => console::print(format_args!(
                "stopped with the checkpoint {}; resume with: {} pretrain --resume {}",
                checkpoint.display(),
                console::program(),
                out.display()
            ))?,
        }
        // Stopping with --stop-after is a success; stopping by a signal is not.
        Ok(match (outcome, stop.load(Ordering::Relaxed)) {
            (Outcome::Stopped, true) => ExitCode::from(console::INTERRUPTED),
            _ => ExitCode::SUCCESS,
        })
    }

    /// The config of the run, or the given one, with overrides.
    fn resumed_config(&self, run: &Path) -> anyhow::Result<RunConfig> {
        let own = RunDir::open(run)?.config();
        Ok(RunConfig::read(self.config.as_ref().unwrap_or(&own), &self.overrides)?)
    }
}

/// Shows an event of a run.
pub(crate) fn show(progress: &mut Progress, event: Event<'_>) {
    match event {
        Event::Begin(summary) => {
            summary.to_string().lines().for_each(|line| progress.line(line));
        }
        Event::Step { step, total } => progress.set(step, total),
        Event::Figures(row) if row.get("kind").is_some_and(|kind| kind == "evaluate") => {
            progress.line(&evaluation(row));
        }
        Event::Figures(row) => progress.note(line(row, &TRAINING)),
        Event::Checkpoint(path) => tracing::debug!("wrote {}", path.display()),
        _ => {}
    }
}

/// Metrics of training rows with short names. A progress bar cuts the last ones to the width of the terminal.
const TRAINING: [(&str, &str); 9] = [
    ("step", "step"),
    ("loss", "loss"),
    ("generator_loss_mask", "gen[M]"),
    ("discriminator_loss", "disc"),
    ("discriminator_auc", "auc"),
    ("accuracy", "acc"),
    ("tokens_per_second", "tok/s"),
    ("generator_accuracy_mask", "gen acc[M]"),
    ("wait_share", "wait"),
];

/// Metrics of evaluation rows. With a generator, the total loss is left out, so that a line has at most 80 characters (without
/// `evaluate.reference`).
const HELD_OUT: [(&str, &str); 8] = [
    ("step", "step"),
    ("loss", "loss"),
    ("masked_lm_loss", "mlm"),
    ("generator_loss_mask", "gen[M]"),
    ("discriminator_loss", "disc"),
    ("discriminator_auc", "auc"),
    ("reference_auc", "ref auc"),
    ("probe_accuracy", "probe"),
];

/// The line of an evaluation on the held-out split, or on the dev set of a task.
fn evaluation(row: &Figures) -> String {
    let scores: Vec<(&str, &str)> =
        row.keys().filter_map(|key| Some((key.as_str(), key.strip_prefix("dev_")?))).collect();
    if !scores.is_empty() {
        return format!("dev at {}", line(row, &[&[("step", "step")], &scores[..]].concat()));
    }
    let has_generator = row.contains_key("generator_loss_mask");
    let shown = HELD_OUT.into_iter().filter(|(key, _)| *key != "loss" || !has_generator);
    format!("held-out at {}", line(row, &shown.collect::<Vec<_>>()))
}

/// The metrics `shown` that a row has, with their names.
fn line(row: &Figures, shown: &[(&str, &str)]) -> String {
    let parts = shown.iter().filter_map(|(key, label)| {
        let value = row.get(*key)?.as_f64()?;
        let digits = if value.abs() >= 100.0 || *key == "step" { 0 } else { 3 };
        Some(format!("{label} {value:.digits$}"))
    });
    parts.collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: &str) -> Figures {
        serde_json::from_str(json).expect("it is an object")
    }

    /// A log line begins with ` INFO `.
    #[test]
    fn a_line_of_an_evaluation_fits_a_terminal() {
        let line = evaluation(&row(
            r#"{"kind":"evaluate","step":12000,"loss":16.25,"generator_loss_mask":14.574,"discriminator_loss":0.372,
            "discriminator_auc":0.676,"probe_accuracy":0.733,"replaced_fraction":0.1}"#,
        ));
        assert_eq!(
            line,
            "held-out at step 12000  gen[M] 14.574  disc 0.372  auc 0.676  probe 0.733"
        );
        assert!(" INFO ".len() + line.len() <= 80, "{line}");
    }

    #[test]
    fn evaluations_without_a_generator_have_the_loss_and_those_of_tasks_their_scores() {
        let line = evaluation(&row(r#"{"kind":"evaluate","step":5,"loss":2.0,"tokens":9}"#));
        assert_eq!(line, "held-out at step 5  loss 2.000");
        let scores =
            r#"{"kind":"evaluate","step":5,"dev_accuracy":0.5,"dev_f1":null,"dev_matthews":0.25}"#;
        assert_eq!(evaluation(&row(scores)), "dev at step 5  accuracy 0.500  matthews 0.250");
    }
}
