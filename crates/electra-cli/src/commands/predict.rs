//! `electra predict`: a fine-tuned model on a file or a stream.

use super::{Overwrite, STANDARD_INPUT, is_standard, kinds, number};
use crate::console::{self, Progress};
use anyhow::{anyhow, bail};
use clap::Parser;
use electra_model::Parts;
use electra_scores::table::Format;
use electra_tasks::{
    Predictor,
    answer::RequestForm,
    predictor::{Probabilities, StreamInput, StreamOptions, StreamReport},
};
use electra_train::{Existing, host};
use std::{
    io::{self, BufWriter},
    path::PathBuf,
    process::ExitCode,
};

/// What errors call standard output.
const STANDARD_OUTPUT: &str = "standard output";

/// Predict with a fine-tuned model: the rows of a TSV, CSV or JSON lines file, the words of a CoNLL file, or the
/// questions of a SQuAD file.
///
/// Rows and words are predicted in constant memory.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  electra predict --model runs/mine --input new.tsv --output predictions.tsv --probabilities
  zcat new.jsonl.gz | electra predict --model runs/mine --input - --format jsonl --output - | gzip > answers.gz
  electra predict --model runs/entities --input words.conll --output tagged.conll
  electra predict --model runs/squad --input dev-v2.0.json --output preds.json --null-odds null_odds.json
  electra predict --model exported/base --task wnli --input GLUE/WNLI/dev.tsv --output predictions.tsv")]
