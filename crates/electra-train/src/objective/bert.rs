//! BERT's masked language modeling: the paper's baseline, with one network.

use super::{
    inputs::{Inputs, Shapes},
    masked_prediction::{MaskedPrediction, OutputLayer},
    seam::{LossCounts, Objective, ObjectiveSite, Pass, Stage, TrainedNetwork},
    settings::{ObjectiveSettings, check},
};
use crate::{config::MaskingConfig, error::Result, metrics::Observations};
use electra_data::MaskedBatch;
use electra_model::{Compute, ElectraConfig, Generator};
use electra_torch::upload;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};
use tracing::trace_span;

/// The settings of [`Bert`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BertConfig {
    /// Fraction of the chosen positions replaced with a random token, uniform over the vocabulary; 0.1 in the paper.
    /// Positions with neither `[MASK]` nor a random token keep their token.
    pub random_share: f64,
    /// Which positions are chosen, and the fraction replaced with `[MASK]`: 0.15 and 0.8 in the paper.
    pub masking: MaskingConfig,
}

/// The mean cross-entropy over the chosen positions. The network is the config's discriminator with a masked language
/// modeling head; no generator is built.
///
/// Source: Devlin et al. 2019, section 3.1, "Task #1"; Clark et al. 2020, section 3.1, the BERT baseline: no next
/// sentence prediction.
#[derive(Debug)]
pub struct Bert {
    network: Generator,
    config: BertConfig,
    device: Device,
}

struct BertPass<'a> {
    part: &'a MaskedBatch,
    loss: Tensor,
    labels_p: Tensor,
    prediction: MaskedPrediction,
}

impl ObjectiveSettings for BertConfig {
    fn validate(&self, _model: &ElectraConfig) -> Result<()> {
        let max = 1.0 - self.masking.mask_share();
        let expected = format!("must be from 0 to {max}, which is 1 - masking.mask_share");
        // 1 - 0.8 is slightly less than 0.2 in floating point.
        let ok = (0.0..=max + 1e-9).contains(&self.random_share);
        check("random_share", self.random_share, ok, &expected)
    }

    fn warnings(&self, model: &ElectraConfig) -> Vec<String> {
        let unused = "[model.generator] is not used: the objective bert trains one network";
        model.generator.iter().map(|_| unused.to_owned()).collect()
    }

    fn masking(&self) -> &MaskingConfig {
        &self.masking
    }

    fn trained_share(&self) -> f64 {
        self.masking.rate()
    }

    fn build(&self, site: &ObjectiveSite<'_>) -> Result<Box<dyn Objective<Batch = MaskedBatch>>> {
        Ok(Box::new(Bert::new(self, site)?))
    }

    fn card(&self) -> Vec<(&'static str, String)> {
        vec![("masking", format!("{:?}, random {}", self.masking, self.random_share))]
    }
}

impl BertConfig {
    /// The network's input ids, `[b * s]`: those with `[MASK]`, and random tokens of a vocabulary of size `vocabulary` at
    /// some of the chosen positions without it. The position's uniform number decides whether, and which token.
    pub fn input_ids(&self, part: &MaskedBatch, vocabulary: i64) -> Vec<i64> {
        let unmasked_share = 1.0 - self.masking.mask_share();
        let mut ids = part.generator_ids.clone();
        let positions = part.masked_positions.iter().zip(&part.masked_is_mask);
        for ((&position, &is_mask), &uniform) in positions.zip(&part.sampling_uniforms) {
            // Less than 1, and then uniform, with probability random_share / unmasked_share.
            let scaled = f64::from(uniform) * unmasked_share / self.random_share;
            if !is_mask && scaled < 1.0 {
                ids[position as usize] = ((scaled * vocabulary as f64) as i64).min(vocabulary - 1);
            }
        }
        ids
    }
}

impl Bert {
    /// Builds the network under the site's path.
    ///
    /// # Errors
    /// If a value is invalid or a part cannot be built.
    pub fn new(config: &BertConfig, site: &ObjectiveSite<'_>) -> Result<Self> {
        config.validate(site.model)?;
        let path = &site.path / "encoder";
        Ok(Self {
            network: Generator::from_config(&path, &site.model.discriminator, site.parts)?,
            config: config.clone(),
            device: site.path.device(),
        })
    }
}

/// Metrics over all chosen positions, and over those replaced by `[MASK]`.
pub(super) const ALL: [&str; 2] = ["masked_lm_loss", "masked_lm_accuracy"];
pub(super) const MASKED: [&str; 2] = ["masked_lm_loss_mask", "masked_lm_accuracy_mask"];

const STAGES: [Stage; 3] = [
    Stage { span: "encoder", label: "encoder, forward", products: |p| p[0].network },
    Stage { span: "output", label: "output layer and loss", products: |p| p[0].vocabulary },
    Stage {
        span: "backward",
        label: "backward",
        products: |p| 2.0 * (p[0].network + p[0].vocabulary),
    },
];

impl Objective for Bert {
    type Batch = MaskedBatch;

    fn name(&self) -> &str {
        "bert"
    }

    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        vec![TrainedNetwork::of("encoder", &self.network)]
    }

    fn stages(&self) -> &'static [Stage] {
        &STAGES
    }

    fn pass<'a>(
        &'a self,
        part: &'a MaskedBatch,
        whole: &LossCounts,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let encoder = self.network.encoder().config();
        let (compute, vocabulary) = (Compute::of(encoder), encoder.token_count());
        let inputs = Inputs::new(part, Shapes::of(compute, self.device), self.device);
        let ids = Tensor::from_slice(&self.config.input_ids(part, vocabulary));
        let ids_bs = upload(&ids, self.device).view_as(&inputs.ids_bs);
        let masked = inputs.masked.with_ids(ids_bs);
        let features_pe = trace_span!("encoder")
            .in_scope(|| self.network.features_t(&masked, &inputs.predicted_p(), train));
        let output = OutputLayer {
            table_ve: self.network.table(),
            bias_v: self.network.head().bias(),
            temperature: 1.0,
            disallow_correct: false,
            compute,
        };
        let prediction = trace_span!("output")
            .in_scope(|| output.predict(&features_pe, &inputs.labels_p, &inputs.uniforms_p));
        let loss = &prediction.loss / (whole.predictions as f64 + 1e-6);
        let labels_p = inputs.labels_p;
        Box::new(BertPass { part, loss, labels_p, prediction })
    }
}

impl Pass for BertPass<'_> {
    fn loss(&mut self, _phase: usize) -> Tensor {
        self.loss.shallow_clone()
    }

    fn parts(&self) -> Vec<(&'static str, Tensor)> {
        vec![("masked_lm", self.loss.shallow_clone())]
    }

    fn observe(&self) -> Observations {
        let mut observations = Observations::default();
        observations.sum("loss", &self.loss.detach());
        self.prediction.observe(ALL, MASKED, self.part, &self.labels_p, &mut observations);
        observations
    }
}
