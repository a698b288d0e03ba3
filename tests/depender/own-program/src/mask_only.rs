//! Masked language modeling with a loss at `[MASK]` positions only.

use electra_data::MaskedBatch;
use electra_model::{
    EncoderInput, Generator, PaddingMask,
    tch::{Device, Kind, Reduction, Tensor},
};
use electra_train::{
    metrics::Observations,
    objective::{Batch, LossCounts, Objective, ObjectiveSite, Pass, TrainedNetwork},
};
use serde::Deserialize;

/// The mean cross-entropy over the `[MASK]` positions.
#[derive(Debug)]
pub struct MaskOnly {
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

/// Losses of the positions, `[p]`, and their sum divided by the count of the whole batch.
struct MaskOnlyPass {
    losses_p: Tensor,
    loss: Tensor,
}

impl MaskOnly {
    pub fn new(site: &ObjectiveSite<'_>) -> electra_train::Result<Self> {
        let path = &site.path / "encoder";
        let network = Generator::from_config(&path, &site.model.discriminator, site.parts)?;
        Ok(Self { network, settings: site.settings()?, device: site.path.device() })
    }
}

impl Objective for MaskOnly {
    type Batch = MaskedBatch;

    fn name(&self) -> &str {
        "mask-only"
    }

    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        vec![TrainedNetwork::of("encoder", &self.network)]
    }

    fn loss_counts(&self, batch: &MaskedBatch) -> LossCounts {
        let predictions = batch.masked_is_mask.iter().filter(|&&is_mask| is_mask).count();
        LossCounts { predictions, ..batch.loss_counts() }
    }

    fn pass<'a>(
        &'a self,
        part: &'a MaskedBatch,
        whole: &LossCounts,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let shape = [part.batch as i64, part.length as i64];
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(self.device);
        let rows = part.attention_mask.chunks(part.length);
        let lengths: Vec<usize> = rows.map(|row| row.iter().sum::<i64>() as usize).collect();
        let mask = PaddingMask::from_lengths(&lengths, part.length, self.device);
        let (ids, segments) = (tensor(&part.generator_ids), tensor(&part.token_type_ids));
        let input = EncoderInput::new(ids.view(shape), segments.view(shape), mask);
        let at_mask = |values: &[i64]| -> Vec<i64> {
            let values = values.iter().zip(&part.masked_is_mask);
            values.filter(|(_, is_mask)| **is_mask).map(|(value, _)| *value).collect()
        };
        let positions_p = tensor(&at_mask(&part.masked_positions));
        let labels_p = tensor(&at_mask(&part.masked_labels));
        let losses_p = self.network.forward_t(&input, &positions_p, train).cross_entropy_loss(
            &labels_p,
            None::<&Tensor>,
            Reduction::None,
            -100,
            self.settings.label_smoothing,
        );
        let loss = losses_p.sum(Kind::Float) / whole.predictions.max(1) as f64;
        Box::new(MaskOnlyPass { losses_p: losses_p.detach(), loss })
    }
}

impl Pass for MaskOnlyPass {
    fn loss(&mut self, _phase: usize) -> Tensor {
        self.loss.shallow_clone()
    }

    fn observe(&self) -> Observations {
        let mut observations = Observations::default();
        observations.mean("loss", &self.losses_p);
        observations
    }
}
