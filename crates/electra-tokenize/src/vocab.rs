//! The vocabulary: tokens and their ids.

use crate::{Error, Result, tokenizer_json::TokenizerJson};
use ahash::AHashMap;
use electra_files::write_file;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fs, path::Path};

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
#[derive(Clone, Debug)]
pub struct Vocab {
    tokens: Vec<String>,
    ids: AHashMap<String, u32>,
    special: SpecialTokens,
}

impl Vocab {
    /// Creates a vocabulary from tokens in the order of their ids.
    ///
    /// # Errors
    /// An empty or duplicate token, or a missing special token.
    pub fn from_tokens(tokens: Vec<String>) -> Result<Self> {
        Self::checked(tokens, "the vocabulary")
    }

    /// Reads `vocab.txt` (one token per line) or `tokenizer.json`.
    ///
    /// # Errors
    /// The file cannot be read or is not a vocabulary; the error names the file, and the line or byte.
    pub fn from_file(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io(path))?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            Error::format(path, format!("byte {at} is not UTF-8"))
        })?;
        if path.extension().is_some_and(|extension| extension == "json") {
            let tokens = TokenizerJson::parse(&text, path)?.tokens(path)?;
            return Self::checked(tokens, &path.display().to_string());
        }
        let tokens = text.lines().map(|line| line.trim().to_owned()).collect();
        Self::checked(tokens, &path.display().to_string())
    }

    /// Checks the tokens; `origin` is the file that errors name.
    fn checked(tokens: Vec<String>, origin: &str) -> Result<Self> {
        let origin = origin.to_owned();
        let mut ids = AHashMap::with_capacity(tokens.len());
        for (id, token) in tokens.iter().enumerate() {
            let line = id + 1;
            if token.is_empty() {
                return Err(Error::EmptyToken { origin, line });
            }
            if let Some(first) = ids.insert(token.clone(), id as u32) {
                let token = token.clone();
                return Err(Error::Duplicate {
                    origin,
                    token,
                    first: first as usize + 1,
                    second: line,
                });
            }
        }
        let missing: Vec<_> = SpecialTokens::TEXTS
            .iter()
            .filter(|text| !ids.contains_key(**text))
            .map(|text| (*text).to_owned())
            .collect();
        if !missing.is_empty() {
            return Err(Error::MissingSpecial { origin, missing });
        }
        let [pad, unk, cls, sep, mask] = SpecialTokens::TEXTS.map(|text| ids[text]);
        Ok(Self { tokens, ids, special: SpecialTokens { pad, unk, cls, sep, mask } })
    }

    /// Number of tokens.
    #[expect(clippy::len_without_is_empty, reason = "a vocabulary always has the special tokens")]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// The token with an id.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str)
    }

    /// All tokens, in the order of their ids.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// For each id, whether the token is a piece that continues the word before it: `##` and at least one character.
    pub fn continuations(&self) -> Vec<bool> {
        let continues = |token: &String| token.len() > 2 && token.starts_with("##");
        self.tokens.iter().map(continues).collect()
    }

    /// Ids of the special tokens.
    pub fn special(&self) -> &SpecialTokens {
        &self.special
    }

    /// SHA-256 of `vocab.txt` as [`Self::write_vocab_txt`] writes it, in lower-case hexadecimal.
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(self.text());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Writes one token per line. An existing file is replaced atomically.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_vocab_txt(&self, path: &Path) -> Result<()> {
        Ok(write_file(path, self.text())?)
    }

    fn text(&self) -> String {
        self.tokens.iter().flat_map(|token| [token.as_str(), "\n"]).collect()
    }
}
