//! How text is normalized before it is split into tokens.

use serde::{Deserialize, Serialize};
use tokenizers::normalizers::bert::BertNormalizer;

/// Settings of BERT's normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerConfig {
    /// Whether text is lower-cased.
    pub case: Case,
    /// Whether accents are stripped.
    pub accents: Accents,
    /// Longer words (in characters) become `[UNK]`. Hugging Face uses 100, the reference 200.
    pub max_chars_per_word: usize,
}

/// Whether text is lower-cased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// Lower-cased.
    Uncased,
    /// Unchanged.
    Cased,
}

/// Whether accents (combining marks after canonical decomposition) are stripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accents {
    /// Only when text is lower-cased: Hugging Face's `strip_accents: null`, the reference's default.
    Auto,
    /// Always.
    Strip,
    /// Never: the reference's `--no-strip-accents`.
    Keep,
}

impl Default for TokenizerConfig {
    /// The settings of `bert-base-uncased` on Hugging Face.
    fn default() -> Self {
        Self { case: Case::Uncased, accents: Accents::Auto, max_chars_per_word: 100 }
    }
}

impl TokenizerConfig {
    /// Hugging Face's `strip_accents`.
    pub(crate) fn strip_accents(&self) -> Option<bool> {
        match self.accents {
            Accents::Auto => None,
            Accents::Strip => Some(true),
            Accents::Keep => Some(false),
        }
    }

    pub(crate) fn lowercase(&self) -> bool {
        self.case == Case::Uncased
    }

    pub(crate) fn normalizer(&self) -> BertNormalizer {
        BertNormalizer::new(true, true, self.strip_accents(), self.lowercase())
    }
}
