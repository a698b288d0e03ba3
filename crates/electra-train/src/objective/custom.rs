//! Objectives of other crates, which a config names.

use super::{
    seam::{Objective, ObjectiveSite},
    settings::ObjectiveSettings,
};
use crate::{
    config::MaskingConfig,
    error::{Error, Result},
};
use electra_data::MaskedBatch;
use electra_files::{Settings, nearest};
use electra_model::ElectraConfig;

type PretrainingObjective = dyn Objective<Batch = MaskedBatch>;

/// The section `[objective]` of a custom objective. [`Objectives`](super::Objectives) has its constructor.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomObjective {
    /// Its name.
    pub kind: String,
    /// How positions are masked.
    pub masking: MaskingConfig,
    /// All other keys.
    pub settings: Settings,
}

impl CustomObjective {
    /// The error if a program has only the objectives `known`.
    pub(super) fn unknown<'a>(&self, known: impl Iterator<Item = &'a str>) -> Error {
        let near = nearest(&self.kind, known);
        let expected = format!(
            "this program has no such objective{near}; a custom one needs the program that has it, or Objectives::with({:?}, \
             ..) in your own (docs/guide/04-swap-a-part.md)",
            self.kind
        );
        Error::value("objective.kind", &self.kind, expected)
    }
}

impl ObjectiveSettings for CustomObjective {
    fn validate(&self, _model: &ElectraConfig) -> Result<()> {
        Ok(())
    }

    fn warnings(&self, _model: &ElectraConfig) -> Vec<String> {
        Vec::new()
    }

    fn masking(&self) -> &MaskingConfig {
        &self.masking
    }

    fn build(&self, _site: &ObjectiveSite<'_>) -> Result<Box<PretrainingObjective>> {
        let expected = "is a custom objective, which Objectives::build builds";
        Err(Error::value("objective.kind", &self.kind, expected))
    }

    fn card(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![("masking", self.masking.to_string())];
        if !self.settings.is_empty() {
            rows.push(("objective settings", self.settings.to_string()));
        }
        rows
    }
}