pub(crate) struct Args {
    /// The folder that `electra finetune` wrote, or the `model` folder in it; for WNLI also a pre-trained discriminator.
    #[arg(long)]
    model: PathBuf,
    /// The task that the model must be of, as a task.toml or a name; not needed, the model knows its task. A pre-trained
    /// discriminator answers `wnli`: it says which antecedent looks original in the pronoun's place.
    #[arg(long)]
    task: Option<PathBuf>,
    /// The rows, `-` for standard input; their text columns are named as in training. Of words, a CoNLL file with the
    /// words' column in its place; of questions, SQuAD's JSON or MRQA's JSON lines.
    #[arg(long)]
    input: PathBuf,
    /// The format of a table; needed for standard input, else the file's extension tells it.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The file to write, `-` for standard output: `index` and `prediction` in the order of the rows, as CSV or JSON
    /// lines by its extension, else as TSV; on standard output as the input is written. Of words, the input's lines with the
    /// tag as a further column; of questions, JSON `{id: text}`, with
    /// an empty text where a model of SQuAD 2.0 finds no answer.
    #[arg(long)]
    output: PathBuf,
    /// Write the probability of each class (or label) as well; of words, that of the chosen tag.
    #[arg(long)]
    probabilities: bool,
    /// Of questions: also write `{id: number}`, how much speaks for "no answer".
    #[arg(long)]
    null_odds: Option<PathBuf>,
    /// Of questions: also write the best answers of each, with their probabilities.
    #[arg(long)]
    n_best: Option<PathBuf>,
    /// Of questions: the null odds above which there is no answer, in place of the model's; `inf` keeps every answer.
    #[arg(long, allow_hyphen_values = true, value_parser = number)]
    threshold: Option<f64>,
    /// Rows of one forward pass; 64 by default.
    #[arg(long)]
    batch_size: Option<usize>,
    /// Of rows, and of words in sentences: how many are read, sorted by length and predicted together, 8192 by default; they are
    /// all that is held. 1 answers each row of a pipe as it comes.
    #[arg(long)]
    window: Option<usize>,
    /// "auto", "cpu" or "cuda:N".
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        self.check_outputs()?;
        let predictor =
            Predictor::open_with(&self.model, &self.device, &kinds(), &Parts::shipped())?;
        self.check_task(&predictor)?;
        let form = predictor.form();
        self.check_streams(&form)?;
        let (input, options) = (self.input(&form)?, self.options(&form));
        let unit = match form {
            RequestForm::Words { .. } => "words",
            RequestForm::Questions { .. } => "questions",
            _ => "rows",
        };
        let mut progress = Progress::new(unit, 0);
        let mut on_done = |done| progress.set(done, 0);
        let report = match is_standard(&self.output) {
            true => {
                let (name, writer) =
                    (STANDARD_OUTPUT.as_ref(), BufWriter::new(io::stdout().lock()));
                predictor.stream(input, writer, name, &options, &mut on_done)?
            }
            false => predictor.stream_to_file(input, &self.output, &options, &mut on_done)?,
        };
        // Not among the answers.
        let summary = summary(&report);
        match is_standard(&self.output) {
            true => progress.line(&summary),
            false => {
                drop(progress);
                console::print(format_args!("{summary}: {}", self.output.display()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Checks that no output exists already or is named twice.
    fn check_outputs(&self) -> anyhow::Result<()> {
        let outputs = [Some(&self.output), self.null_odds.as_ref(), self.n_best.as_ref()];
        let outputs: Vec<&PathBuf> = outputs.into_iter().flatten().collect();
        for (place, output) in outputs.iter().enumerate() {
            let name = output.display();
            if outputs[..place].contains(output) {
                bail!("{name} is named for two outputs: each needs a file of its own");
            }
            if output.is_file() && self.overwrite.existing() == Existing::Refuse {
                bail!("{name} exists: name another file, or replace it with --overwrite");
            }
        }
        Ok(())
    }

    /// Checks that the model is of the task of `--task`.
    fn check_task(&self, predictor: &Predictor) -> anyhow::Result<()> {
        let known = predictor.header().task.as_str();
        let Some(task) = &self.task else { return Ok(()) };
        // WNLI by candidates answers WNLI.
        let same = task
            .to_str()
            .is_some_and(|task| task == known || known.strip_suffix("-candidates") == Some(task))
            || (task.exists() && kinds().read(task, &[])?.name() == known);
        match same {
            true => Ok(()),
            false => bail!(
                "{} is a model of task {known:?}, not of {}",
                self.model.display(),
                task.display()
            ),
        }
    }

    /// Checks that the options of streams are the model's.
    fn check_streams(&self, form: &RequestForm) -> anyhow::Result<()> {
        match form {
            RequestForm::Words { .. } if self.format.is_some() => {
                bail!("words are read and written in columns: no --format")
            }
            RequestForm::Questions { .. }
                if self.format.is_some()
                    || self.window.is_some()
                    || is_standard(&self.input)
                    || is_standard(&self.output) =>
            {
                bail!(
                    "questions are read from and written to files of JSON: no --format, no --window, no `-`"
                )
            }
            _ => Ok(()),
        }
    }

    fn input(&self, form: &RequestForm) -> anyhow::Result<StreamInput> {
        let is_table = matches!(form, RequestForm::Rows { .. });
        if is_standard(&self.input) {
            let format = match (self.format, is_table) {
                (Some(format), _) => format,
                (None, false) => Format::Tsv,
                (None, true) => {
                    bail!("--format must name the format of standard input: tsv, csv or jsonl")
                }
            };
            return Ok(StreamInput::new(io::stdin(), STANDARD_INPUT, format));
        }
        if is_table && self.format.is_none() {
            Format::of(&self.input).map_err(|error| anyhow!("{error}; or give --format"))?;
        }
        Ok(StreamInput::open(&self.input)?.with_format(self.format))
    }

    fn options(&self, form: &RequestForm) -> StreamOptions {
        let usual = StreamOptions::default();
        StreamOptions {
            batch_size: self.batch_size.unwrap_or(usual.batch_size),
            window: self.window.unwrap_or(usual.window),
            probabilities: match self.probabilities {
                true => Probabilities::Write,
                false => Probabilities::Omit,
            },
            format: match is_standard(&self.output) || !matches!(form, RequestForm::Rows { .. }) {
                true => None,
                false => Some(Format::of(&self.output).unwrap_or(Format::Tsv)),
            },
            null_odds: self.null_odds.clone(),
            n_best: self.n_best.clone(),
            threshold: self.threshold,
        }
    }
}

/// What was done, how fast, and in how much memory if the system tells.
fn summary(report: &StreamReport) -> String {
    let StreamReport { done, unit, seconds } = report;
    let rate = *done as f64 / seconds;
    let memory = host::peak_memory().map(|bytes| format!(", {} MB of memory", bytes / 1_000_000));
    format!("{done} {unit}, {rate:.0} a second{}", memory.unwrap_or_default())
}
