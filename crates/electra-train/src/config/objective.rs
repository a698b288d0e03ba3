//! The `[objective]` section: the one place that knows which objectives ship.

use super::masking::MaskingConfig;
use crate::{
    error::Result,
    objective::{BertConfig, Objective, ObjectiveSettings, ObjectiveSite, ReplacedTokenConfig},
};
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
