//! The `[objective.masking]` section.

use crate::error::{Error, Result};
use electra_data::{Masking, ReferenceMasking, UniformMasking};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The `[objective.masking]` section: which positions the generator fills.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum MaskingConfig {
    /// Distinct positions, uniformly.
    Uniform {
        /// Share of a sequence's tokens that is chosen.
        rate: f64,
        /// Share of the chosen positions that shows `[MASK]`; the rest keeps its token.
        mask_share: f64,
    },
    /// The reference's draws with replacement.
    Reference {
        /// Share of a sequence's tokens that is drawn.
        rate: f64,
        /// Share of the draws that shows `[MASK]`.
        mask_share: f64,
    },
}

impl MaskingConfig {
    /// Share of a sequence's tokens that is chosen.
    pub fn rate(&self) -> f64 {
        let (Self::Uniform { rate, .. } | Self::Reference { rate, .. }) = *self;
        rate
    }

    /// Share of the chosen positions that shows `[MASK]`.
    pub fn mask_share(&self) -> f64 {
        let (Self::Uniform { mask_share, .. } | Self::Reference { mask_share, .. }) = *self;
        mask_share
    }

    /// The masking that the config names.
    pub fn build(&self) -> Arc<dyn Masking> {
        match *self {
            Self::Uniform { rate, mask_share } => Arc::new(UniformMasking { rate, mask_share }),
            Self::Reference { rate, mask_share } => Arc::new(ReferenceMasking { rate, mask_share }),
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Naming the first key that no run can be made with.
    pub fn validate(&self) -> Result<()> {
        let (Self::Uniform { rate, mask_share } | Self::Reference { rate, mask_share }) = *self;
        for (key, x) in [("rate", rate), ("mask_share", mask_share)] {
            if !(x > 0.0 && x <= 1.0) {
                let key = format!("objective.masking.{key}");
                return Err(Error::value(&key, x, "must be above 0 and at most 1"));
            }
        }
        Ok(())
    }
}
