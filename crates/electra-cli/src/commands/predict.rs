//! `electra predict`: predicts a file or a stream with a fine-tuned model.

use super::{Overwrite, STANDARD_INPUT, is_standard, number};
use crate::{
    Extensions,
    console::{self, Progress},
};
use anyhow::{anyhow, bail};
use clap::Parser;
use electra_scores::table::{Delimiter, Format, Quoting};
use electra_tasks::{
    Kinds, Predictor,
    answer::RequestForm,
    predictor::{Probabilities, StreamInput, StreamOptions, StreamReport},
};
use electra_train::{Existing, host};
use std::{
    io::{self, BufWriter},
    path::PathBuf,
    process::ExitCode,
};

/// Headings of options.
const QUESTIONS: &str = "Question answering";
const SPEED: &str = "Speed and memory";

/// The name of standard output in messages.
const STANDARD_OUTPUT: &str = "standard output";

/// Predict with a fine-tuned model.
///
/// The input is a table (TSV, CSV, JSON or JSON lines), a CoNLL file for a tagger, or a SQuAD file for question answering. Rows and
/// words are predicted in constant memory.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  electra predict --model runs/mine --input new.tsv --output predictions.tsv --probabilities
  zcat new.jsonl.gz | electra predict --model runs/mine --input - --format jsonl --output - | gzip > answers.gz
  electra predict --model runs/entities --input words.conll --output tagged.conll
  electra predict --model runs/squad --input dev-v2.0.json --output preds.json --null-odds null_odds.json
  electra predict --model exported/base --task wnli --input GLUE/WNLI/dev.tsv --output predictions.tsv")]
