//! `electra predict`: a fine-tuned model on a file.

use super::Overwrite;
use crate::console::{self, Progress};
use anyhow::bail;
use clap::Parser;
use electra_tasks::{
    AnyTask, SquadPredictor, TaggingPredictor, model,
    predict::{PredictOptions, Probabilities},
    squad::SquadOutputs,
};
use electra_train::Existing;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

/// Predict with a fine-tuned model: the rows of a TSV, CSV or JSON lines file, the words of a CoNLL file, or the
/// questions of a SQuAD file.
#[derive(Debug, Parser)]
#[command(after_help = "Example:
  electra predict --model runs/mine --input new.tsv --output predictions.tsv --probabilities
  electra predict --model runs/entities --input words.conll --output tagged.conll
  electra predict --model runs/squad --input dev-v2.0.json --output preds.json --null-odds null_odds.json")]
pub(crate) struct Args {
    /// The folder that `electra finetune` wrote, or the `model` folder in it.
    #[arg(long)]
    model: PathBuf,
    /// The task that the model must be of, as a task.toml or a name; not needed, the model knows its task.
    #[arg(long)]
    task: Option<PathBuf>,
    /// The rows, whose text columns are named as in training; of words, a CoNLL file with the words' column in its place;
    /// of questions, SQuAD's JSON or MRQA's JSON lines.
    #[arg(long)]
    input: PathBuf,
    /// The file to write: TSV, `index<TAB>prediction` in the order of the rows; of words, the input's lines with the tag
    /// as a further column; of questions, JSON `{id: text}`, with
    /// an empty text where a model of SQuAD 2.0 finds no answer.
    #[arg(long)]
    output: PathBuf,
    /// Write the probability of each class as well.
    #[arg(long)]
    probabilities: bool,
    /// Of questions: also write `{id: number}`, how much speaks for "no answer".
    #[arg(long)]
    null_odds: Option<PathBuf>,
    /// Of questions: also write the best answers of each, with their probabilities.
    #[arg(long)]
    n_best: Option<PathBuf>,
    /// Of questions: the null odds above which there is no answer, in place of the model's; `inf` keeps every answer.
    #[arg(long, allow_hyphen_values = true)]
    threshold: Option<f64>,
    /// Rows of one forward pass.
    #[arg(long, default_value_t = 64)]
    batch_size: usize,
    /// "auto", "cpu" or "cuda:N".
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let outputs = [Some(&self.output), self.null_odds.as_ref(), self.n_best.as_ref()];
        for output in outputs.into_iter().flatten() {
            if output.is_file() && self.overwrite.existing() == Existing::Refuse {
                bail!(
                    "{} exists: name another file, or replace it with --overwrite",
                    output.display()
                );
            }
        }
        let model = model::folder_of(&self.model);
        let header = model::Header::read(&model)?;
        if let Some(task) = &self.task {
            let known = &header.task;
            let same = match task.exists() {
                true => AnyTask::read(task, &[])?.name() == known,
                false => task.to_str() == Some(known),
            };
            if !same {
                bail!(
                    "{} is a model of task {known:?}, not of {}",
                    model.display(),
                    task.display()
                );
            }
        }
        match header.kind {
            model::Kind::Squad => self.questions(&model),
            model::Kind::Multi => bail!(
                "{} holds the models of several tasks: name the folder of one, {}/TASK",
                self.model.display(),
                model.display()
            ),
            kind => self.rows(&model, kind),
        }
    }

    /// The questions of a file.
    fn questions(self, model: &Path) -> anyhow::Result<ExitCode> {
        if self.probabilities {
            bail!("--probabilities is for classes; --n-best writes those of answers");
        }
        let predictor = SquadPredictor::open(model, &self.device)?;
        let outputs = SquadOutputs {
            predictions: self.output,
            null_odds: self.null_odds,
            n_best: self.n_best,
            threshold: self.threshold,
        };
        let mut progress = Progress::new("questions", 0);
        let clock = Instant::now();
        let done = predictor
            .predict(&self.input, &outputs, self.batch_size, &mut |n| progress.set(n, 0))?;
        drop(progress);
        let rate = done as f64 / clock.elapsed().as_secs_f64();
        console::print(format_args!(
            "{done} questions, {rate:.0} a second: {}",
            outputs.predictions.display()
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    /// The rows of a table, or the words of a CoNLL file.
    fn rows(self, model: &Path, kind: model::Kind) -> anyhow::Result<ExitCode> {
        if self.null_odds.is_some() || self.n_best.is_some() || self.threshold.is_some() {
            bail!(
                "--null-odds, --n-best and --threshold are for models of questions, which {} is not",
                model.display()
            );
        }
        let options = PredictOptions {
            device: self.device,
            batch_size: self.batch_size,
            probabilities: if self.probabilities {
                Probabilities::Write
            } else {
                Probabilities::Omit
            },
        };
        let (input, output) = (&self.input, &self.output);
        let unit = if kind == model::Kind::Tagging { "words" } else { "rows" };
        let mut progress = Progress::new(unit, 0);
        let mut on_rows = |rows| progress.set(rows, 0);
        let report = match kind {
            model::Kind::Tagging => TaggingPredictor::open(model, &options.device)?.predict(
                input,
                output,
                &options,
                &mut on_rows,
            )?,
            _ => electra_tasks::predict(model, input, output, &options, &mut on_rows)?,
        };
        drop(progress);
        let rate = report.rows as f64 / report.seconds;
        console::print(format_args!(
            "{} {unit}, {rate:.0} a second: {}",
            report.rows,
            self.output.display()
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
