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

/// The values of `kind` that are built in.
pub(super) const BUILT_IN: [&str; 7] = [
    "replaced-token",
    "bert",
    "replace-mlm",
    "all-tokens-mlm",
    "adversarial",
    "electric",
    "two-stage",
];

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
    /// The error if a program has only the objectives `others` besides the built-in ones.
    pub(super) fn unknown<'a>(&self, others: impl Iterator<Item = &'a str>) -> Error {
        let near = nearest(&self.kind, BUILT_IN.into_iter().chain(others));
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
        Err(self.unknown(std::iter::empty()))
    }

    fn card(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![("masking", format!("{:?}", self.masking))];
        if !self.settings.is_empty() {
            rows.push(("objective settings", self.settings.to_string()));
        }
        rows
    }
}
