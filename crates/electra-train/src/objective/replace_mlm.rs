//! Replace MLM: masked language modeling on the generator's samples instead of `[MASK]`.

use super::{
    bert::{ALL, MASKED},
    corruption::Corruption,
    generate::Generate,
    generators::Sampling,
    inputs::Shapes,
    masked_prediction::{MaskedPrediction, OutputLayer},
    seam::{LossCounts, Objective, ObjectiveSite, Pass, TrainedNetwork},
    settings::{ObjectiveSettings, check_weight},
};
use crate::{config::MaskingConfig, error::Result, metrics::Observations};
use electra_data::MaskedBatch;
use electra_model::{Compute, ElectraConfig, Generator};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

/// The settings of [`ReplaceMlm`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaceMlmConfig {
    /// Weight of the generator's loss.
    pub generator_weight: f64,
    /// Weight of the loss of the network that is kept.
    pub masked_lm_weight: f64,
    /// The generator's logits are divided by the temperature before sampling.
    pub temperature: f64,
    /// Which positions are masked.
    pub masking: MaskingConfig,
}

impl ObjectiveSettings for ReplaceMlmConfig {
    fn validate(&self, model: &ElectraConfig) -> Result<()> {
        check_weight("generator_weight", self.generator_weight)?;
        check_weight("masked_lm_weight", self.masked_lm_weight)?;
        Sampling::masked_lm(self.temperature).validate(model)
    }

    fn masking(&self) -> &MaskingConfig {
        &self.masking
    }

    fn trained_share(&self) -> f64 {
        self.masking.rate()
    }

    fn build(&self, site: &ObjectiveSite<'_>) -> Result<Box<dyn Objective<Batch = MaskedBatch>>> {
        Ok(Box::new(ReplaceMlm::new(self, site)?))
    }
}

/// `generator_weight * L_MLM(generator) + masked_lm_weight * L_MLM(encoder)`: the encoder predicts the original tokens at
/// the masked positions, from an input with the generator's samples there. So its input has no `[MASK]`, as in
/// fine-tuning, but its loss covers the masked positions only.
///
/// Source: Clark et al. 2020, section 3.4, "Replace MLM". The paper does not give the weights; the generator is trained
/// jointly, as in ELECTRA.
#[derive(Debug)]
pub struct ReplaceMlm {
    generator: Box<dyn Generate>,
    network: Generator,
    config: ReplaceMlmConfig,
    device: Device,
}

struct ReplaceMlmPass<'a> {
    corruption: Corruption<'a>,
    prediction: MaskedPrediction,
    masked_lm_loss: Tensor,
    total: Tensor,
}

impl ReplaceMlm {
    /// Builds the networks under the site's path.
    ///
    /// # Errors
    /// If a value is invalid or a part cannot be built.
    pub fn new(config: &ReplaceMlmConfig, site: &ObjectiveSite<'_>) -> Result<Self> {
        config.validate(site.model)?;
        let (generator, network) =
            Sampling::masked_lm(config.temperature).build("encoder", site)?;
        Ok(Self { generator, network, config: config.clone(), device: site.path.device() })
    }
}

impl Objective for ReplaceMlm {
    type Batch = MaskedBatch;

    fn name(&self) -> &str {
        "replace-mlm"
    }

    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        let mut networks = vec![TrainedNetwork::of("encoder", &self.network)];
        networks.extend(self.generator.networks());
        networks
    }

    fn pass<'a>(
        &'a self,
        part: &'a MaskedBatch,
        whole: &LossCounts,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let Self { generator, network, config, device } = self;
        let compute = Compute::of(network.encoder().config());
        let shapes = Shapes::of(compute, *device);
        let corruption = Corruption::new(&**generator, part, whole, shapes, *device, train);
        let inputs = &corruption.inputs;
        let features_pe = network.features_t(&corruption.corrupted, &inputs.predicted_p(), train);
        let output = OutputLayer {
            table_ve: network.table(),
            bias_v: network.head().bias(),
            temperature: 1.0,
            disallow_correct: false,
            compute,
        };
        let prediction = output.predict(&features_pe, &inputs.labels_p, &inputs.uniforms_p);
        let masked_lm_loss = &prediction.loss / (whole.predictions as f64 + 1e-6);
        let total =
            &corruption.loss * config.generator_weight + &masked_lm_loss * config.masked_lm_weight;
        Box::new(ReplaceMlmPass { corruption, prediction, masked_lm_loss, total })
    }
}

impl Pass for ReplaceMlmPass<'_> {
    fn loss(&mut self, _phase: usize) -> Tensor {
        self.total.shallow_clone()
    }

    fn parts(&self) -> Vec<(&'static str, Tensor)> {
        vec![
            ("generator", self.corruption.loss.shallow_clone()),
            ("masked_lm", self.masked_lm_loss.shallow_clone()),
        ]
    }

    fn observe(&self) -> Observations {
        let Self { corruption, prediction, total, .. } = self;
        let mut observations = Observations::default();
        observations.sum("loss", &total.detach());
        corruption.observe(&mut observations);
        let labels_p = &corruption.inputs.labels_p;
        prediction.observe(ALL, MASKED, corruption.part, labels_p, &mut observations);
        observations
    }
}
