//! Statistics of a build, and warnings about them.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Statistics of a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildReport {
    /// Files read.
    pub files: u64,
    /// Files that were skipped because of their extension.
    pub files_left_out: u64,
    /// Bytes of text read.
    pub text_bytes: u64,
    /// Documents that have text.
    pub documents: u64,
    /// Sentences that have tokens.
    pub sentences: u64,
    /// Tokens of the text, all of which are in the shards.
    pub text_tokens: u64,
    /// Sentences without tokens (only control characters), which were dropped.
    pub sentences_dropped: u64,
    /// Words that became `[UNK]`.
    pub unknown_tokens: u64,
    /// How many of these the vocabulary has with another case or other accents.
    pub unknown_by_normalization: u64,
    /// The first word that became `[UNK]`.
    pub unknown_example: Option<WordInCorpus>,
    /// How many of the unknown words exceed the tokenizer's word length limit.
    pub overlong_words: u64,
    /// Bytes of these words.
    pub overlong_bytes: u64,
    /// The first of these words.
    pub overlong_example: Option<WordInCorpus>,
    /// The length of the longest of these words, in characters.
    pub longest_word: u64,
    /// The limit: [`electra_tokenize::TokenizerConfig::max_chars_per_word`].
    pub word_limit: u64,
    /// Bytes that were not valid UTF-8 and were replaced by U+FFFD, which has no token ([`crate::DecodeErrors::Lossy`]).
    pub replaced_bytes: u64,
    /// Escapes of lone surrogates in JSON, which were replaced by U+FFFD.
    pub replaced_surrogates: u64,
    /// Tokens of the vocabulary that a text may have: all except special tokens, `[unused0]` and the like, and empty lines.
    pub vocab_tokens: u64,
    /// How many of these are not in the training split.
    pub unused_tokens: u64,
    /// How many of these no text has, because the tokenizer's settings remove their upper-case letters or accents.
    pub unreachable_tokens: u64,
    /// Examples in the training split.
    pub train_examples: u64,
    /// Examples in the held-out split.
    pub held_out_examples: u64,
    /// Tokens of the text in the training split.
    pub train_tokens: u64,
    /// Tokens of the text in the held-out split.
    pub held_out_tokens: u64,
    /// Share of the training split in [`Self::text_tokens`], in percent.
    pub train_percent: f64,
    /// Share of the held-out split, in percent.
    pub held_out_percent: f64,
    /// [`crate::BuildConfig::held_out`], in percent.
    pub held_out_percent_wanted: f64,
    /// Whether a part of a document was held out, because no whole document was short enough.
    pub held_out_part_of_document: bool,
}

/// A word and its place in a corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordInCorpus {
    /// The word, or its first 40 characters.
    pub text: String,
    /// Its length in characters.
    pub characters: usize,
    /// The file.
    pub file: PathBuf,
    /// The line, or the record of a JSON or Parquet file, from 1.
    pub line: u64,
}

/// Shares above which there is a warning.
const UNKNOWN: f64 = 0.02;
const OVERLONG: f64 = 0.005;
const UNREACHABLE: f64 = 0.02;
const UNUSED: f64 = 0.5;

/// How much of the text may be held out, in addition to the wanted share, so that a document stays whole.
const FAIR: f64 = 0.05;

/// The largest share that is held out without a warning if `share` is wanted: twice as much, but at least 5 % and at most
/// 5 % of the text more.
pub(crate) fn largest(share: f64) -> f64 {
    (2.0 * share).clamp(FAIR, share.max(0.0) + FAIR)
}

impl std::fmt::Display for WordInCorpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { text, characters, file, line } = self;
        let file = file.display();
        match text.chars().count() < *characters {
            true => write!(f, "\"{text}…\" ({file}:{line}, {characters} characters)"),
            false => write!(f, "\"{text}\" ({file}:{line})"),
        }
    }
}

