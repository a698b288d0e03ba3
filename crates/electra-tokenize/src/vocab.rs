//! The vocabulary: tokens and their ids.

use crate::{Error, Result};
use ahash::AHashMap;
use electra_files::write_file;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;
use tokenizers::AddedToken;

/// Ids of the five special tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialTokens {
    /// `[PAD]`
    pub pad: u32,
    /// `[UNK]`
    pub unk: u32,
    /// `[CLS]`
    pub cls: u32,
    /// `[SEP]`
    pub sep: u32,
    /// `[MASK]`
    pub mask: u32,
}

impl SpecialTokens {
    /// The tokens, in the order of the fields.
    pub const TEXTS: [&'static str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

    /// The ids, in the order of the fields.
    pub fn ids(&self) -> [u32; 5] {
        [self.pad, self.unk, self.cls, self.sep, self.mask]
    }
}

/// Tokens and their ids. The id of a token is its index.
///
/// Added tokens are found in the raw text before it is split into words; all other tokens are WordPiece's.
#[derive(Clone, Debug)]
pub struct Vocab {
    /// Empty for an id without a token.
    tokens: Vec<String>,
    ids: AHashMap<String, u32>,
    special: SpecialTokens,
    /// Number of WordPiece's tokens; those behind them are only added tokens.
    pieces: usize,
    /// Ascending by id.
    added: Vec<(u32, AddedToken)>,
    notes: Vec<String>,
}

impl Vocab {
    /// Creates a vocabulary from tokens in the order of their ids.
    ///
    /// An empty string is an id without a token. Of a duplicate token, the last id counts and the others have no token.
    ///
    /// # Errors
    /// A missing special token.
    pub fn from_tokens(tokens: Vec<String>) -> Result<Self> {
        Self::new(tokens, "the vocabulary")
    }

    /// [`Self::from_tokens`]; `origin` is the file that messages name.
    pub(crate) fn new(mut tokens: Vec<String>, origin: &str) -> Result<Self> {
        let mut ids = AHashMap::with_capacity(tokens.len());
        let mut duplicates: Vec<(usize, usize)> = Vec::new();
        for id in (0..tokens.len()).filter(|&id| !tokens[id].is_empty()).collect::<Vec<_>>() {
            if let Some(first) = ids.insert(tokens[id].clone(), id as u32) {
                duplicates.push((first as usize, id));
            }
        }
        let missing: Vec<_> = SpecialTokens::TEXTS
            .iter()
            .filter(|text| !ids.contains_key(**text))
            .map(|text| (*text).to_owned())
            .collect();
        if !missing.is_empty() {
            return Err(Error::MissingSpecial { origin: origin.to_owned(), missing });
        }
        let notes = notes(&tokens, &duplicates, origin);
        for (first, _) in duplicates {
            tokens[first].clear();
        }
        let [pad, unk, cls, sep, mask] = SpecialTokens::TEXTS.map(|text| ids[text]);
        let special = SpecialTokens { pad, unk, cls, sep, mask };
        Ok(Self { pieces: tokens.len(), tokens, ids, special, added: Vec::new(), notes })
    }

    /// Adds tokens that are found in the raw text before it is split into words. A token that the vocabulary has keeps its
    /// id, any other gets the next one, as in the `tokenizers` crate. The five special tokens are skipped: in a text, they
    /// are ordinary text.
    ///
    /// # Errors
    /// An empty token, or a duplicate with other settings.
    pub fn with_added(mut self, tokens: impl IntoIterator<Item = AddedToken>) -> Result<Self> {
        for token in tokens {
            if SpecialTokens::TEXTS.contains(&token.content.as_str()) {
                continue;
            }
            let invalid = |message| Err(Error::Added { token: token.content.clone(), message });
            if token.content.is_empty() {
                return invalid("is empty");
            }
            if let Some((_, other)) = self.added.iter().find(|(_, t)| t.content == token.content) {
                if *other != token {
                    return invalid("is a duplicate with other settings");
                }
                continue;
            }
            let next = self.tokens.len() as u32;
            let id = *self.ids.entry(token.content.clone()).or_insert(next);
            if id == next {
                self.tokens.push(token.content.clone());
            }
            self.added.push((id, token));
        }
        self.added.sort_by_key(|(id, _)| *id);
        Ok(self)
    }

