//! `electra train`: from text to an exported model.

use super::{
    corpus::{self, CorpusArgs},
    pretrain,
};
use crate::{Extensions, console};
use anyhow::Context;
use clap::Parser;
use electra_train::{
    Outcome, Preset,
    from_text::{self, FromText, Models, Request, StepState},
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::Ordering,
};

/// Train a model on your text: vocabulary, shards, pre-training, evaluation, export.
///
/// Without --size, proposes the largest size that this machine can train well on this text in the given time, and says why.
/// The same command resumes after an interruption.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  electra train --corpus books/                          # one hour, with a proposed size
  electra train --corpus books/ --hours 8 --out runs/books
  electra train --corpus books/ --size small --dry-run   # what it would do, and how long it would take")]
pub(crate) struct Args {
    #[command(flatten)]
    corpus: CorpusArgs,
    /// A vocab.txt or tokenizer.json, or the folder of a model with one. Default: train a vocabulary on the corpus.
    #[arg(long)]
    vocab: Option<PathBuf>,
    /// Size of the networks. Default: proposed for the text, the machine and the hours.
    #[arg(long, value_enum)]
    size: Option<Preset>,
    /// Hours for all steps. Default: with --size, as long as its number of updates takes; otherwise 1 hour.
    #[arg(long, value_parser = super::number)]
    hours: Option<f64>,
    /// Fail if a larger share of the tokens is [UNK]; 1 to allow any.
    #[arg(long, default_value_t = 0.5, value_parser = super::number)]
    max_unknown: f64,
    /// Output folder. Default: runs/ and the name of the corpus.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Override a key of the size's config, as in `train.seed=2`; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Check the paths and settings and print the proposal, without writing anything.
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        let out = match &self.out {
            Some(out) => out.clone(),
            None => default_out(self.corpus.path())?,
        };
        let request = Request {
            corpus: self.corpus.path().to_owned(),
            reading: self.corpus.reading(),
            tokenizer: self.corpus.tokenizer.options(),
            vocab: self.vocab,
            size: self.size,
            hours: self.hours,
            overrides: self.overrides,
        };
        let pipeline = FromText::new(request, &out)?
            .with_max_unknown(self.max_unknown)
            .with(extensions.parts.clone(), extensions.objectives.clone());
        corpus::warn_of_skipped(pipeline.corpus());
        if self.dry_run {
            let proposal = pipeline.propose()?;
            console::print(format_args!("{proposal}\n\nwould write {}", out.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut show = Show::default();
        let config = pipeline.prepare(&mut |progress| show.progress(progress))?;
        let stop = console::stop_flag()?;
        let steps = config.train.steps;
        show.bar = Some(console::Progress::new("pre-training", steps));
        let outcome = pipeline.pretrain(config, &stop, &mut |progress| show.progress(progress))?;
        show.bar = None;
        if stop.load(Ordering::Relaxed) && outcome == Outcome::Stopped {
            console::print(format_args!(
                "stopped with a checkpoint in {}; to resume, run the same command",
                out.join("run/checkpoints").display()
            ))?;
            return Ok(ExitCode::from(console::INTERRUPTED));
        }
        if outcome == Outcome::Stopped {
            tracing::warn!(
                "the time limit ended pre-training before its {steps} updates; the models are those of the last one, and the \
                 same command continues"
            );
        }
        let models = pipeline.finish(&mut |progress| show.progress(progress))?;
        report(&out, &models)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// `runs/` and the name of the corpus without endings.
fn default_out(corpus: &Path) -> anyhow::Result<PathBuf> {
    let absolute = corpus.canonicalize().with_context(|| corpus.display().to_string())?;
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or("corpus");
    Ok(Path::new("runs").join(stem))
}

/// Shows the progress of the steps.
#[derive(Default)]
struct Show {
    bar: Option<console::Progress>,
}

impl Show {
    fn progress(&mut self, progress: from_text::Progress<'_>) {
        match progress {
            from_text::Progress::Step(name, StepState::UpToDate) => {
                self.bar = None;
                tracing::info!("{name}: up to date");
            }
            from_text::Progress::Step("pre-training", StepState::Begins) => {}
            from_text::Progress::Step(name, StepState::Begins) => {
                self.bar = None;
                tracing::info!("{name}");
            }
            from_text::Progress::Bytes(bytes) => {
                let bar =
                    self.bar.get_or_insert_with(|| console::Progress::new("bytes of text", 0));
                bar.set(bytes, 0);
            }
            from_text::Progress::Proposed(proposal) => {
                proposal.to_string().lines().for_each(|line| tracing::info!("{line}"));
            }
            from_text::Progress::Length(length) => tracing::info!("length: {length}"),
            from_text::Progress::Training(event) => {
                if let Some(bar) = &mut self.bar {
                    pretrain::show(bar, event);
                }
            }
            _ => {}
        }
    }
}

/// Prints the main metrics with their baselines, the folders and the next commands.
fn report(out: &Path, models: &Models) -> anyhow::Result<()> {
    let metric = |key: &str| models.metrics.get(key).and_then(serde_json::Value::as_f64);
    let rows = [
        ("generator loss on [MASK]", "generator_loss_mask", metric("unigram_entropy")),
        ("discriminator loss", "discriminator_loss", metric("majority_class_entropy")),
        ("discriminator AUC", "discriminator_auc", Some(0.5)),
    ];
    console::print(format_args!(
        "\n{:<28}{:>10}{:>22}",
        "held-out text", "", "without the context"
    ))?;
    for (label, key, baseline) in rows {
        if let Some((value, baseline)) = metric(key).zip(baseline) {
            console::print(format_args!("{label:<28}{value:>10.3}{baseline:>22.3}"))?;
        }
    }
    let run = out.join("run");
    let model = models.folders.first().context("no model was exported")?;
    console::print(format_args!(
        "\nreport: {}\nmodel:  {}\nnext:   electra finetune --task TASK --model {} --out FOLDER",
        run.join("report.html").display(),
        model.display(),
        model.display()
    ))
}
