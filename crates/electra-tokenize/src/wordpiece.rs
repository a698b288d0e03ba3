//! The tokenizer: a trait, and BERT's WordPiece with a cache of words.

use crate::{
    Error, Result, TokenizerConfig, Vocab, pretrained,
    split::{self, Chunk, Pipeline},
};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::{cell::RefCell, fmt::Debug, ops::Range, path::Path};
use thread_local::ThreadLocal;
use tokenizers::{Model, models::wordpiece::WordPiece as WordPieceModel};

/// Converts text to token ids.
pub trait Tokenizer: Send + Sync + Debug {
    /// The vocabulary of the ids.
    fn vocab(&self) -> &Vocab;

    /// Appends the ids of `text`, without special tokens: `[MASK]` in the text becomes three tokens.
    ///
    /// # Errors
    /// The tokenizer cannot encode the text.
    fn encode_into(&self, text: &str, ids: &mut Vec<u32>) -> Result<()>;

    /// Returns the ids of `text`, without special tokens.
    ///
    /// # Errors
    /// The tokenizer cannot encode the text.
    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        self.encode_into(text, &mut ids)?;
        Ok(ids)
    }

    /// Returns the ids of many texts, encoded on all rayon threads.
    ///
    /// # Errors
    /// The tokenizer cannot encode one of the texts.
    fn encode_batch(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        texts.par_iter().map(|text| self.encode(text)).collect()
    }
}

/// BERT's WordPiece: normalize, split into words, then match the longest token first.
///
/// The `tokenizers` crate does each of these. Every thread caches the ids of the words that it has seen, at most
/// half a million.
///
/// Source: reference `model/tokenization.py`, `FullTokenizer`.
#[derive(Debug)]
pub struct WordPiece {
    vocab: Vocab,
    config: TokenizerConfig,
    pipeline: Pipeline,
    model: WordPieceModel,
    cache: ThreadLocal<RefCell<WordCache>>,
}

impl WordPiece {
    /// Creates a tokenizer.
    ///
    /// # Errors
    /// The `tokenizers` crate rejects the vocabulary.
    pub fn new(vocab: Vocab, config: TokenizerConfig) -> Result<Self> {
        let ids: ahash::AHashMap<String, u32> =
            vocab.tokens().iter().zip(0..).map(|(token, id)| (token.clone(), id)).collect();
        let model = WordPieceModel::builder()
            .vocab(ids)
            .max_input_chars_per_word(config.max_chars_per_word)
            .build()
            .map_err(Error::Tokenizers)?;
        let pipeline = Pipeline::new(&config);
        Ok(Self { vocab, config, pipeline, model, cache: ThreadLocal::new() })
    }

    /// Loads the vocabulary from `vocab.txt` or `tokenizer.json`.
    ///
    /// # Errors
    /// See [`Vocab::from_file`].
    pub fn from_file(path: &Path, config: TokenizerConfig) -> Result<Self> {
        Self::new(Vocab::from_file(path)?, config)
    }

    /// Loads the tokenizer of a Hugging Face model folder: `vocab.txt` or `tokenizer.json`, with the settings in
    /// `tokenizer_config.json`.
    ///
    /// # Errors
    /// A file cannot be read, is not that of a BERT tokenizer, or contradicts another; the error names the file.
    pub fn from_pretrained_dir(dir: &Path) -> Result<Self> {
        let (vocab, config) = pretrained::read(dir)?;
        Self::new(vocab, config)
    }

