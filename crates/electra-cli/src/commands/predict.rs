//! `electra predict`: a fine-tuned model on a file or a stream.

use super::{Overwrite, number};
use crate::console::{self, Progress};
use anyhow::{Context, anyhow, bail};
use clap::{Parser, ValueEnum};
use electra_tasks::{
    AnyTask, SquadPredictor, TaggingPredictor,
    glue::winograd::{self, WinogradPredictor},
    model,
    multi_label::MultiLabelInfo,
    predict::{PredictOptions, PredictReport, Probabilities, TextInfo, TextPredictor},
    sentence::SentenceInfo,
    squad::SquadOutputs,
    table::{Format, Header, Rows},
    tagging::Sentences,
};
use electra_train::{Existing, host};
use std::{
    fs::File,
    io::{self, BufWriter},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

/// Standard input or output, in place of a file.
const STANDARD: &str = "-";
/// What errors call it.
const STANDARD_INPUT: &str = "standard input";
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
    /// How rows are written; needed for those of standard input, else the file's extension says it.
    #[arg(long, value_enum)]
    format: Option<FormatName>,
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
    /// Rows of one forward pass; 64 by default. Not of WNLI by candidates.
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    /// Tab-separated with a header, no quoting.
    Tsv,
    /// Comma-separated with a header, quoted.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

impl FormatName {
    fn format(self) -> Format {
        match self {
            Self::Tsv => Format::Tsv,
            Self::Csv => Format::Csv,
            Self::Jsonl => Format::JsonLines,
        }
    }
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        self.check_outputs()?;
        let model = model::folder_of(&self.model);
        if winograd::is_discriminator(&model) {
            return self.candidates(&model);
        }
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
            model::Kind::Tagging => self.words(&model),
            model::Kind::MultiLabel => self.rows::<MultiLabelInfo>(&model),
            _ => self.rows::<SentenceInfo>(&model),
        }
    }

    /// No output is there already or named twice.
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

    /// The rows of WNLI, by a discriminator: one that is fine-tuned on candidates knows its task, of another it is asked.
    fn candidates(self, model: &Path) -> anyhow::Result<ExitCode> {
        let known = [winograd::TASK, winograd::CANDIDATES].map(Path::new);
        match self.task.as_deref() {
            Some(task) if !known.contains(&task) => {
                bail!("{} is a discriminator: it answers {}", model.display(), winograd::TASK)
            }
            None if !model::is_fine_tuned(model) => bail!(
                "{} is a discriminator as it was pre-trained: it answers --task {} alone",
                model.display(),
                winograd::TASK
            ),
            _ => {}
        }
        self.no_questions(model)?;
        if self.probabilities
            || self.format.is_some()
            || self.window.is_some()
            || self.batch_size.is_some()
            || is_standard(&self.input)
            || is_standard(&self.output)
        {
            bail!(
                "WNLI is read from and written to files of its own, row by row: no --probabilities, no --format, no --window, no --batch-size, no `-`"
            );
        }
        let predictor = WinogradPredictor::open(model, &self.device)?;
        let mut progress = Progress::new("rows", 0);
        let report =
            predictor.predict(&self.input, &self.output, &mut |rows| progress.set(rows, 0))?;
        drop(progress);
        console::print(format_args!(
            "{} rows; {} are no clause with a pronoun filled in and answered 0; {} have one candidate: {}",
            report.rows,
            report.not_parsed,
            report.alone,
            self.output.display()
        ))?;
        Ok(ExitCode::SUCCESS)
    }

    /// The questions of a file.
    fn questions(self, model: &Path) -> anyhow::Result<ExitCode> {
        if self.probabilities {
            bail!("--probabilities is for classes; --n-best writes those of answers");
        }
        if self.format.is_some()
            || self.window.is_some()
            || is_standard(&self.input)
            || is_standard(&self.output)
        {
            bail!(
                "questions are read from and written to files of JSON: no --format, no --window, no `-`"
            );
        }
        let batch_size = self.batch_size();
        let predictor = SquadPredictor::open(model, &self.device)?;
        let outputs = SquadOutputs {
            predictions: self.output,
            null_odds: self.null_odds,
            n_best: self.n_best,
            threshold: self.threshold,
        };
        let mut progress = Progress::new("questions", 0);
        let clock = Instant::now();
        let done =
            predictor.predict(&self.input, &outputs, batch_size, &mut |n| progress.set(n, 0))?;
        drop(progress);
        let summary = summary(done, "questions", clock.elapsed().as_secs_f64());
        console::print(format_args!("{summary}: {}", outputs.predictions.display()))?;
        Ok(ExitCode::SUCCESS)
    }

    fn no_questions(&self, model: &Path) -> anyhow::Result<()> {
        if self.null_odds.is_some() || self.n_best.is_some() || self.threshold.is_some() {
            bail!(
                "--null-odds, --n-best and --threshold are for models of questions, which {} is not",
                model.display()
            );
        }
        Ok(())
    }

    fn batch_size(&self) -> usize {
        self.batch_size.unwrap_or(PredictOptions::default().batch_size)
    }

    /// The words of a CoNLL file.
    fn words(self, model: &Path) -> anyhow::Result<ExitCode> {
        self.no_questions(model)?;
        if self.format.is_some() {
            bail!("words are read and written in columns: no --format");
        }
        let predictor = TaggingPredictor::open(model, &self.device)?;
        let sentences = match is_standard(&self.input) {
            true => Sentences::from_reader(io::stdin(), STANDARD_INPUT, predictor.columns()),
            false => Sentences::open(&self.input, predictor.columns())?,
        };
        let options = self.options(Format::Tsv);
        let mut progress = Progress::new("words", 0);
        let mut on_words = |words| progress.set(words, 0);
        let report = match is_standard(&self.output) {
            true => {
                let (name, writer) =
                    (STANDARD_OUTPUT.as_ref(), BufWriter::new(io::stdout().lock()));
                predictor.predict_sentences(sentences, writer, name, &options, &mut on_words)?
            }
            false => predictor.predict_file(sentences, &self.output, &options, &mut on_words)?,
        };
        self.finished(progress, &report, "words")
    }

    /// The rows of a table.
    fn rows<I: TextInfo>(self, model: &Path) -> anyhow::Result<ExitCode> {
        self.no_questions(model)?;
        let predictor = TextPredictor::<I>::open(model, &self.device)?;
        let format = match (self.format, is_standard(&self.input)) {
            (Some(format), _) => format.format(),
            (None, false) => Format::of(&self.input)
                .map_err(|error| anyhow!("{error}; or say it with --format"))?,
            (None, true) => {
                bail!("--format must say how standard input is written: tsv, csv or jsonl")
            }
        };
        let columns = predictor.text_columns();
        let rows = match is_standard(&self.input) {
            true => {
                Rows::from_reader(io::stdin(), format, STANDARD_INPUT, &columns, Header::FirstLine)
            }
            false => {
                let name = self.input.display().to_string();
                let file = File::open(&self.input).context(name.clone())?;
                Rows::from_reader(file, format, &name, &columns, Header::FirstLine)
            }
        }?;
        let options = self.options(match is_standard(&self.output) {
            true => format,
            false => Format::of(&self.output).unwrap_or(Format::Tsv),
        });
        let mut progress = Progress::new("rows", 0);
        let mut on_rows = |rows| progress.set(rows, 0);
        let report = match is_standard(&self.output) {
            true => {
                let (name, writer) =
                    (STANDARD_OUTPUT.as_ref(), BufWriter::new(io::stdout().lock()));
                predictor.predict_rows(rows, writer, name, &options, &mut on_rows)?
            }
            false => predictor.predict_file(rows, &self.output, &options, &mut on_rows)?,
        };
        self.finished(progress, &report, "rows")
    }

    fn options(&self, format: Format) -> PredictOptions {
        let usual = PredictOptions::default();
        PredictOptions {
            batch_size: self.batch_size(),
            window: self.window.unwrap_or(usual.window),
            probabilities: match self.probabilities {
                true => Probabilities::Write,
                false => Probabilities::Omit,
            },
            format,
        }
    }

    /// Says what was done where it does not stand among the answers.
    fn finished(
        &self,
        progress: Progress,
        report: &PredictReport,
        what: &str,
    ) -> anyhow::Result<ExitCode> {
        let summary = summary(report.rows, what, report.seconds);
        match is_standard(&self.output) {
            true => progress.line(&summary),
            false => {
                drop(progress);
                console::print(format_args!("{summary}: {}", self.output.display()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What was done, how fast, and in how much memory where the system tells.
fn summary(done: u64, what: &str, seconds: f64) -> String {
    let rate = done as f64 / seconds;
    let memory = host::peak_memory().map(|bytes| format!(", {} MB of memory", bytes / 1_000_000));
    format!("{done} {what}, {rate:.0} a second{}", memory.unwrap_or_default())
}

fn is_standard(path: &Path) -> bool {
    path == Path::new(STANDARD)
}