    pub(crate) fn with_note(mut self, note: Option<String>) -> Self {
        self.notes.extend(note);
        self
    }

    /// Number of ids, including those of added tokens and those without a token.
    #[expect(clippy::len_without_is_empty, reason = "a vocabulary always has the special tokens")]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Number of embeddings that a model needs: one more than the largest id that has a token.
    pub fn rows(&self) -> usize {
        self.tokens.iter().rposition(|token| !token.is_empty()).map_or(0, |last| last + 1)
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// The token with an id.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str).filter(|token| !token.is_empty())
    }

    /// All tokens, in the order of their ids. An id without a token has an empty string.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The tokens of WordPiece: [`Self::tokens`] without those that are only added tokens.
    pub fn pieces(&self) -> &[String] {
        &self.tokens[..self.pieces]
    }

    /// The added tokens with their ids, ascending.
    pub fn added(&self) -> &[(u32, AddedToken)] {
        &self.added
    }

    /// What the user may not expect of a vocabulary that was read or trained: duplicate tokens, ids without a token, words
    /// that were ignored.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The ids of [`Self::pieces`] for the `tokenizers` crate. It numbers added tokens from the size of this table, so each
    /// id without a token has a [`placeholder`].
    pub(crate) fn piece_ids(&self) -> AHashMap<String, u32> {
        let pieces = self.pieces().iter().zip(0u32..);
        let named = pieces.map(|(token, id)| match token.is_empty() {
            true => (placeholder(id), id),
            false => (token.clone(), id),
        });
        named.collect()
    }

    /// For each id, whether the token is a piece that continues the word before it: `##` and at least one character.
    pub fn continuations(&self) -> Vec<bool> {
        let continues = |token: &String| token.len() > 2 && token.starts_with("##");
        let mut continuations: Vec<bool> = self.tokens.iter().map(continues).collect();
        continuations[self.pieces..].fill(false);
        continuations
    }

    /// Ids of the special tokens.
    pub fn special(&self) -> &SpecialTokens {
        &self.special
    }

    /// SHA-256 of all tokens with a line feed after each, in lower-case hexadecimal. Without added tokens, this is the hash
    /// of the file that [`Self::write_vocab_txt`] writes.
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(lines(&self.tokens));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Writes [`Self::pieces`], one token per line. An existing file is replaced atomically.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_vocab_txt(&self, path: &Path) -> Result<()> {
        Ok(write_file(path, lines(self.pieces()))?)
    }
}

fn lines(tokens: &[String]) -> String {
    tokens.iter().flat_map(|token| [token.as_str(), "\n"]).collect()
}

/// The name of an id without a token in a table of tokens that must be distinct. It has a space, so no word contains it.
pub(crate) fn placeholder(id: u32) -> String {
    format!(" {id}")
}

/// Notes on duplicate tokens (the ids of both), and on tokens that no text has.
fn notes(tokens: &[String], duplicates: &[(usize, usize)], origin: &str) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(&(first, last)) = duplicates.first() {
        notes.push(format!(
            "{origin}: duplicate tokens ({}), such as {:?} on lines {} and {}: text gets the id of the last line, as in \
             transformers; the other ids are never used",
            duplicates.len(),
            tokens[last],
            first + 1,
            last + 1
        ));
    }
    let found = |wanted: fn(&str) -> bool| {
        let mut ids = (0..tokens.len()).filter(|&id| wanted(&tokens[id]));
        let first = ids.next()?;
        Some((1 + ids.count(), first))
    };
    if let Some((count, id)) = found(str::is_empty) {
        notes.push(format!(
            "{origin}: ids without a token ({count}), such as {id}: an empty line keeps its id, which is never used"
        ));
    }
    if let Some((count, id)) = found(|token| token.contains(char::is_whitespace)) {
        notes.push(format!(
            "{origin}: tokens with white space ({count}), such as {:?} with id {id}: they keep their ids, which are never \
             used, because words are split at white space",
            tokens[id]
        ));
    }
    notes
}
