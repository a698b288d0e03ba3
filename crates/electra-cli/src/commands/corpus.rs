//! Arguments of every command that reads a corpus.

use clap::{Args, ValueEnum};
use electra_data::{Corpus, CorpusConfig, DocumentBoundary, Encoding, Sentences};
use electra_tokenize::{Accents, Case, TokenizerConfig};
use std::path::PathBuf;

/// Which corpus, and how its text is read.
#[derive(Debug, Args)]
pub(crate) struct CorpusArgs {
    /// A file or folder: .txt or .jsonl, each also .gz .xz .zst, or .parquet.
    #[arg(long)]
    corpus: PathBuf,
    /// The field of JSON lines or Parquet that holds the text.
    #[arg(long, default_value = "text")]
    field: String,
    /// What divides documents in plain text; in other formats each record is one.
    #[arg(long, value_enum, default_value_t = Documents::BlankLine)]
    documents: Documents,
    /// What a sentence is.
    #[arg(long, value_enum, default_value_t = SentenceRule::Unicode)]
    sentences: SentenceRule,
    /// Leave out bytes that are not UTF-8 and count them, instead of stopping at them.
    #[arg(long)]
    lossy: bool,
    /// Keep capitals.
    #[arg(long)]
    cased: bool,
    /// What happens to accents.
    #[arg(long, value_enum, default_value_t = AccentRule::Auto)]
    accents: AccentRule,
    /// Longer words become `[UNK]`; the reference has 200, Hugging Face 100.
    #[arg(long, default_value_t = 100)]
    max_chars_per_word: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Documents {
    /// Blank lines.
    BlankLine,
    /// The end of a file.
    File,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SentenceRule {
    /// Unicode's sentence boundaries.
    Unicode,
    /// One sentence a line.
    Line,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AccentRule {
    /// Taken off exactly when text is lower-cased.
    Auto,
    /// Taken off.
    Strip,
    /// Kept.
    Keep,
}

impl CorpusArgs {
    pub(crate) fn open(&self) -> anyhow::Result<Corpus> {
        let config = CorpusConfig {
            field: self.field.clone(),
            documents: match self.documents {
                Documents::BlankLine => DocumentBoundary::BlankLine,
                Documents::File => DocumentBoundary::File,
            },
            sentences: match self.sentences {
                SentenceRule::Unicode => Sentences::Unicode,
                SentenceRule::Line => Sentences::Line,
            },
            encoding: if self.lossy { Encoding::Lossy } else { Encoding::Strict },
        };
        let corpus = Corpus::open(&self.corpus, config)?;
        for path in corpus.left_out() {
            tracing::warn!("left out, not of a kind that can be read: {}", path.display());
        }
        Ok(corpus)
    }

    pub(crate) fn tokenizer(&self) -> TokenizerConfig {
        TokenizerConfig {
            case: if self.cased { Case::Cased } else { Case::Uncased },
            accents: match self.accents {
                AccentRule::Auto => Accents::Auto,
                AccentRule::Strip => Accents::Strip,
                AccentRule::Keep => Accents::Keep,
            },
            max_chars_per_word: self.max_chars_per_word,
        }
    }
}
