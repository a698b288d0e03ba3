//! How text is normalised before it is cut into pieces.

use serde::{Deserialize, Serialize};
use tokenizers::normalizers::bert::BertNormalizer;

/// Settings of BERT's normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerConfig {
    /// Whether text is lower-cased.
    pub case: Case,
    /// Whether accents are taken off.
    pub accents: Accents,
    /// Longer words become `[UNK]`, in characters. Hugging Face uses 100, the reference 200.
    pub max_chars_per_word: usize,
}

/// Whether text is lower-cased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// Lower-cased.
    Uncased,
    /// As it stands.
    Cased,
}

/// Whether accents (combining marks after canonical decomposition) are taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accents {
    /// Exactly when text is lower-cased: Hugging Face's `strip_accents: null`, the reference's default.
    Auto,
    /// Always.
    Strip,
    /// Never: the reference's `--no-strip-accents`.
    Keep,
}

impl Default for TokenizerConfig {
    /// BERT-uncased as Hugging Face runs it.
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
