//! The settings of an objective.

use super::seam::{Objective, ObjectiveSite};
use crate::{
    config::MaskingConfig,
    error::{Error, Result},
};
use electra_data::MaskedBatch;
use electra_model::{ElectraConfig, EncoderConfig};

/// The settings of one kind of objective: the `[objective]` section without `kind`.
pub trait ObjectiveSettings {
    /// Checks every value, and that the model has the networks that the objective trains.
    ///
    /// # Errors
    /// Naming the first invalid key.
    fn validate(&self, model: &ElectraConfig) -> Result<()>;

    /// Warnings about a valid config, before any data is opened. By default, about a generator as large as the discriminator.
    fn warnings(&self, model: &ElectraConfig) -> Vec<String> {
        let size = |network: &EncoderConfig| network.layers * network.hidden * network.hidden;
        let large = |generator: &EncoderConfig| size(generator) >= size(&model.discriminator);
        match &model.generator {
            Some(generator) if large(generator) && model.sharing.name() != "tied-all" => {
                vec!["the generator is as large as the discriminator; in the paper, discriminators are best with generators of \
                      1/4 to 1/2 of their width (section 3.2, Figure 3): set model.generator"
                    .to_owned()]
            }
            _ => Vec::new(),
        }
    }

    /// How positions are masked.
    fn masking(&self) -> &MaskingConfig;

    /// The share of the input tokens that the loss of the network to fine-tune covers; all by default.
    fn trained_share(&self) -> f64 {
        1.0
    }

    /// Builds the objective with its networks.
    ///
    /// # Errors
    /// If the config is invalid or a part cannot be built.
    fn build(&self, site: &ObjectiveSite<'_>) -> Result<Box<dyn Objective<Batch = MaskedBatch>>>;

    /// Rows of the model card: name and value of settings. By default, the masking.
    fn card(&self) -> Vec<(&'static str, String)> {
        vec![("masking", self.masking().to_string())]
    }
}

/// Checks that `objective.key` is a finite number that `ok` accepts.
pub(super) fn check(key: &str, x: f64, ok: bool, expected: &str) -> Result<()> {
    match ok && x.is_finite() {
        true => Ok(()),
        false => Err(Error::value(&format!("objective.{key}"), x, expected)),
    }
}

/// Checks the weight of a loss.
pub(super) fn check_weight(key: &str, x: f64) -> Result<()> {
    check(key, x, x >= 0.0, "must be finite and not negative")
}
