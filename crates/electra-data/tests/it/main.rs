//! Tests of the public API, from a corpus to masked batches.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod bad_input;
mod build;
mod corpus;
mod held_out;
mod loader;
mod masking;
mod masking_strategies;
mod output;
mod packing;
#[cfg(feature = "parquet")]
mod parquet;
mod sampler;
mod statistics;

use electra_data::{BuildConfig, BuildReport, Corpus, CorpusConfig, Result, build_shards};
use electra_tokenize::{TokenizerConfig, Vocab, WordPiece};
use std::path::{Path, PathBuf};

/// A temporary folder for a corpus and shards.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Builds shards of `corpus` in `out`.
    pub(crate) fn shards(&self, corpus: &Path, out: &str, length: usize) -> Result<BuildReport> {
        let corpus = Corpus::open(corpus, CorpusConfig::default())?;
        build_shards(&corpus, &letters(), &self.config(out, length), &mut |_| {})
    }

    pub(crate) fn config(&self, out: &str, length: usize) -> BuildConfig {
        BuildConfig { held_out: 0.1, ..BuildConfig::new(self.path(out), length) }
    }
}

/// A tokenizer of letters: `[PAD] [UNK] [CLS] [SEP] [MASK] a .. z ##a .. ##z . ,`.
pub(crate) fn letters() -> WordPiece {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let single = ('a'..='z').map(String::from);
    let inner = ('a'..='z').map(|c| format!("##{c}"));
    let marks = [".", ","].map(str::to_owned);
    let tokens = special.into_iter().chain(single).chain(inner).chain(marks).collect();
    WordPiece::new(Vocab::from_tokens(tokens).unwrap(), TokenizerConfig::default()).unwrap()
}

/// A text of `documents` distinct documents of several sentences, separated by blank lines.
pub(crate) fn text(documents: usize) -> String {
    let sentence = |d: usize, s: usize| {
        let words = (0..3 + (d * 7 + s * 5) % 9).map(|w| {
            let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
            String::from_iter([letter(d + w), letter(s * 3 + w), letter(d * s)])
        });
        words.collect::<Vec<_>>().join(" ") + "."
    };
    let document = |d| (0..2 + d % 6).map(|s| sentence(d, s)).collect::<Vec<_>>().join(" ");
    (0..documents).map(document).collect::<Vec<_>>().join("\n\n")
}
