//! `electra rescore`: pseudo-log-likelihoods of texts by a discriminator of Electric.

use super::{Overwrite, STANDARD_INPUT, is_standard, model::Model};
use crate::{
    Extensions,
    console::{self, Progress},
};
use anyhow::bail;
use clap::Parser;
use electra_files::write_file_with;
use electra_model::{Discriminator, likelihood::pseudo_log_likelihoods};
use electra_scores::Lines;
use electra_tokenize::Tokenizer;
use electra_train::Existing;
use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

/// Bytes of text after which a window ends before its lines are read.
const WINDOW_BYTES: usize = 16 << 20;

/// Score texts with a discriminator of Electric.
///
/// The score of a text is its pseudo-log-likelihood: the sum of the negative energies of its tokens, special tokens not
/// included, from one forward pass. It can choose among the hypotheses of a speech recognizer or a translator. The
/// discriminator must have been trained with `objective.kind = "electric"`: the outputs of a discriminator of replaced token
/// detection are not energies. Memory does not grow with the input.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  electra rescore --model exported/electric --input hypotheses.txt --output scores.tsv
  zcat hypotheses.txt.gz | electra rescore --model exported/electric --input - --output - | sort -gr | head")]
pub(crate) struct Args {
    /// Model folder of the discriminator.
    #[arg(long)]
    model: PathBuf,
    /// UTF-8 text with one text per line; `-` for standard input.
    #[arg(long)]
    input: PathBuf,
    /// The file to write, `-` for standard output: TSV with the columns `score`, `tokens` (their number) and `text` (the line
    /// unchanged, also its tabs), in the order of the lines. A line without tokens has the score 0 and 0 tokens.
    #[arg(long)]
    output: PathBuf,
    /// Texts of one forward pass.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// How many lines are read, sorted by length and scored together. 1 scores each line of a pipe as it arrives.
    #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..))]
    window: u32,
    /// Device: "auto", "cpu" or "cuda:N".
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        let name = self.output.display();
        if self.output.is_file() && self.overwrite.existing() == Existing::Refuse {
            bail!("{name} exists: name another file, or replace it with --overwrite");
        }
        let device = electra_torch::device(&self.device)?;
        let model = Model::<Discriminator>::open(&self.model, &extensions.parts, device)?;
        let (lines, file) = match is_standard(&self.input) {
            true => (Lines::from_reader(io::stdin()), STANDARD_INPUT.to_owned()),
            false => {
                let file = self.input.display().to_string();
                (Lines::from_reader(electra_files::open(&self.input)?), file)
            }
        };
        let mut texts = Texts { lines, file, model: &model, most: self.window as usize };
        let mut progress = Progress::new("texts", 0);
        if is_standard(&self.output) {
            let mut writer = BufWriter::new(console::Output);
            let done = self.score(&model, &mut texts, &mut writer, &mut progress)?;
            progress.line(&done.summary());
        } else {
            let done = write_file_with(&self.output, |writer| {
                self.score(&model, &mut texts, writer, &mut progress)
            })?;
            drop(progress);
            console::print(format_args!("{}: {name}", done.summary()))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Scores all texts, a window of them at a time. Where a line cannot be scored, those before it are written.
    fn score(
        &self,
        model: &Model<Discriminator>,
        texts: &mut Texts<'_>,
        writer: &mut impl Write,
        progress: &mut Progress,
    ) -> anyhow::Result<Done> {
        let (pad, batch_size) = (model.tokenizer.vocab().special().pad, self.batch_size as usize);
        let mut done = Done::default();
        writeln!(writer, "score\ttokens\ttext")?;
        loop {
            let mut window = Vec::new();
            let filled = texts.fill(&mut window);
            let scores = pseudo_log_likelihoods(&model.network, &window, pad, batch_size);
            for (text, score) in window.iter().zip(scores) {
                if !score.is_finite() {
                    writer.flush()?;
                    let (file, line) = (&texts.file, text.line);
                    bail!(
                        "{file}, line {line}: the model returned NaN or infinity; its weights may be corrupt"
                    );
                }
                let tokens = text.ids.len() - 2;
                writeln!(writer, "{score:.6}\t{tokens}\t{}", text.text)?;
                done.texts += 1;
                done.empty += u64::from(tokens == 0);
            }
            writer.flush()?;
            progress.set(done.texts, 0);
            if filled? == Filled::Ended {
                return Ok(done);
            }
        }
    }
}

/// The numbers of texts that were scored.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    texts: u64,
    /// Those without tokens.
    empty: u64,
}

impl Done {
    fn summary(self) -> String {
        let Self { texts, empty } = self;
        match empty {
            0 => format!("{texts} texts"),
            _ => format!("{texts} texts, {empty} of them without tokens"),
        }
    }
}

/// A line and its ids, with `[CLS]` and `[SEP]`.
struct Text {
    line: u64,
    text: String,
    ids: Vec<u32>,
}

impl AsRef<[u32]> for Text {
    fn as_ref(&self) -> &[u32] {
        &self.ids
    }
}

/// Why a window has no more texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    /// It is full.
    Full,
    /// There are no more.
    Ended,
}

/// The texts of a file.
struct Texts<'a> {
    lines: Lines,
    /// The name in errors.
    file: String,
    model: &'a Model<Discriminator>,
    /// Lines of a window at most.
    most: usize,
}

impl Texts<'_> {
    /// Appends the next window of texts.
    ///
    /// # Errors
    /// The line that cannot be read or is too long; those before it are in the window.
    fn fill(&mut self, window: &mut Vec<Text>) -> anyhow::Result<Filled> {
        let Self { lines, file, model, most } = self;
        let special = model.tokenizer.vocab().special();
        let (mut bytes, limit) = (0, model.max_positions);
        while window.len() < *most && bytes < WINDOW_BYTES {
            let Some((line, text)) = lines.any(file)? else { return Ok(Filled::Ended) };
            let mut ids = vec![special.cls];
            model.tokenizer.encode_into(text, &mut ids)?;
            ids.push(special.sep);
            if ids.len() > limit {
                bail!(
                    "{file}, line {line}: the text has {} tokens with [CLS] and [SEP], but the model supports at most \
                     {limit}; shorten or split it",
                    ids.len()
                );
            }
            bytes += text.len();
            window.push(Text { line, text: text.to_owned(), ids });
        }
        Ok(Filled::Full)
    }
}
