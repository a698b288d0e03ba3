//! The tokenizer: a trait, and BERT's WordPiece with a cache of words.

use crate::{
    Error, Result, SpecialTokens, TokenizerConfig, TokenizerOptions, Vocab, pretrained,
    split::{self, Chunk, Pipeline},
};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::{cell::RefCell, fmt::Debug, ops::Range, path::Path};
use thread_local::ThreadLocal;
use tokenizers::{
    AddedVocabulary, Encoding, Model, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, models::wordpiece::WordPiece as WordPieceModel, normalizers::BertNormalizer,
    pre_tokenizers::bert::BertPreTokenizer,
};

/// Converts text to token ids.
pub trait Tokenizer: Send + Sync + Debug {
    /// The vocabulary of the ids.
    fn vocab(&self) -> &Vocab;

    /// Appends the ids of `text`, without special tokens: `[MASK]` in the text becomes three tokens. Added tokens are found
    /// in the text.
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

/// BERT's WordPiece: find added tokens, normalize, split into words, then match the longest token first.
///
/// The `tokenizers` crate does each of these. Every thread caches the ids of the words that it has seen, at most
/// half a million. Texts that may have added tokens are encoded without the cache: those that contain the text of one, and
/// all if a token is to be found in normalized text ([`crate::AddedToken::normalized`]).
///
/// Source: reference `model/tokenization.py`, `FullTokenizer`.
#[derive(Debug)]
pub struct WordPiece {
    vocab: Vocab,
    config: TokenizerConfig,
    pipeline: Pipeline,
    model: WordPieceModel,
    added: AddedVocabulary,
    cache: ThreadLocal<RefCell<WordCache>>,
}

/// A word that becomes `[UNK]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    /// Its bytes in the text.
    pub range: Range<usize>,
    /// Its length after normalization.
    pub characters: usize,
    /// Why it is unknown.
    pub cause: UnknownCause,
}

/// Why a word becomes `[UNK]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownCause {
    /// It is longer than [`TokenizerConfig::max_chars_per_word`].
    TooLong,
    /// The vocabulary has its tokens with another case or other accents.
    Normalization,
    /// The vocabulary lacks one of its characters.
    Characters,
}

impl WordPiece {
    /// Creates a tokenizer.
    ///
    /// # Errors
    /// The `tokenizers` crate rejects the vocabulary.
    pub fn new(vocab: Vocab, config: TokenizerConfig) -> Result<Self> {
        let model = WordPieceModel::builder()
            .vocab(vocab.piece_ids())
            .max_input_chars_per_word(config.max_chars_per_word)
            .build()
            .map_err(Error::Tokenizers)?;
        let tokens: Vec<_> = vocab.added().iter().map(|(_, token)| token.clone()).collect();
        let mut added = AddedVocabulary::new();
        added.add_tokens(&tokens, &model, Some(&config.normalizer()));
        let pipeline = Pipeline::new(&config);
        Ok(Self { vocab, config, pipeline, model, added, cache: ThreadLocal::new() })
    }

    /// Loads a vocabulary ([`Vocab::from_file`]) with the settings in the files beside it: `tokenizer.json` and
    /// `tokenizer_config.json`. `options` are for a vocabulary without such files.
    ///
    /// # Errors
    /// See [`Vocab::from_file`]; or `options` contradict the settings of the vocabulary.
    pub fn from_file(path: &Path, options: &TokenizerOptions) -> Result<Self> {
        let read = pretrained::read(path)?;
        let config = read.config(options)?;
        Self::new(read.vocab, config)
    }

    /// Loads the tokenizer of a Hugging Face model folder: [`Self::from_file`] without options.
    ///
    /// # Errors
    /// See [`Vocab::from_file`].
    pub fn from_pretrained_dir(dir: &Path) -> Result<Self> {
        match dir.is_dir() {
            true => Self::from_file(dir, &TokenizerOptions::default()),
            false => Err(pretrained::no_vocabulary(dir)),
        }
    }

