//! Arguments of the commands that read a corpus.

use clap::Args;
use electra_data::{Corpus, CorpusConfig, DecodeErrors, DocumentBoundary, Sentences};
use electra_tokenize::{Accents, Case, TokenizerOptions};
use std::path::{Path, PathBuf};

/// The heading of the options for reading text.
const READING: &str = "Reading the text";

/// The corpus, and how to read its text.
#[derive(Debug, Args)]
pub(crate) struct CorpusArgs {
    /// Corpus file or folder: .txt, .jsonl or .json, optionally with .gz, .xz or .zst, or .parquet.
    #[arg(long)]
    corpus: PathBuf,
    /// Text field of JSON lines or Parquet.
    #[arg(long, help_heading = READING, default_value = "text")]
    field: String,
    /// How documents are separated in plain text. In other formats each record is a document.
    #[arg(long, help_heading = READING, value_enum, default_value_t = DocumentBoundary::BlankLine)]
    documents: DocumentBoundary,
    /// How sentences are separated.
    #[arg(long, help_heading = READING, value_enum, default_value_t = Sentences::Unicode)]
    sentences: Sentences,
    /// Skip and count invalid UTF-8 bytes, and escapes of lone surrogates in JSON, instead of failing.
    #[arg(long, help_heading = READING)]
    lossy: bool,
    #[command(flatten, next_help_heading = READING)]
    pub(crate) tokenizer: TokenizerArgs,
}

/// Settings of a tokenizer. Those that are not given come from the files of the vocabulary.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct TokenizerArgs {
    /// Do not lower-case the text. `vocab train` records this option and the next two beside the vocabulary, so that they
    /// need not be repeated.
    #[arg(long)]
    cased: bool,
    /// How to handle accents. Default: auto.
    #[arg(long, value_enum)]
    accents: Option<Accents>,
    /// Longer words become `[UNK]`. Default: 100, as in Hugging Face; the reference uses 200.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    max_chars_per_word: Option<u32>,
}

impl TokenizerArgs {
    pub(crate) fn options(self) -> TokenizerOptions {
        TokenizerOptions {
            case: self.cased.then_some(Case::Cased),
            accents: self.accents,
            max_chars_per_word: self.max_chars_per_word.map(|limit| limit as usize),
        }
    }
}

impl CorpusArgs {
    pub(crate) fn open(&self) -> anyhow::Result<Corpus> {
        let corpus = Corpus::open(&self.corpus, self.reading())?;
        warn_of_skipped(&corpus);
        Ok(corpus)
    }

    /// The file or folder.
    pub(crate) fn path(&self) -> &Path {
        &self.corpus
    }

    /// How the corpus is read.
    pub(crate) fn reading(&self) -> CorpusConfig {
        CorpusConfig {
            field: self.field.clone(),
            documents: self.documents,
            sentences: self.sentences,
            encoding: if self.lossy { DecodeErrors::Lossy } else { DecodeErrors::Strict },
        }
    }
}

/// Names the files of a corpus that are not read.
pub(crate) fn warn_of_skipped(corpus: &Corpus) {
    for path in corpus.skipped() {
        tracing::warn!("skipped a file with an unsupported extension: {}", path.display());
    }
}
