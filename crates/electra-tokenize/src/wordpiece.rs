//! The tokenizer: a trait, and BERT's WordPiece with a memory for words.

use crate::{
    Error, Result, TokenizerConfig, Vocab, pretrained,
    split::{self, Part, Pipeline},
};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::{cell::RefCell, fmt::Debug, ops::Range, path::Path};
use thread_local::ThreadLocal;
use tokenizers::{Model, models::wordpiece::WordPiece as WordPieceModel};

/// Turns text into ids.
pub trait Tokenizer: Send + Sync + Debug {
    /// The ids' meaning.
    fn vocab(&self) -> &Vocab;

    /// Appends the ids of `text`, without special tokens: `[MASK]` in the text is three pieces.
    ///
    /// # Errors
    /// If the tokenizer cannot read the text.
    fn encode_into(&self, text: &str, ids: &mut Vec<u32>) -> Result<()>;

    /// The ids of `text`, without special tokens.
    ///
    /// # Errors
    /// If the tokenizer cannot read the text.
    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        self.encode_into(text, &mut ids)?;
        Ok(ids)
    }

    /// The ids of many texts, on all of rayon's threads.
    ///
    /// # Errors
    /// If the tokenizer cannot read a text.
    fn encode_batch(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        texts.par_iter().map(|text| self.encode(text)).collect()
    }
}

/// BERT's WordPiece: normalisation, words, then the longest piece first.
///
/// Normalisation, pre-tokenisation and the matching of pieces are the `tokenizers` crate's; each thread
/// remembers the ids of words that it has seen (at most half a million of them).
///
/// Source: reference `model/tokenization.py`, `FullTokenizer`.
#[derive(Debug)]
pub struct WordPiece {
    vocab: Vocab,
    config: TokenizerConfig,
    pipeline: Pipeline,
    model: WordPieceModel,
    memory: ThreadLocal<RefCell<Memory>>,
}

impl WordPiece {
    /// A tokenizer over `vocab`.
    ///
    /// # Errors
    /// If the `tokenizers` crate refuses the vocabulary.
    pub fn new(vocab: Vocab, config: TokenizerConfig) -> Result<Self> {
        let ids: ahash::AHashMap<String, u32> =
            vocab.tokens().iter().zip(0..).map(|(token, id)| (token.clone(), id)).collect();
        let model = WordPieceModel::builder()
            .vocab(ids)
            .max_input_chars_per_word(config.max_chars_per_word)
            .build()
            .map_err(Error::Tokenizers)?;
        let pipeline = Pipeline::new(&config);
        Ok(Self { vocab, config, pipeline, model, memory: ThreadLocal::new() })
    }

    /// A tokenizer over `vocab.txt` or `tokenizer.json`.
    ///
    /// # Errors
    /// Naming the file and what is wrong with it.
    pub fn from_file(path: &Path, config: TokenizerConfig) -> Result<Self> {
        Self::new(Vocab::from_file(path)?, config)
    }

    /// The tokenizer of a Hugging Face folder: `vocab.txt` or `tokenizer.json`, with the settings of
    /// `tokenizer_config.json`.
    ///
    /// # Errors
    /// Naming the file and what is wrong with it.
    pub fn from_pretrained_dir(dir: &Path) -> Result<Self> {
        let (vocab, config) = pretrained::read(dir)?;
        Self::new(vocab, config)
    }

    /// Writes `vocab.txt`, `tokenizer.json` and `tokenizer_config.json` into `dir`, which must exist.
    ///
    /// # Errors
    /// Naming the file.
    pub fn write_pretrained(&self, dir: &Path, max_length: usize) -> Result<()> {
        pretrained::write(dir, &self.vocab, &self.config, max_length)
    }

    /// The settings.
    pub fn config(&self) -> &TokenizerConfig {
        &self.config
    }

