//! The `[objective.masking]` section.

use crate::error::{Error, Result};
use electra_data::{Masking, ReferenceMasking, UniformMasking};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
}

impl MaskingConfig {
    /// Fraction of a sequence's tokens that is chosen.
    pub fn rate(&self) -> f64 {
        let (Self::Uniform { rate, .. } | Self::Reference { rate, .. }) = *self;
        rate
    }

    /// Fraction of the chosen positions replaced with `[MASK]`.
    pub fn mask_share(&self) -> f64 {
        let (Self::Uniform { mask_share, .. } | Self::Reference { mask_share, .. }) = *self;
        mask_share
    }

    /// Builds the masking.
    pub fn build(&self) -> Arc<dyn Masking> {
        match *self {
            Self::Uniform { rate, mask_share } => Arc::new(UniformMasking { rate, mask_share }),
            Self::Reference { rate, mask_share } => Arc::new(ReferenceMasking { rate, mask_share }),
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Naming the first invalid key.
    pub fn validate(&self) -> Result<()> {
        for (key, x) in [("rate", self.rate()), ("mask_share", self.mask_share())] {
            if !(x > 0.0 && x <= 1.0) {
                let key = format!("objective.masking.{key}");
                return Err(Error::value(&key, x, "must be greater than 0 and at most 1"));
            }
        }
        Ok(())
    }
}
