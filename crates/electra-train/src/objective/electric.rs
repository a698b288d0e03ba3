//! Electric: an energy-based cloze model, trained by noise-contrastive estimation.

use super::{
    corruption::Corruption,
    discrimination::{Discrimination, LossPositions, Selection},
    generate::Generate,
    inputs::{Inputs, Shapes},
    joint_pass::JointPass,
    seam::{LossCounts, Objective, ObjectiveSite, Pass, TrainedNetwork},
    settings::{ObjectiveSettings, check_weight},
    two_tower::TwoTower,
};
use crate::{
    config::MaskingConfig,
    error::{Error, Result},
};
use electra_data::MaskedBatch;
use electra_model::{Compute, Discriminator, ElectraConfig, EncoderInput};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

/// The settings of [`Electric`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElectricConfig {
    /// Weight of the loss of the noise distribution.
    pub generator_weight: f64,
    /// Weight of the noise-contrastive loss.
    pub discriminator_weight: f64,
    /// Which positions are replaced by noise.
    pub masking: MaskingConfig,
}

impl ObjectiveSettings for ElectricConfig {
    fn validate(&self, model: &ElectraConfig) -> Result<()> {
        check_weight("generator_weight", self.generator_weight)?;
        check_weight("discriminator_weight", self.discriminator_weight)?;
        if let MaskingConfig::Rare { .. } = self.masking {
            let expected = "must choose all tokens equally often, since objective.kind = \"electric\" uses the rate as the probability of noise";
            return Err(Error::value("objective.masking.kind", "\"rare\"", expected));
        }
        TwoTower::validate(model)
    }

    fn masking(&self) -> &MaskingConfig {
        &self.masking
    }

    fn build(&self, site: &ObjectiveSite<'_>) -> Result<Box<dyn Objective<Batch = MaskedBatch>>> {
        Ok(Box::new(Electric::new(self, site)?))
    }
}

/// `generator_weight * L_cloze + discriminator_weight * L_NCE`. The noise distribution `q` is a two-tower cloze model. The
/// discriminator's output is the energy `E(x)_t` of a token in its context: `p(x_t | context)` is proportional to
/// `exp(-E(x)_t)`. L_NCE is the binary cross-entropy of "the token is noise", over all tokens except padding, with the logit
/// `E(x)_t + log q(x_t | context) + log(rate / (1 - rate))`; the label is 1 at every masked position, also where the
/// sample is the original token.
///
/// Source: Clark et al. 2020, "Pre-Training Transformers as Energy-Based Cloze Models"; reference `electric_objective`.
#[derive(Debug)]
pub struct Electric {
    towers: TwoTower,
    discriminator: Discriminator,
    config: ElectricConfig,
    device: Device,
}

impl Electric {
    /// Builds the networks under the site's path.
    ///
    /// # Errors
    /// If a value is invalid or a part cannot be built.
    pub fn new(config: &ElectricConfig, site: &ObjectiveSite<'_>) -> Result<Self> {
        config.validate(site.model)?;
        let (towers, discriminator) = TwoTower::build("discriminator", site, 1.0)?;
        Ok(Self { towers, discriminator, config: config.clone(), device: site.path.device() })
    }
}

impl Electric {
    /// The energy of each token: `-log p(token | other tokens)` up to what the network has not learned.
    ///
    /// # Shapes
    /// - `input`: `[b, s]`, without masks. Result: `[b, s]` float.
    pub fn energies_bs(&self, input: &EncoderInput) -> Tensor {
        self.discriminator.forward_t(input, false)
    }
}

impl Objective for Electric {
    type Batch = MaskedBatch;

    fn name(&self) -> &str {
        "electric"
    }

    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        let discriminator = TrainedNetwork::of("discriminator", &self.discriminator).described(
            "An Electric discriminator: an encoder for fine-tuning, with the head that computes the energy of each token.",
        );
        let mut networks = vec![discriminator];
        networks.extend(self.towers.networks());
        networks
    }

    fn pass<'a>(
        &'a self,
        part: &'a MaskedBatch,
        whole: &LossCounts,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let Self { towers, discriminator, config, device } = self;
        let shapes = Shapes::of(Compute::of(discriminator.encoder().config()), *device);
        let inputs = Inputs::new(part, shapes, *device);
        let features_te = towers.features_te(&inputs, train);
        let prediction = towers.predict_from(&features_te, &inputs);
        let loss = &prediction.loss / (towers.loss_count(whole) as f64 + 1e-6);
        let corruption = Corruption::of(part, inputs, prediction, loss);
        let rate = config.masking.rate();
        let noise_bs = towers.log_probabilities_bs(&features_te, corruption.corrupted.ids_bs());
        let discrimination = Discrimination::new(
            discriminator,
            &corruption.corrupted,
            Selection::new(LossPositions::All, &corruption.inputs, shapes),
            &corruption.inputs.chosen_bs(),
            Some(&(noise_bs + (rate / (1.0 - rate)).ln())),
            whole.tokens,
            train,
        );
        let total = &corruption.loss * config.generator_weight
            + &discrimination.loss * config.discriminator_weight;
        Box::new(JointPass { corruption, discrimination, total })
    }
}
