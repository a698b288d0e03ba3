//! How text is normalized before it is split into tokens.

use serde::{Deserialize, Serialize};
use std::fmt;
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

/// Settings that a caller requires of a vocabulary. `None` means that of the vocabulary's files, or else the default of
/// [`TokenizerConfig`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerOptions {
    /// Whether text is lower-cased.
    pub case: Option<Case>,
    /// Whether accents are stripped.
    pub accents: Option<Accents>,
    /// Longer words (in characters) become `[UNK]`.
    pub max_chars_per_word: Option<usize>,
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
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
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

    /// Whether accents are stripped, with [`Accents::Auto`] resolved.
    pub(crate) fn strips(&self) -> bool {
        self.strip_accents().unwrap_or(self.lowercase())
    }

    pub(crate) fn normalizer(&self) -> BertNormalizer {
        BertNormalizer::new(true, true, self.strip_accents(), self.lowercase())
    }
}

impl From<TokenizerConfig> for TokenizerOptions {
    fn from(config: TokenizerConfig) -> Self {
        let TokenizerConfig { case, accents, max_chars_per_word } = config;
        Self {
            case: Some(case),
            accents: Some(accents),
            max_chars_per_word: Some(max_chars_per_word),
        }
    }
}

impl TokenizerOptions {
    /// These options, and those of `others` where these have none.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            case: self.case.or(others.case),
            accents: self.accents.or(others.accents),
            max_chars_per_word: self.max_chars_per_word.or(others.max_chars_per_word),
        }
    }

    /// These options, and the default where there is none.
    pub fn or_default(self) -> TokenizerConfig {
        let default = TokenizerConfig::default();
        TokenizerConfig {
            case: self.case.unwrap_or(default.case),
            accents: self.accents.unwrap_or(default.accents),
            max_chars_per_word: self.max_chars_per_word.unwrap_or(default.max_chars_per_word),
        }
    }
}

impl Case {
    /// From Hugging Face's `do_lower_case`.
    pub(crate) fn of(lowercase: bool) -> Self {
        if lowercase { Self::Uncased } else { Self::Cased }
    }
}

impl Accents {
    /// From Hugging Face's `strip_accents`.
    pub(crate) fn of(strip_accents: Option<bool>) -> Self {
        match strip_accents {
            None => Self::Auto,
            Some(true) => Self::Strip,
            Some(false) => Self::Keep,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uncased => "uncased",
            Self::Cased => "cased",
        })
    }
}

impl fmt::Display for Accents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Strip => "strip",
            Self::Keep => "keep",
        })
    }
}
