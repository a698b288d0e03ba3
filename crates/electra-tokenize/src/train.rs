//! Trains a vocabulary: byte-pair merges of WordPiece symbols, as in Hugging Face's trainer.
//!
//! The trainer of the `tokenizers` crate numbers symbols in the order of a randomly seeded hash map, so the same
//! corpus gives a different file each time. Here words are sorted and ties go to the pair with the lower ids:
//! the same corpus gives the same file on any machine, with any number of threads.

use crate::{
    Error, Result, SpecialTokens, TokenizerConfig, Vocab,
    split::{self, Chunk, Pipeline},
};
use ahash::AHashMap;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::{cmp::Reverse, collections::BinaryHeap};

/// Settings of [`train_vocab`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainConfig {
    /// Vocabulary size, including special tokens.
    pub size: usize,
    /// Pairs that occur less often are not merged.
    pub min_frequency: u64,
    /// Number of characters kept, the most frequent first. Words with other characters are ignored and become
    /// `[UNK]`.
    pub alphabet: usize,
}

impl TrainConfig {
    /// Hugging Face's defaults for a vocabulary of `size` tokens.
    pub fn new(size: usize) -> Self {
        Self { size, min_frequency: 2, alphabet: 1000 }
    }
}

/// A batch ends with the text that exceeds this many bytes. One batch is in memory at a time.
const BATCH: usize = 8 << 20;
/// Minimum bytes of text per piece; long texts are split so that threads can share them.
const PIECE: usize = 1 << 16;

type Counts = AHashMap<Box<str>, u64>;
/// Distinct words with their counts.
type Words = Vec<(Box<str>, u64)>;
type Pair = (u32, u32);

/// Trains a vocabulary on texts. Ids 0 to 4 are `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]`, `[MASK]`.
///
/// The result has fewer than `size` tokens if the corpus runs out of pairs to merge. Memory grows with the number
/// of distinct words, not with the corpus: at most 8 MiB of texts plus one text are in memory at once. If 0.5 % of the text
/// or more is ignored, the vocabulary has a note ([`Vocab::notes`]).
///
/// # Errors
/// An error from the iterator, a corpus without words or only with words over the limit, or a size too small for the
/// alphabet.
pub fn train_vocab<S, E>(
    texts: impl IntoIterator<Item = std::result::Result<S, E>>,
    config: &TokenizerConfig,
    train: &TrainConfig,
) -> Result<Vocab>
where
    S: AsRef<str> + Send + Sync,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (words, long) = count_words(texts, config)?;
    if words.is_empty() {
        return Err(match long.longest {
            None => Error::NoText,
            Some((characters, Reverse(example))) => {
                let limit = config.max_chars_per_word;
                Error::WordsTooLong { words: long.words, limit, example, characters }
            }
        });
    }
    let mut trainer = Trainer::new(&words, train)?;
    trainer.merge(train);
    let note = long.note(&words, config.max_chars_per_word);
    Ok(Vocab::from_tokens(trainer.tokens)?.with_note(note).with_note(trainer.note))
}

/// The share of the text above which a note says that it is ignored.
const IGNORED: f64 = 0.005;

/// Words over the limit, which are ignored.
#[derive(Default)]
struct LongWords {
    words: u64,
    characters: u64,
    /// Length and start of the longest, the first in the alphabet.
    longest: Option<(usize, Reverse<String>)>,
}

impl LongWords {
    fn add(&mut self, word: &str, characters: usize, n: u64) {
        self.words += n;
        self.characters += n * characters as u64;
        let start = Reverse(word.chars().take(40).collect());
        self.longest = self.longest.take().max(Some((characters, start)));
    }

    fn join(&mut self, other: Self) {
        self.words += other.words;
        self.characters += other.characters;
        self.longest = self.longest.take().max(other.longest);
    }

    fn note(self, kept: &[(Box<str>, u64)], limit: usize) -> Option<String> {
        let (longest, Reverse(example)) = self.longest?;
        let kept: u64 = kept.iter().map(|(word, n)| n * word.chars().count() as u64).sum();
        let share = self.characters as f64 / (self.characters + kept) as f64;
        (share >= IGNORED).then(|| {
            format!(
                "{} words ({:.1} % of the text) are longer than {limit} characters and were ignored; they become [UNK]. The \
                 longest has {longest}: {example:?}. Set --max-chars-per-word, or separate the words with spaces",
                self.words,
                100.0 * share
            )
        })
    }
}

