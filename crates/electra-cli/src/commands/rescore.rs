//! `electra rescore`: pseudo-log-likelihoods of texts by a discriminator of Electric.

use super::{Overwrite, is_standard, lines, model::Model};
use crate::{
    Extensions,
    console::{self, Progress},
};
use anyhow::bail;
use clap::Parser;
use electra_files::write_file_with;
use electra_model::{Discriminator, likelihood::pseudo_log_likelihoods};
use electra_scores::window::{Filled, WINDOW_BYTES, fill};
use electra_tokenize::Tokenizer;
use electra_train::Existing;
use std::{
    io::{BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

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
        let (lines, file) = lines(&self.input)?;
        let mut texts = lines.numbered(&file).map(|line| Text::new(&model, &file, line?));
        let mut progress = Progress::new("texts", 0);
        if is_standard(&self.output) {
            let mut writer = BufWriter::new(console::Output);
            let done = self.score(&model, &mut texts, &file, &mut writer, &mut progress)?;
            progress.line(&done.summary());
        } else {
            let done = write_file_with(&self.output, |writer| {
                self.score(&model, &mut texts, &file, writer, &mut progress)
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
        texts: &mut impl Iterator<Item = anyhow::Result<Text>>,
        file: &str,
        writer: &mut impl Write,
        progress: &mut Progress,
    ) -> anyhow::Result<Done> {
        let (pad, batch_size) = (model.tokenizer.vocab().special().pad, self.batch_size as usize);
        let mut done = Done::default();
        writeln!(writer, "score\ttokens\ttext")?;
        loop {
            let bytes = |text: &Text| text.text.len();
            let (window, filled) = fill(texts, self.window as usize, WINDOW_BYTES, bytes);
            let scores = pseudo_log_likelihoods(&model.network, &window, pad, batch_size);
            for (text, score) in window.iter().zip(scores) {
                if !score.is_finite() {
                    writer.flush()?;
                    bail!(
                        "{file}, line {}: the model returned NaN or infinity; its weights may be corrupt",
                        text.line
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

impl Text {
    /// Encodes a line.
    ///
    /// # Errors
    /// If it is too long for the model.
    fn new(
        model: &Model<Discriminator>,
        file: &str,
        (line, text): (u64, String),
    ) -> anyhow::Result<Self> {
        let (special, limit) = (model.tokenizer.vocab().special(), model.max_positions);
        let mut ids = vec![special.cls];
        model.tokenizer.encode_into(&text, &mut ids)?;
        ids.push(special.sep);
        if ids.len() > limit {
            bail!(
                "{file}, line {line}: the text has {} tokens with [CLS] and [SEP], but the model supports at most {limit}; \
                 shorten or split it",
                ids.len()
            );
        }
        Ok(Self { line, text, ids })
    }
}

impl AsRef<[u32]> for Text {
    fn as_ref(&self) -> &[u32] {
        &self.ids
    }
}
