//! Training objectives: losses and metrics of a batch.
//!
//! The training loop only uses the trait and does not depend on ELECTRA; replaced token detection, masked language
//! modeling and fine-tuning tasks are objectives. A built-in objective is one file here, and one variant and one arm below.

mod adversarial;
mod all_tokens_mlm;
mod bert;
mod corruption;
mod custom;
mod discrimination;
mod electric;
mod generate;
mod generators;
mod inputs;
mod joint_pass;
mod masked_prediction;
mod reference;
mod replace_mlm;
mod replaced_token;
mod sampling;
mod seam;
mod settings;
mod spans;
mod token_prediction;
mod two_stage;
mod two_tower;

pub use adversarial::{Adversarial, AdversarialConfig, policy_losses};
pub use all_tokens_mlm::{AllTokensMlm, AllTokensMlmConfig};
pub use bert::{Bert, BertConfig};
pub use custom::{CustomObjective, Objectives};
pub use discrimination::LossPositions;
pub use electric::{Electric, ElectricConfig};
pub use generators::GeneratorKind;
pub(crate) use reference::{FrozenGenerator, detect};
pub use replace_mlm::{ReplaceMlm, ReplaceMlmConfig};
pub use replaced_token::{ReplacedToken, ReplacedTokenConfig};
pub use sampling::sample;
pub use seam::{
    Batch, LossCounts, Objective, ObjectiveSite, Pass, Phase, Stage, TrainedNetwork,
    evaluation_pass,
};
pub use settings::ObjectiveSettings;
#[cfg(test)]
pub(crate) use spans::mark_backward;
pub use token_prediction::TokenPrediction;
pub use two_stage::{DiscriminatorStart, TwoStage, TwoStageConfig};

use crate::{config::MaskingConfig, error::Result};
use electra_data::MaskedBatch;
use electra_model::ElectraConfig;
use serde::{Deserialize, Serialize};

/// The `[objective]` section.
// The implementations of serde's traits are in custom.rs: they add custom objectives to those that are derived here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ObjectiveConfig {
    /// ELECTRA's replaced token detection.
    ReplacedToken(ReplacedTokenConfig),
    /// Masked language modeling with one network.
    Bert(BertConfig),
    /// Masked language modeling on the generator's samples.
    ReplaceMlm(ReplaceMlmConfig),
    /// The same over all tokens, with a copy mechanism.
    AllTokensMlm(AllTokensMlmConfig),
    /// Replaced token detection with a generator that is trained to fool the discriminator.
    Adversarial(AdversarialConfig),
    /// An energy-based cloze model, by noise-contrastive estimation.
    Electric(ElectricConfig),
    /// First the generator, then the discriminator.
    TwoStage(TwoStageConfig),
    /// An objective of [`Objectives`].
    #[serde(skip)]
    Custom(CustomObjective),
}

/// The values of `kind` that are built in.
const BUILT_IN: [&str; 7] = [
    "replaced-token",
    "bert",
    "replace-mlm",
    "all-tokens-mlm",
    "adversarial",
    "electric",
    "two-stage",
];

impl ObjectiveConfig {
    fn settings(&self) -> &dyn ObjectiveSettings {
        match self {
            Self::ReplacedToken(settings) => settings,
            Self::Bert(settings) => settings,
            Self::ReplaceMlm(settings) => settings,
            Self::AllTokensMlm(settings) => settings,
            Self::Adversarial(settings) => settings,
            Self::Electric(settings) => settings,
            Self::TwoStage(settings) => settings,
            Self::Custom(settings) => settings,
        }
    }
}

impl ObjectiveSettings for ObjectiveConfig {
    fn validate(&self, model: &ElectraConfig) -> Result<()> {
        self.settings().validate(model)?;
        self.masking().validate()
    }

    fn warnings(&self, model: &ElectraConfig) -> Vec<String> {
        self.settings().warnings(model)
    }

    fn masking(&self) -> &MaskingConfig {
        self.settings().masking()
    }

    fn trained_share(&self) -> f64 {
        self.settings().trained_share()
    }

    fn build(&self, site: &ObjectiveSite<'_>) -> Result<Box<dyn Objective<Batch = MaskedBatch>>> {
        self.settings().build(site)
    }

    fn card(&self) -> Vec<(&'static str, String)> {
        self.settings().card()
    }
}