/// Every normalized word with its count, sorted; and the words over the limit.
fn count_words<S, E>(
    texts: impl IntoIterator<Item = std::result::Result<S, E>>,
    config: &TokenizerConfig,
) -> Result<(Words, LongWords)>
where
    S: AsRef<str> + Send + Sync,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let pipeline = Pipeline::new(config);
    let (mut counts, mut long) = (Counts::new(), LongWords::default());
    let mut batch = Vec::new();
    let mut texts = texts.into_iter();
    loop {
        batch.clear();
        let mut bytes = 0;
        while bytes < BATCH
            && let Some(text) = texts.next()
        {
            let text = text.map_err(|e| Error::Corpus(e.into()))?;
            bytes += text.as_ref().len();
            batch.push(text);
        }
        if batch.is_empty() {
            break;
        }
        let pieces: Vec<&str> = batch.iter().flat_map(|text| pieces(text.as_ref())).collect();
        let share = pieces.len().div_ceil(rayon::current_num_threads()).max(1);
        let partial = pieces.par_chunks(share).map(|pieces| count(pieces, &pipeline, config));
        for (words, others) in partial.collect::<Result<Vec<_>>>()? {
            long.join(others);
            for (word, n) in words {
                *counts.entry(word).or_insert(0) += n;
            }
        }
    }
    let mut words: Vec<_> = counts.into_iter().collect();
    words.sort();
    Ok((words, long))
}

/// Splits a text into pieces of [`PIECE`] bytes, each extended to the end of a word.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let after = rest.as_bytes().get(PIECE..).unwrap_or_default();
        let end = after.iter().position(|byte| matches!(byte, b' ' | b'\n'));
        let (piece, left) = rest.split_at(end.map_or(rest.len(), |end| PIECE + end));
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

fn count(
    texts: &[&str],
    pipeline: &Pipeline,
    config: &TokenizerConfig,
) -> Result<(Counts, LongWords)> {
    let mut raw: AHashMap<Chunk<'_>, u64> = AHashMap::new();
    for text in texts {
        split::chunks(text, |chunk| *raw.entry(chunk).or_insert(0) += 1);
    }
    let (mut counts, mut long) = (Counts::new(), LongWords::default());
    let mut add = |word: String, n| match word.chars().count() {
        characters if characters > config.max_chars_per_word => long.add(&word, characters, n),
        _ => *counts.entry(word.into()).or_insert(0) += n,
    };
    for (chunk, n) in raw {
        match chunk {
            Chunk::AsciiWord(word) => add(pipeline.ascii_word(word), n),
            Chunk::Mixed(text) => {
                pipeline.words(text)?.into_iter().for_each(|(word, _)| add(word, n))
            }
        }
    }
    Ok((counts, long))
}

/// Words as symbols, pairs with their counts and the words that contain them, and the tokens so far.
struct Trainer {
    tokens: Vec<String>,
    ids: AHashMap<String, u32>,
    words: Vec<(Vec<u32>, u64)>,
    counts: FxHashMap<Pair, u64>,
    words_with: FxHashMap<Pair, Vec<u32>>,
    /// If many words have characters outside the alphabet.
    note: Option<String>,
}

impl Trainer {
    fn new(words: &[(Box<str>, u64)], train: &TrainConfig) -> Result<Self> {
        let mut characters: AHashMap<char, u64> = AHashMap::new();
        for (word, n) in words {
            for c in word.chars() {
                *characters.entry(c).or_insert(0) += n;
            }
        }
        let mut by_count: Vec<_> = characters.into_iter().map(|(c, n)| (Reverse(n), c)).collect();
        by_count.sort();
        let characters = by_count.len();
        by_count.truncate(train.alphabet);
        let known: AHashMap<char, ()> = by_count.iter().map(|&(_, c)| (c, ())).collect();
        let kept: Vec<_> =
            words.iter().filter(|(word, _)| word.chars().all(|c| known.contains_key(&c))).collect();
        let total: u64 = words.iter().map(|(_, n)| n).sum();
        let ignored = total - kept.iter().map(|(_, n)| n).sum::<u64>();
        let share = ignored as f64 / total as f64;
        let note = (share >= IGNORED).then(|| {
            format!(
                "{ignored} words ({:.1} %) have characters that are not among the {} most frequent and were ignored; they become \
                 [UNK]. The corpus has {characters} characters: set --alphabet",
                100.0 * share,
                train.alphabet
            )
        });

        let mut symbols: Vec<String> = kept.iter().flat_map(|(word, _)| symbols_of(word)).collect();
        symbols.sort();
        symbols.dedup();
        if train.size < symbols.len() + SpecialTokens::TEXTS.len() {
            return Err(Error::TooSmall { size: train.size, alphabet: symbols.len() });
        }
        let mut tokens: Vec<String> = SpecialTokens::TEXTS.map(str::to_owned).to_vec();
        tokens.append(&mut symbols);
        let ids: AHashMap<String, u32> = tokens.iter().cloned().zip(0..).collect();
        let words = kept
            .iter()
            .map(|(word, n)| (symbols_of(word).map(|symbol| ids[&symbol]).collect(), *n))
            .collect();
        let (counts, words_with) = (FxHashMap::default(), FxHashMap::default());
        let mut trainer = Self { tokens, ids, words, counts, words_with, note };
        for word in 0..trainer.words.len() {
            trainer.count_pairs(word as u32, &mut Vec::new());
        }
        Ok(trainer)
    }