    /// Ids with the byte ranges of `text` that they stand for.
    ///
    /// # Errors
    /// If the `tokenizers` crate refuses the text.
    pub fn encode_with_offsets(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>> {
        use tokenizers::tokenizer::{Normalizer, OffsetType, PreTokenizedString, PreTokenizer};
        let mut normalized = tokenizers::NormalizedString::from(text);
        self.config.normalizer().normalize(&mut normalized).map_err(Error::Tokenizers)?;
        let mut divided = PreTokenizedString::from(normalized);
        let words = tokenizers::pre_tokenizers::bert::BertPreTokenizer;
        words.pre_tokenize(&mut divided).map_err(Error::Tokenizers)?;
        divided.tokenize(|word| self.model.tokenize(word.get())).map_err(Error::Tokenizers)?;
        let encoding =
            divided.into_encoding(None, 0, OffsetType::Byte).map_err(Error::Tokenizers)?;
        let ranges = encoding.get_offsets().iter().map(|&(start, end)| start..end);
        Ok(encoding.get_ids().iter().copied().zip(ranges).collect())
    }

    /// How many words of `text` are `[UNK]` because they are longer than the limit.
    ///
    /// # Errors
    /// If the `tokenizers` crate refuses the text.
    pub fn overlong_words(&self, text: &str) -> Result<u64> {
        let limit = self.config.max_chars_per_word;
        let (mut found, mut failed) = (0, Ok(()));
        split::parts(text, |part| match part {
            Part::Ascii(word) => found += u64::from(word.len() > limit),
            // No word has more characters when it is normalised than it had bytes.
            Part::Chunk(chunk) if chunk.len() > limit => match self.pipeline.words(chunk) {
                Ok(words) => {
                    let long = words.iter().filter(|(word, _)| word.chars().count() > limit);
                    found += long.count() as u64;
                }
                Err(error) => failed = Err(error),
            },
            Part::Chunk(_) => {}
        });
        failed.map(|()| found)
    }

    /// Text of ids: pieces joined to words, words divided by spaces. Ids outside the vocabulary are
    /// written as `[UNK]`.
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

    /// Ids of one word that is normalised.
    fn pieces(&self, word: &str, ids: &mut Vec<u32>) -> Result<()> {
        let pieces = self.model.tokenize(word).map_err(Error::Tokenizers)?;
        ids.extend(pieces.iter().map(|piece| piece.id));
        Ok(())
    }

    /// Ids of one part of raw text.
    fn part(&self, part: Part<'_>, ids: &mut Vec<u32>) -> Result<()> {
        match part {
            Part::Ascii(word) => self.pieces(&self.pipeline.ascii_word(word), ids),
            Part::Chunk(chunk) => {
                for (word, _) in self.pipeline.words(chunk)? {
                    self.pieces(&word, ids)?;
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
        let mut memory = self.memory.get_or_default().borrow_mut();
        let mut failed = Ok(());
        split::parts(text, |part| {
            let (Part::Ascii(key) | Part::Chunk(key)) = part;
            if let Some(known) = memory.get(key) {
                ids.extend_from_slice(known);
                return;
            }
            let start = ids.len();
            match self.part(part, ids) {
                Ok(()) => memory.insert(key, &ids[start..]),
                Err(error) => failed = Err(error),
            }
        });
        failed
    }
}

/// The ids of words that a thread has seen, in a bounded space: it forgets all when it is full.
#[derive(Debug, Default)]
struct Memory {
    places: FxHashMap<Box<str>, (u32, u32)>,
    ids: Vec<u32>,
}

impl Memory {
    /// Words remembered at most, about 60 MB with their ids.
    const WORDS: usize = 500_000;
    /// Longer words are rare and not remembered, in bytes.
    const LONGEST: usize = 64;

    fn get(&self, word: &str) -> Option<&[u32]> {
        let &(start, end) = self.places.get(word)?;
        Some(&self.ids[start as usize..end as usize])
    }

    fn insert(&mut self, word: &str, ids: &[u32]) {
        if word.len() > Self::LONGEST {
            return;
        }
        if self.places.len() >= Self::WORDS {
            self.places.clear();
            self.ids.clear();
        }
        let start = self.ids.len() as u32;
        self.ids.extend_from_slice(ids);
        self.places.insert(word.into(), (start, self.ids.len() as u32));
    }
}