impl BuildReport {
    /// What suggests that vocabulary, settings and text do not fit each other, with what to do. None for shards of older
    /// versions, which lack the statistics.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = replaced(self.replaced_bytes, self.replaced_surrogates);
        if share(self.unknown_tokens, self.text_tokens) >= UNKNOWN {
            warnings.push(self.unknown());
        }
        if let Some(word) = &self.overlong_example
            && share(self.overlong_bytes, self.text_bytes) >= OVERLONG
        {
            warnings.push(format!(
                "{} words ({} of the text) are longer than {} characters and became [UNK], the first is {word}: {}",
                self.overlong_words,
                percent(self.overlong_bytes, self.text_bytes),
                self.word_limit,
                self.longer_words()
            ));
        }
        let (unused, unreachable, all) =
            (self.unused_tokens, self.unreachable_tokens, self.vocab_tokens);
        if share(unreachable, all) >= UNREACHABLE {
            warnings.push(format!(
                "{unused} of {all} tokens of the vocabulary ({}) never occur, {unreachable} of them because their upper-case \
                 letters or accents are removed from the text: the vocabulary was probably trained with --cased or --accents \
                 keep; build the shards with the same options",
                percent(unused, all)
            ));
        } else if share(unused, all) >= UNUSED {
            warnings.push(format!(
                "{unused} of {all} tokens of the vocabulary ({}) never occur, so their embeddings are not trained: use more \
                 text, or train a smaller vocabulary on it (electra vocab train --size)",
                percent(unused, all)
            ));
        }
        if self.held_out_part_of_document {
            warnings.push(format!(
                "no document is short enough to reach {:.1} % of the tokens, so a part of a longer one is held out and its rest \
                 is in the training split: the held-out split has {} tokens ({:.1} %)",
                self.held_out_percent_wanted, self.held_out_tokens, self.held_out_percent
            ));
        } else if self.held_out_is_off() {
            warnings.push(format!(
                "the held-out split has {:.1} % of the tokens instead of {:.1} %, because the text has few documents",
                self.held_out_percent, self.held_out_percent_wanted
            ));
        }
        warnings
    }

    /// Whether the held-out split has less than half of its share, or clearly more.
    fn held_out_is_off(&self) -> bool {
        let (found, wanted) = (self.held_out_percent, self.held_out_percent_wanted);
        found < wanted / 2.0 || found > 100.0 * largest(wanted / 100.0)
    }

    /// The share of unknown words, the first one, and what to do.
    pub(crate) fn unknown(&self) -> String {
        let (tokens, unknown) = (self.text_tokens, self.unknown_tokens);
        let first = self.unknown_example.as_ref();
        let first = first.map(|word| format!(", the first is {word}")).unwrap_or_default();
        let advice = self.advice();
        format!(
            "{unknown} of {tokens} tokens ({}) are [UNK]{first}: {advice}",
            percent(unknown, tokens)
        )
    }

    fn advice(&self) -> String {
        if 2 * self.unknown_by_normalization >= self.unknown_tokens {
            "the vocabulary has most of the unknown words with another case or other accents; use the --cased and --accents that \
             it was trained with"
                .to_owned()
        } else if 2 * self.overlong_words >= self.unknown_tokens {
            format!(
                "most of the unknown words are longer than {} characters; {}",
                self.word_limit,
                self.longer_words()
            )
        } else {
            "the vocabulary lacks their characters; use one of this language, or train one on the text (electra vocab train)"
                .to_owned()
        }
    }

    fn longer_words(&self) -> String {
        format!(
            "use --max-chars-per-word {} for vocab train and shards build, or separate the words with spaces",
            self.longest_word
        )
    }

    /// Adds the statistics of further documents.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, further) in [
            (&mut self.text_bytes, other.text_bytes),
            (&mut self.documents, other.documents),
            (&mut self.sentences, other.sentences),
            (&mut self.text_tokens, other.text_tokens),
            (&mut self.sentences_dropped, other.sentences_dropped),
            (&mut self.unknown_tokens, other.unknown_tokens),
            (&mut self.unknown_by_normalization, other.unknown_by_normalization),
            (&mut self.overlong_words, other.overlong_words),
            (&mut self.overlong_bytes, other.overlong_bytes),
            (&mut self.replaced_bytes, other.replaced_bytes),
            (&mut self.replaced_surrogates, other.replaced_surrogates),
        ] {
            *sum += further;
        }
        self.longest_word = self.longest_word.max(other.longest_word);
        for (first, further) in [
            (&mut self.unknown_example, &other.unknown_example),
            (&mut self.overlong_example, &other.overlong_example),
        ] {
            if first.is_none() {
                first.clone_from(further);
            }
        }
    }
}

/// Warnings about what was replaced in a text.
pub(crate) fn replaced(bytes: u64, surrogates: u64) -> Vec<String> {
    let bytes = (bytes > 0).then(|| format!("skipped {bytes} bytes of invalid UTF-8"));
    let surrogates = (surrogates > 0)
        .then(|| format!("replaced {surrogates} escapes of lone surrogates in JSON by U+FFFD"));
    bytes.into_iter().chain(surrogates).collect()
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// A share in percent, for messages.
fn percent(part: u64, all: u64) -> String {
    format!("{:.1} %", 100.0 * share(part, all))
}