pub(crate) struct Args {
    /// Output folder of `electra finetune`, or the `model` folder in it; for WNLI also a pre-trained discriminator.
    #[arg(long)]
    model: PathBuf,
    /// Check that the model is for this task, given as a task.toml or a name. Required only for `wnli` with a pre-trained
    /// discriminator, which selects the antecedent that looks most original in place of the pronoun.
    #[arg(long)]
    task: Option<PathBuf>,
    /// Input file, or `-` for standard input: rows with the same names of text columns as in training; for a tagger, a CoNLL
    /// file with the words in the same column as in training; for questions, JSON or JSON lines as in training.
    #[arg(long)]
    input: PathBuf,
    /// Format of the rows. Required for standard input; the default for a file depends on its extension.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The character between columns of a TSV or CSV input, if it is not a tab or a comma, such as `;`.
    #[arg(long)]
    delimiter: Option<Delimiter>,
    /// Whether fields of a TSV or CSV input may be enclosed in quotation marks. Default: those of CSV.
    #[arg(long, value_enum)]
    quoting: Option<Quoting>,
    /// Output file, or `-` for standard output: `index` and `prediction` in the order of the rows. The format depends on
    /// the extension (CSV, JSON lines, JSON, else TSV); on standard output it is that of the input. For words, the lines of the
    /// input with another column for the tag; for questions, JSON `{id: text}`, with an empty text if a model of SQuAD
    /// 2.0 predicts no answer.
    #[arg(long)]
    output: PathBuf,
    /// Also write the probability of each class (or label); for words, of the model's class, which may be written as another
    /// tag (an I-PER that begins an entity as B-PER).
    #[arg(long)]
    probabilities: bool,
    /// Also write the score of "no answer" as `{id: number}`.
    #[arg(long, help_heading = QUESTIONS)]
    null_odds: Option<PathBuf>,
    /// Also write the n best answers with their probabilities.
    #[arg(long, help_heading = QUESTIONS)]
    n_best: Option<PathBuf>,
    /// Predict no answer if the null odds are above this. Default: the model's threshold; `inf` keeps every answer.
    #[arg(long, help_heading = QUESTIONS, allow_hyphen_values = true, value_parser = number)]
    threshold: Option<f64>,
    /// Rows per forward pass; 64 by default.
    #[arg(long, help_heading = SPEED)]
    batch_size: Option<usize>,
    /// How many rows or sentences are read, sorted by length and predicted at a time; 8192 by default. This bounds memory.
    /// With 1, each row of a pipe is predicted as it arrives.
    #[arg(long, help_heading = SPEED)]
    window: Option<usize>,
    /// Device: "auto", "cpu" or "cuda:N".
    #[arg(long, default_value = "auto", help_heading = SPEED)]
    device: String,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        self.check_outputs()?;
        let predictor =
            Predictor::open_with(&self.model, &self.device, &extensions.kinds, &extensions.parts)?;
        self.check_task(&predictor, &extensions.kinds)?;
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
                let writer = BufWriter::new(console::Output);
                predictor.stream(input, writer, STANDARD_OUTPUT.as_ref(), &options, &mut on_done)?
            }
            false => predictor.stream_to_file(input, &self.output, &options, &mut on_done)?,
        };
        // Standard output is for the predictions.
        let summary = summary(&report);
        if is_standard(&self.output) {
            progress.line(&summary);
        }
        drop(progress);
        if !is_standard(&self.output) {
            console::print(format_args!("{summary}: {}", self.output.display()))?;
        }
        if let Some(message) = report.truncated.message() {
            tracing::warn!("{}: {message}", self.input.display());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Checks that outputs do not exist yet and differ from each other.
    fn check_outputs(&self) -> anyhow::Result<()> {
        let outputs = [Some(&self.output), self.null_odds.as_ref(), self.n_best.as_ref()];
        let outputs: Vec<&PathBuf> = outputs.into_iter().flatten().collect();
        for (place, output) in outputs.iter().enumerate() {
            let name = output.display();
            if outputs[..place].contains(output) {
                bail!("{name} is named for two outputs: use a different file for each");
            }
            if output.is_file() && self.overwrite.existing() == Existing::Refuse {
                bail!("{name} exists: use another file, or --overwrite");
            }
        }
        Ok(())
    }

    /// Checks that the model has the task of `--task`.
    fn check_task(&self, predictor: &Predictor, kinds: &Kinds) -> anyhow::Result<()> {
        let known = predictor.header().task.as_str();
        let Some(task) = &self.task else { return Ok(()) };
        // A model of wnli-candidates predicts WNLI.
        let same = task
            .to_str()
            .is_some_and(|task| task == known || known.strip_suffix("-candidates") == Some(task))
            || (task.exists() && kinds.read(task, &[])?.name() == known);
        match same {
            true => Ok(()),
            false => bail!(
                "{}: the model has the task {known:?}, not {}",
                self.model.display(),
                task.display()
            ),
        }
    }

    /// Checks that the options of streams are for the model's kind of task.
    fn check_streams(&self, form: &RequestForm) -> anyhow::Result<()> {
        let is_table = self.format.is_some() || self.delimiter.is_some() || self.quoting.is_some();
        match form {
            RequestForm::Words { .. } if is_table => bail!(
                "words are read and written in columns: remove --format, --delimiter and --quoting"
            ),
            RequestForm::Questions { .. } => {
                let given = [
                    (self.format.is_some(), "--format"),
                    (self.delimiter.is_some(), "--delimiter"),
                    (self.quoting.is_some(), "--quoting"),
                    (self.window.is_some(), "--window"),
                ];
                let given: Vec<&str> =
                    given.into_iter().filter(|(given, _)| *given).map(|(_, name)| name).collect();
                if !given.is_empty() {
                    bail!(
                        "questions are read from a JSON file as a whole: remove {}",
                        given.join(", ")
                    );
                }
                for (path, option) in [(&self.input, "--input"), (&self.output, "--output")] {
                    if is_standard(path) {
                        bail!(
                            "{option} -: questions are read from and written to JSON files: use {option} FILE.json"
                        );
                    }
                }
                Ok(())
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
                    bail!("standard input needs --format: tsv, csv, jsonl or json")
                }
            };
            let input = StreamInput::new(io::stdin(), STANDARD_INPUT, format);
            return Ok(input.with_delimiter(self.delimiter, self.quoting));
        }
        if is_table && self.format.is_none() {
            Format::of(&self.input).map_err(|error| anyhow!("{error}; or use --format"))?;
        }
        let input = StreamInput::open(&self.input)?.with_format(self.format);
        Ok(input.with_delimiter(self.delimiter, self.quoting))
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

/// The number of predictions, the speed and, if known, the peak memory.
fn summary(report: &StreamReport) -> String {
    let StreamReport { done, unit, seconds, .. } = report;
    let rate = *done as f64 / seconds;
    let memory = host::peak_memory().map(|bytes| format!(", {} MB of memory", bytes / 1_000_000));
    format!("{done} {unit}, {rate:.0} per second{}", memory.unwrap_or_default())
}