    /// Writes `vocab.txt`, `tokenizer.json` and `tokenizer_config.json` into `dir`, which must exist.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_pretrained(&self, dir: &Path, max_length: usize) -> Result<()> {
        pretrained::write(dir, &self.vocab, &self.config, max_length)
    }

    /// The settings.
    pub fn config(&self) -> &TokenizerConfig {
        &self.config
    }

    /// Returns ids with their byte offsets in `text`.
    ///
    /// # Errors
    /// The `tokenizers` crate cannot encode the text.
    pub fn encode_with_offsets(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>> {
        use tokenizers::tokenizer::{Normalizer, OffsetType, PreTokenizedString, PreTokenizer};
        let mut normalized = tokenizers::NormalizedString::from(text);
        self.config.normalizer().normalize(&mut normalized).map_err(Error::Tokenizers)?;
        let mut pre_tokenized = PreTokenizedString::from(normalized);
        let words = tokenizers::pre_tokenizers::bert::BertPreTokenizer;
        words.pre_tokenize(&mut pre_tokenized).map_err(Error::Tokenizers)?;
        pre_tokenized
            .tokenize(|word| self.model.tokenize(word.get()))
            .map_err(Error::Tokenizers)?;
        let encoding =
            pre_tokenized.into_encoding(None, 0, OffsetType::Byte).map_err(Error::Tokenizers)?;
        let ranges = encoding.get_offsets().iter().map(|&(start, end)| start..end);
        Ok(encoding.get_ids().iter().copied().zip(ranges).collect())
    }

    /// Counts the words of `text` that become `[UNK]` because they are longer than
    /// [`TokenizerConfig::max_chars_per_word`].
    ///
    /// # Errors
    /// The `tokenizers` crate cannot encode the text.
    pub fn overlong_words(&self, text: &str) -> Result<u64> {
        let limit = self.config.max_chars_per_word;
        let (mut found, mut failed) = (0, Ok(()));
        split::chunks(text, |chunk| match chunk {
            Chunk::AsciiWord(word) => found += u64::from(word.len() > limit),
            // A normalized word never has more characters than the raw text has bytes.
            Chunk::Mixed(text) if text.len() > limit => match self.pipeline.words(text) {
                Ok(words) => {
                    let long = words.iter().filter(|(word, _)| word.chars().count() > limit);
                    found += long.count() as u64;
                }
                Err(error) => failed = Err(error),
            },
            Chunk::Mixed(_) => {}
        });
        failed.map(|()| found)
    }

    /// Converts ids to text: `##` tokens are joined to words, and words are separated by spaces. Ids outside the
    /// vocabulary become `[UNK]`.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut text = String::new();
        for &id in ids {
            let token = self.vocab.token(id).unwrap_or("[UNK]");
            match token.strip_prefix("##") {
                Some(piece) if !text.is_empty() => text.push_str(piece),
                _ => {
                    if !text.is_empty() {
                        text.push(' ');
                    }
                    text.push_str(token);
                }
            }
        }
        text
    }

    /// Appends the ids of a normalized word.
    fn encode_word(&self, word: &str, ids: &mut Vec<u32>) -> Result<()> {
        let tokens = self.model.tokenize(word).map_err(Error::Tokenizers)?;
        ids.extend(tokens.iter().map(|token| token.id));
        Ok(())
    }

    /// Appends the ids of a chunk of raw text.
    fn encode_chunk(&self, chunk: Chunk<'_>, ids: &mut Vec<u32>) -> Result<()> {
        match chunk {
            Chunk::AsciiWord(word) => self.encode_word(&self.pipeline.ascii_word(word), ids),
            Chunk::Mixed(text) => {
                for (word, _) in self.pipeline.words(text)? {
                    self.encode_word(&word, ids)?;
                }
                Ok(())
            }
        }
    }
}

impl Tokenizer for WordPiece {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn encode_into(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let mut cache = self.cache.get_or_default().borrow_mut();
        let mut failed = Ok(());
        split::chunks(text, |chunk| {
            let (Chunk::AsciiWord(key) | Chunk::Mixed(key)) = chunk;
            if let Some(cached) = cache.get(key) {
                ids.extend_from_slice(cached);
                return;
            }
            let start = ids.len();
            match self.encode_chunk(chunk, ids) {
                Ok(()) => cache.insert(key, &ids[start..]),
                Err(error) => failed = Err(error),
            }
        });
        failed
    }
}

/// The ids of the words that a thread has seen. A full cache is cleared.
#[derive(Debug, Default)]
struct WordCache {
    ranges: FxHashMap<Box<str>, (u32, u32)>,
    ids: Vec<u32>,
}

impl WordCache {
    /// Maximum number of words: about 60 MB with their ids.
    const CAPACITY: usize = 500_000;
    /// Maximum bytes of a word. Longer ones are rare and not cached.
    const MAX_WORD_BYTES: usize = 64;

    fn get(&self, word: &str) -> Option<&[u32]> {
        let &(start, end) = self.ranges.get(word)?;
        Some(&self.ids[start as usize..end as usize])
    }

    fn insert(&mut self, word: &str, ids: &[u32]) {
        if word.len() > Self::MAX_WORD_BYTES {
            return;
        }
        if self.ranges.len() >= Self::CAPACITY {
            self.ranges.clear();
            self.ids.clear();
        }
        let start = self.ids.len() as u32;
        self.ids.extend_from_slice(ids);
        self.ranges.insert(word.into(), (start, self.ids.len() as u32));
    }
}
