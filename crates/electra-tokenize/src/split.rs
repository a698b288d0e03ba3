//! Splits raw text into chunks whose ids can be cached.
//!
//! BERT's normalization never looks beyond a chunk between whitespace, and in pure ASCII never beyond a run of
//! letters and digits. So the tokens of a chunk depend on that chunk alone.

use crate::{Error, Result, TokenizerConfig};
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    normalizers::bert::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
};

/// A slice of raw text whose tokens depend on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Chunk<'a> {
    /// ASCII letters and digits, or one ASCII punctuation mark. Always one word; normalization only lower-cases it.
    AsciiWord(&'a str),
    /// Any other text without whitespace; it may contain several words, or none.
    Mixed(&'a str),
}

/// Calls `each` with the chunks of `text` in order.
pub(crate) fn chunks<'a>(text: &'a str, mut each: impl FnMut(Chunk<'a>)) {
    for chunk in text.split(is_separator).filter(|chunk| !chunk.is_empty()) {
        if !chunk.bytes().all(|byte| byte.is_ascii_graphic()) {
            each(Chunk::Mixed(chunk));
            continue;
        }
        let mut rest = chunk;
        while !rest.is_empty() {
            let run = rest.bytes().take_while(u8::is_ascii_alphanumeric).count().max(1);
            let (word, after) = rest.split_at(run);
            each(Chunk::AsciiWord(word));
            rest = after;
        }
    }
}

/// Whitespace between words. Vertical tab, form feed and next line are also control characters, which BERT's
/// cleaning removes before it splits words.
fn is_separator(c: char) -> bool {
    c.is_whitespace() && !matches!(c, '\u{b}' | '\u{c}' | '\u{85}')
}

/// BERT's normalization and pre-tokenization, by the `tokenizers` crate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pipeline {
    normalizer: BertNormalizer,
    lowercase: bool,
}

/// A text after normalization.
pub(crate) fn normalized(normalizer: &BertNormalizer, text: &str) -> Result<String> {
    let mut normalized = NormalizedString::from(text);
    normalizer.normalize(&mut normalized).map_err(Error::Tokenizers)?;
    Ok(normalized.get().to_owned())
}

impl Pipeline {
    pub(crate) fn new(config: &TokenizerConfig) -> Self {
        Self { normalizer: config.normalizer(), lowercase: config.lowercase() }
    }

    /// The normalized words of `text` with their byte ranges.
    pub(crate) fn words(&self, text: &str) -> Result<Vec<(String, (usize, usize))>> {
        let mut normalized = NormalizedString::from(text);
        self.normalizer.normalize(&mut normalized).map_err(Error::Tokenizers)?;
        let mut words = PreTokenizedString::from(normalized);
        BertPreTokenizer.pre_tokenize(&mut words).map_err(Error::Tokenizers)?;
        let splits = words.get_splits(OffsetReferential::Original, OffsetType::Byte);
        Ok(splits.into_iter().map(|(word, range, _)| (word.to_owned(), range)).collect())
    }

    /// Normalizes an ASCII word.
    pub(crate) fn ascii_word(&self, word: &str) -> String {
        match self.lowercase {
            true => word.to_ascii_lowercase(),
            false => word.to_owned(),
        }
    }
}