    /// Writes `vocab.txt`, `tokenizer.json` and `tokenizer_config.json` into `dir`, which must exist.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_pretrained(&self, dir: &Path, max_length: usize) -> Result<()> {
        pretrained::write(dir, &self.vocab, &self.config, max_length)
    }

    /// Writes the vocabulary with one token per line, and its settings and added tokens beside it
    /// ([`crate::record_path`]). Existing files are replaced atomically.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_vocab(&self, path: &Path) -> Result<()> {
        pretrained::write_vocab(path, &self.vocab, &self.config)
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
        let encoding = self.encoding(text, OffsetType::Byte)?;
        let ranges = encoding.get_offsets().iter().map(|&(start, end)| start..end);
        Ok(encoding.get_ids().iter().copied().zip(ranges).collect())
    }

    /// The words of `text` that become `[UNK]`, in order.
    ///
    /// # Errors
    /// The `tokenizers` crate cannot encode the text.
    pub fn unknown_words(&self, text: &str) -> Result<Vec<UnknownWord>> {
        let mut found = Vec::new();
        let words = self.words(text)?;
        for (word, (start, end), tokens) in
            words.get_splits(OffsetReferential::Original, OffsetType::Byte)
        {
            if tokens.is_some() || self.is_known(word)? {
                continue;
            }
            let characters = word.chars().count();
            let cause = match characters > self.config.max_chars_per_word {
                true => UnknownCause::TooLong,
                false if self.is_known_otherwise(&text[start..end])? => UnknownCause::Normalization,
                false => UnknownCause::Characters,
            };
            found.push(UnknownWord { range: start..end, characters, cause });
        }
        Ok(found)
    }

    fn is_known(&self, word: &str) -> Result<bool> {
        let tokens = self.model.tokenize(word).map_err(Error::Tokenizers)?;
        Ok(tokens.iter().all(|token| token.id != self.vocab.special().unk))
    }

    /// Whether the vocabulary has the tokens of a raw word unchanged, or with the opposite case or accents.
    fn is_known_otherwise(&self, word: &str) -> Result<bool> {
        for (strip, lowercase) in [(false, false), (false, true), (true, false), (true, true)] {
            let other = BertNormalizer::new(true, true, Some(strip), lowercase);
            if self.is_known(split::normalized(&other, word)?.trim())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The ids whose tokens no text has because the settings change their case or accents: `The` in lower-cased text.
    ///
    /// # Errors
    /// The `tokenizers` crate cannot normalize a token.
    pub fn unreachable(&self) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        for (token, id) in self.vocab.pieces().iter().zip(0..) {
            let is_special = SpecialTokens::TEXTS.contains(&token.as_str());
            if is_special || self.vocab.added().iter().any(|(added, _)| *added == id) {
                continue;
            }
            let text = token.strip_prefix("##").unwrap_or(token);
            let normalized = split::normalized(&self.config.normalizer(), text)?;
            if normalized.trim() != text.trim() && text.chars().any(char::is_alphabetic) {
                found.push(id);
            }
        }
        Ok(found)
    }

    /// The normalized words of a text, and its added tokens.
    pub(crate) fn normalized_words(&self, text: &str) -> Result<Vec<String>> {
        let words = self.words(text)?;
        let splits = words.get_splits(OffsetReferential::Original, OffsetType::Byte);
        Ok(splits.into_iter().map(|(word, ..)| word.to_owned()).collect())
    }

    /// The added tokens, which have tokens, and the normalized words of `text`.
    fn words(&self, text: &str) -> Result<PreTokenizedString> {
        let normalizer = self.config.normalizer();
        let mut words = self.added.extract_and_normalize(Some(&normalizer), text);
        BertPreTokenizer.pre_tokenize(&mut words).map_err(Error::Tokenizers)?;
        Ok(words)
    }

    fn encoding(&self, text: &str, offsets: OffsetType) -> Result<Encoding> {
        let mut words = self.words(text)?;
        words.tokenize(|word| self.model.tokenize(word.get())).map_err(Error::Tokenizers)?;
        words.into_encoding(None, 0, offsets).map_err(Error::Tokenizers)
    }

    /// False if `text` has no added tokens.
    fn may_have_added(&self, text: &str) -> bool {
        let added = self.vocab.added().iter();
        added.into_iter().any(|(_, token)| token.normalized || text.contains(&token.content))
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
        if self.may_have_added(text) {
            ids.extend_from_slice(self.encoding(text, OffsetType::None)?.get_ids());
            return Ok(());
        }
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
