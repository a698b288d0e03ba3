//! Objectives: what is trained on a batch, and what is measured of it.
//!
//! The training loop knows the trait and nothing of ELECTRA; replaced token detection, the paper's ablations and
//! fine-tuning tasks are objectives. One that ships is one file here, and one variant and one arm below.

mod bert;
mod cloze;
mod inputs;
mod replaced_token;
mod sampling;
mod seam;
mod settings;
mod shown;
mod spans;

pub use bert::{Bert, BertConfig};
pub use replaced_token::{ReplacedToken, ReplacedTokenConfig};
pub use sampling::sample;
pub use seam::{
    Batch, Normaliser, Objective, ObjectiveSite, Pass, Phase, Stage, TrainedNetwork, measured,
};
pub use settings::ObjectiveSettings;
pub use shown::Shown;
#[cfg(test)]
pub(crate) use spans::backward_of;

use crate::{config::MaskingConfig, error::Result};
use electra_data::MaskedBatch;
use electra_model::ElectraConfig;
use serde::{Deserialize, Serialize};

/// The `[objective]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ObjectiveConfig {
    /// ELECTRA.
    ReplacedToken(ReplacedTokenConfig),
    /// Masked language modelling with one network.
    Bert(BertConfig),
}

impl ObjectiveConfig {
    fn settings(&self) -> &dyn ObjectiveSettings {
        match self {
            Self::ReplacedToken(settings) => settings,
            Self::Bert(settings) => settings,
        }
    }
}

impl ObjectiveSettings for ObjectiveConfig {
    fn validate(&self, model: &ElectraConfig) -> Result<()> {
        self.settings().validate(model)?;
        self.masking().validate()
    }

    fn masking(&self) -> &MaskingConfig {
        self.settings().masking()
    }

    fn build(&self, site: &ObjectiveSite<'_>) -> Result<Box<dyn Objective<Batch = MaskedBatch>>> {
        self.settings().build(site)
    }

    fn card(&self) -> Vec<(&'static str, String)> {
        self.settings().card()
    }
}
