//! Masked language modeling with label smoothing.

use electra_data::MaskedBatch;
use electra_model::{
    Generator,
    tch::{Device, Kind, Reduction, Tensor},
};
use electra_train::{
    metrics::Observations,
    objective::{LossCounts, Objective, ObjectiveSite, Pass, TrainedNetwork, masked_input},
};
use serde::Deserialize;

/// The mean cross-entropy over the masked positions.
#[derive(Debug)]
pub struct SmoothedMlm {
    network: Generator,
    settings: Settings,
    device: Device,
}

/// The keys of `[objective]` besides `kind` and `masking`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The share of the label's probability that is spread over all tokens.
    label_smoothing: f64,
}

impl SmoothedMlm {
    pub fn new(site: &ObjectiveSite<'_>) -> electra_train::Result<Self> {
        let path = &site.path / "encoder";
        let network = Generator::from_config(&path, &site.model.discriminator, site.parts)?;
        Ok(Self { network, settings: site.settings()?, device: site.path.device() })
    }
}

impl Objective for SmoothedMlm {
    type Batch = MaskedBatch;

    fn name(&self) -> &str {
        "smoothed-mlm"
    }

    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        vec![TrainedNetwork::of("encoder", &self.network)]
    }

    fn pass<'a>(
        &'a self,
        part: &'a MaskedBatch,
        whole: &LossCounts,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(self.device);
        let input = masked_input(part, self.device);
        let logits = self.network.forward_t(&input, &tensor(&part.masked_positions), train);
        let losses = logits.cross_entropy_loss(
            &tensor(&part.masked_labels),
            None::<&Tensor>,
            Reduction::None,
            -100,
            self.settings.label_smoothing,
        );
        Box::new(SmoothedMlmPass { losses, predictions: whole.predictions })
    }
}

/// The losses of the masked positions, and their number in the whole batch.
struct SmoothedMlmPass {
    losses: Tensor,
    predictions: usize,
}

impl Pass for SmoothedMlmPass {
    fn loss(&mut self, _phase: usize) -> Tensor {
        self.losses.sum(Kind::Float) / self.predictions.max(1) as f64
    }

    fn observe(&self) -> Observations {
        let mut observations = Observations::default();
        observations.mean("loss", &self.losses.detach());
        observations
    }
}
