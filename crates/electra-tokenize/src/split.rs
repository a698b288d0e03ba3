//! Cutting raw text into words that can be looked up one by one.
//!
//! BERT's normalisation is local to whitespace-divided chunks, and in pure ASCII also to runs of
//! letters and digits. So a chunk's pieces depend on the chunk alone and can be remembered.

use crate::{Error, Result, TokenizerConfig};
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    normalizers::bert::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
};

/// A part of raw text whose pieces depend on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part<'a> {
    /// ASCII letters and digits, or one ASCII punctuation mark: one word, to be lower-cased if at all.
    Ascii(&'a str),
    /// Anything else without whitespace; may hold several words, or none.
    Chunk(&'a str),
}

/// Calls `each` with the parts of `text` in order.
pub(crate) fn parts<'a>(text: &'a str, mut each: impl FnMut(Part<'a>)) {
    for chunk in text.split(is_separator).filter(|chunk| !chunk.is_empty()) {
        if !chunk.bytes().all(|byte| byte.is_ascii_graphic()) {
            each(Part::Chunk(chunk));
            continue;
        }
        let mut rest = chunk;
        while !rest.is_empty() {
            let run = rest.bytes().take_while(u8::is_ascii_alphanumeric).count().max(1);
            let (word, after) = rest.split_at(run);
            each(Part::Ascii(word));
            rest = after;
        }
    }
}

/// Whitespace that divides words. The whitespace that Unicode also counts as control characters (vertical
/// tab, form feed, next line) is removed by BERT's cleaning before anything is divided.
fn is_separator(c: char) -> bool {
    c.is_whitespace() && !matches!(c, '\u{b}' | '\u{c}' | '\u{85}')
}

/// BERT's normalisation and pre-tokenisation of any text, by the `tokenizers` crate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pipeline {
    normalizer: BertNormalizer,
    lowercase: bool,
}

impl Pipeline {
    pub(crate) fn new(config: &TokenizerConfig) -> Self {
        Self { normalizer: config.normalizer(), lowercase: config.lowercase() }
    }

    /// Words of `text` with their byte ranges in it.
    pub(crate) fn words(&self, text: &str) -> Result<Vec<(String, (usize, usize))>> {
        let mut normalized = NormalizedString::from(text);
        self.normalizer.normalize(&mut normalized).map_err(Error::Tokenizers)?;
        let mut divided = PreTokenizedString::from(normalized);
        BertPreTokenizer.pre_tokenize(&mut divided).map_err(Error::Tokenizers)?;
        let splits = divided.get_splits(OffsetReferential::Original, OffsetType::Byte);
        Ok(splits.into_iter().map(|(word, range, _)| (word.to_owned(), range)).collect())
    }

    /// An ASCII word as the pipeline leaves it.
    pub(crate) fn ascii_word(&self, word: &str) -> String {
        match self.lowercase {
            true => word.to_ascii_lowercase(),
            false => word.to_owned(),
        }
    }
}
