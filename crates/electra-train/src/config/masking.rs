//! The `[objective.masking]` section.

use crate::error::{Error, Result};
use electra_data::{
    Masking, NGramMasking, RareMasking, ReferenceMasking, ShardSet, UniformMasking,
    WholeWordMasking,
};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The `[objective.masking]` section: which positions are masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum MaskingConfig {
    /// Distinct positions, drawn uniformly.
    Uniform {
        /// Fraction of a sequence's tokens that is chosen.
        rate: f64,
        /// Fraction of the chosen positions replaced with `[MASK]`; the others keep their token.
        mask_share: f64,
    },
    /// Positions drawn with replacement, as in the reference.
    Reference {
        /// Fraction of a sequence's tokens that is drawn.
        rate: f64,
        /// Fraction of the drawn positions replaced with `[MASK]`.
        mask_share: f64,
    },
    /// Whole words, drawn uniformly ([`WholeWordMasking`]).
    WholeWord {
        /// Maximum fraction of a sequence's tokens that is chosen.
        rate: f64,
        /// Fraction of the chosen words replaced with `[MASK]`.
        mask_share: f64,
    },
    /// Spans of tokens, short ones more often ([`NGramMasking`]).
    NGram {
        /// Fraction of a sequence's tokens that is chosen.
        rate: f64,
        /// Fraction of the chosen spans replaced with `[MASK]`.
        mask_share: f64,
        /// Maximum tokens per span.
        #[serde(default = "max_length")]
        max_length: usize,
    },
    /// Distinct positions, those of rare tokens more often ([`RareMasking`]).
    Rare {
        /// Fraction of a sequence's tokens that is chosen.
        rate: f64,
        /// Fraction of the chosen positions replaced with `[MASK]`.
        mask_share: f64,
        /// The weight of a token is its count in the training split to the power of `-exponent`.
        #[serde(default = "exponent")]
        exponent: f64,
    },
}

/// As in the config: `kind = "uniform", mask_share = 0.85, rate = 0.15`.
impl fmt::Display for MaskingConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = toml::Table::try_from(self).map_err(|_| fmt::Error)?;
        let keys: Vec<String> =
            table.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        f.write_str(&keys.join(", "))
    }
}

/// The default of `max_length`, as in ALBERT and DeBERTa.
fn max_length() -> usize {
    3
}

/// The default of `exponent`, as in XLM.
fn exponent() -> f64 {
    0.5
}

impl MaskingConfig {
    /// Fraction of a sequence's tokens that is chosen.
    pub fn rate(&self) -> f64 {
        let (Self::Uniform { rate, .. }
        | Self::Reference { rate, .. }
        | Self::WholeWord { rate, .. }
        | Self::NGram { rate, .. }
        | Self::Rare { rate, .. }) = *self;
        rate
    }

    /// Fraction of the chosen positions, words or spans replaced with `[MASK]`.
    pub fn mask_share(&self) -> f64 {
        let (Self::Uniform { mask_share, .. }
        | Self::Reference { mask_share, .. }
        | Self::WholeWord { mask_share, .. }
        | Self::NGram { mask_share, .. }
        | Self::Rare { mask_share, .. }) = *self;
        mask_share
    }

    /// Builds the masking, with the vocabulary and token counts of `shards` if it needs them.
    ///
    /// # Errors
    /// If a file of the shards cannot be read.
    pub fn build(&self, shards: &ShardSet) -> Result<Arc<dyn Masking>> {
        Ok(match *self {
            Self::Uniform { rate, mask_share } => Arc::new(UniformMasking { rate, mask_share }),
            Self::Reference { rate, mask_share } => Arc::new(ReferenceMasking { rate, mask_share }),
            Self::WholeWord { rate, mask_share } => {
                let continuations = shards.continuations()?;
                Arc::new(WholeWordMasking { rate, mask_share, continuations })
            }
            Self::NGram { rate, mask_share, max_length } => {
                Arc::new(NGramMasking { rate, mask_share, max_length })
            }
            Self::Rare { rate, mask_share, exponent } => {
                let counts = shards.unigram_counts()?;
                Arc::new(RareMasking { rate, mask_share, exponent, counts })
            }
        })
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Naming the first invalid key.
    pub fn validate(&self) -> Result<()> {
        let check = |key: &str, ok: bool, value: String, expected: &str| match ok {
            true => Ok(()),
            false => Err(Error::value(&format!("objective.masking.{key}"), value, expected)),
        };
        for (key, x) in [("rate", self.rate()), ("mask_share", self.mask_share())] {
            let ok = x > 0.0 && x <= 1.0;
            check(key, ok, x.to_string(), "must be greater than 0 and at most 1")?;
        }
        match *self {
            Self::NGram { max_length: n, .. } => {
                check("max_length", n >= 1, n.to_string(), "must be at least 1")
            }
            Self::Rare { exponent: x, .. } => {
                let ok = x.is_finite() && x >= 0.0;
                check("exponent", ok, x.to_string(), "must be finite and not negative")
            }
            _ => Ok(()),
        }
    }
}
