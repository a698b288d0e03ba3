//! `electra embed`: embeddings of texts.

use super::{Overwrite, is_standard, lines};
use crate::{
    Extensions,
    console::{self, Progress},
};
use anyhow::{Context, bail};
use clap::Parser;
use electra_files::write_file_with;
use electra_tasks::{Embedder, Error, config::Pooling};
use electra_train::Existing;
use std::{
    fs::File,
    io::{BufWriter, Seek, SeekFrom, Write},
    path::PathBuf,
    process::ExitCode,
};

/// Write a vector for each line of a text: the encoder's hidden states, pooled.
///
/// The vectors are features for a classifier or a clustering. For a search by cosine similarity, fine-tune the model first,
/// for example on STS-B: the vectors of a pre-trained encoder are not close because texts have a similar meaning. Memory does
/// not grow with the input.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  electra embed --model exported/small --input lines.txt --output vectors.npy
  zcat lines.txt.gz | electra embed --model runs/stsb --input - --output - | gzip > vectors.jsonl.gz")]
pub(crate) struct Args {
    /// A model folder, pre-trained or fine-tuned, or the output folder of `electra finetune`.
    #[arg(long)]
    model: PathBuf,
    /// UTF-8 text with one text per line, empty lines included; `-` for standard input.
    #[arg(long)]
    input: PathBuf,
    /// The file to write, in the order of the lines: `.npy` (NumPy, float32 `[lines, hidden size]`) or `.jsonl` (an array of
    /// numbers on each line); `-` for standard output, as JSON lines.
    #[arg(long)]
    output: PathBuf,
    /// How the hidden states of a text's tokens become one vector.
    #[arg(long, value_enum, default_value = "mean")]
    pooling: Pooling,
    /// Texts of one forward pass.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// How many lines are read, sorted by length and embedded together. 1 embeds each line of a pipe as it arrives.
    #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..))]
    window: u32,
    /// Device: "auto", "cpu" or "cuda:N".
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    overwrite: Overwrite,
}

/// How vectors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Npy,
    JsonLines,
}

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        let format = self.format()?;
        let output = self.output.display();
        if self.output.is_file() && self.overwrite.existing() == Existing::Refuse {
            bail!("{output} exists: name another file, or replace it with --overwrite");
        }
        let embedder = Embedder::open_with(&self.model, &self.device, &extensions.parts)?
            .with_pooling(self.pooling)
            .with_batches(self.batch_size as usize, self.window as usize);
        match format {
            _ if is_standard(&self.output) => {
                let texts = self.json_lines(&embedder, &mut BufWriter::new(console::Output))?;
                tracing::info!("{texts} vectors of {} numbers", embedder.width());
                return Ok(ExitCode::SUCCESS);
            }
            Format::Npy => write_file_with(&self.output, |writer| self.npy(&embedder, writer)),
            Format::JsonLines => {
                write_file_with(&self.output, |writer| self.json_lines(&embedder, writer))
            }
        }
        .and_then(|texts| {
            console::print(format_args!(
                "{texts} vectors of {} numbers: {output}",
                embedder.width()
            ))
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn format(&self) -> anyhow::Result<Format> {
        let extension = self.output.extension().unwrap_or_default().to_ascii_lowercase();
        match extension.to_str() {
            _ if is_standard(&self.output) => Ok(Format::JsonLines),
            Some("npy") => Ok(Format::Npy),
            Some("jsonl") => Ok(Format::JsonLines),
            _ => bail!("{}: the name must end with .npy or .jsonl", self.output.display()),
        }
    }

    fn json_lines(&self, embedder: &Embedder, writer: &mut impl Write) -> anyhow::Result<u64> {
        self.embed(embedder, &mut |vectors| {
            for vector in vectors {
                serde_json::to_writer(&mut *writer, vector)?;
                writer.write_all(b"\n")?;
            }
            writer.flush()
        })
    }

    fn npy(&self, embedder: &Embedder, writer: &mut BufWriter<File>) -> anyhow::Result<u64> {
        let path = &self.output;
        writer
            .write_all(&npy_header(0, embedder.width()))
            .map_err(electra_files::Error::io(path))?;
        let texts = self.embed(embedder, &mut |vectors| {
            vectors.iter().flatten().try_for_each(|number| writer.write_all(&number.to_le_bytes()))
        })?;
        writer
            .seek(SeekFrom::Start(0))
            .and_then(|_| writer.write_all(&npy_header(texts, embedder.width())))
            .with_context(|| format!("{}: .npy needs a regular file", path.display()))?;
        Ok(texts)
    }

    /// Embeds all lines; returns their number.
    fn embed(
        &self,
        embedder: &Embedder,
        write: &mut dyn FnMut(&[Vec<f32>]) -> std::io::Result<()>,
    ) -> anyhow::Result<u64> {
        let (lines, file) = lines(&self.input)?;
        let (mut texts, mut progress) = (0, Progress::new("texts", 0));
        let truncated = embedder.stream(lines, &file, &mut |vectors| {
            write(vectors).map_err(Error::io(&self.output))?;
            texts += vectors.len() as u64;
            progress.set(texts, 0);
            Ok(())
        })?;
        drop(progress);
        if let Some(message) = truncated.message() {
            tracing::warn!("{file}: {message}");
        }
        Ok(texts)
    }
}

/// The first 128 bytes of a NumPy file with float32 `[rows, width]`, in little-endian and C order.
///
/// Source: NumPy, `numpy.lib.format`, version 1.0.
fn npy_header(rows: u64, width: usize) -> Vec<u8> {
    const LENGTH: usize = 128;
    let dictionary =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(LENGTH as u16 - 10).to_le_bytes());
    header.extend_from_slice(dictionary.as_bytes());
    header.resize(LENGTH - 1, b' ');
    header.push(b'\n');
    header
}