    /// Counts the pairs of a word, and appends them to `touched`.
    fn count_pairs(&mut self, word: u32, touched: &mut Vec<Pair>) {
        let (symbols, n) = &self.words[word as usize];
        for pair in symbols.windows(2).map(|w| (w[0], w[1])) {
            *self.counts.entry(pair).or_insert(0) += n;
            let words = self.words_with.entry(pair).or_default();
            if words.last() != Some(&word) {
                words.push(word);
            }
            touched.push(pair);
        }
    }

    fn merge(&mut self, train: &TrainConfig) {
        let mut heap: BinaryHeap<(u64, Reverse<Pair>)> =
            self.counts.iter().map(|(&pair, &n)| (n, Reverse(pair))).collect();
        while self.tokens.len() < train.size {
            let Some((n, Reverse(pair))) = heap.pop() else { return };
            let current = self.counts.get(&pair).copied().unwrap_or(0);
            if current != n {
                // Stale: the heap also has an entry with the current count.
                continue;
            }
            if n < train.min_frequency.max(1) {
                return;
            }
            let merged = self.token_of(pair);
            let mut touched = Vec::new();
            let mut words = self.words_with.remove(&pair).unwrap_or_default();
            words.sort_unstable();
            words.dedup();
            for word in words {
                self.merge_in(word, pair, merged, &mut touched);
            }
            self.counts.remove(&pair);
            touched.sort_unstable();
            touched.dedup();
            let updates = touched.into_iter().filter(|&other| other != pair);
            heap.extend(
                updates.filter_map(|other| Some((*self.counts.get(&other)?, Reverse(other)))),
            );
        }
    }

    /// The id of a merged pair. Another pair may have produced the same token before.
    fn token_of(&mut self, (left, right): Pair) -> u32 {
        let right = &self.tokens[right as usize];
        let text = self.tokens[left as usize].clone() + right.strip_prefix("##").unwrap_or(right);
        if let Some(&id) = self.ids.get(&text) {
            return id;
        }
        let id = self.tokens.len() as u32;
        self.ids.insert(text.clone(), id);
        self.tokens.push(text);
        id
    }

    /// Replaces `pair` by `merged` in a word, and appends all its old and new pairs to `touched`.
    fn merge_in(&mut self, word: u32, pair: Pair, merged: u32, touched: &mut Vec<Pair>) {
        let (symbols, n) = &self.words[word as usize];
        if !symbols.windows(2).any(|w| (w[0], w[1]) == pair) {
            return;
        }
        for old in symbols.windows(2).map(|w| (w[0], w[1])) {
            if let Some(count) = self.counts.get_mut(&old) {
                *count -= n;
            }
            touched.push(old);
        }
        let mut joined = Vec::with_capacity(symbols.len());
        let mut rest = symbols.as_slice();
        while let Some((&first, after)) = rest.split_first() {
            if after.first().is_some_and(|&second| (first, second) == pair) {
                joined.push(merged);
                rest = &after[1..];
            } else {
                joined.push(first);
                rest = after;
            }
        }
        self.words[word as usize].0 = joined;
        self.count_pairs(word, touched);
    }
}

/// The characters of a word as symbols: `w`, `##o`, `##r`, `##d`.
fn symbols_of(word: &str) -> impl Iterator<Item = String> + '_ {
    word.chars().enumerate().map(|(i, c)| if i == 0 { c.to_string() } else { format!("##{c}") })
}
