//! Masked language modelling: BERT's objective, the paper's baseline, with one network.

use super::{
    cloze::{Cloze, Output},
    inputs::{Inputs, Shapes},
    seam::{Normaliser, Objective, ObjectiveSite, Pass, Stage, TrainedNetwork},
    settings::{ObjectiveSettings, check},
};
use crate::{config::MaskingConfig, error::Result, metrics::Observations};
use electra_data::MaskedBatch;
use electra_model::{Compute, ElectraConfig, Generator};
use electra_torch::upload;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use tracing::trace_span;

/// How positions are masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BertConfig {
    /// Share of the chosen positions that shows another token, drawn uniformly from the vocabulary; 0.1 in the paper.
    /// What shows neither `[MASK]` nor another token keeps its own.
    pub random_share: f64,
    /// Which positions are chosen, and the share of them that shows `[MASK]`: 0.15 and 0.8 in the paper.
    pub masking: MaskingConfig,
}

/// The mean cross-entropy over the chosen positions. The network is the config's discriminator with the head of a masked
/// language model; no second one is built.
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
    device: Device,
    loss: Tensor,
    labels_p: Tensor,
    cloze: Cloze,
}

impl ObjectiveSettings for BertConfig {
    fn validate(&self, _model: &ElectraConfig) -> Result<()> {
        let most = 1.0 - self.masking.mask_share();
        let expected = format!("must be from 0 to {most}, what masking.mask_share leaves");
        // 1 - 0.8 is a little less than 0.2 in binary.
        let ok = (0.0..=most + 1e-9).contains(&self.random_share);
        check("random_share", self.random_share, ok, &expected)
    }

    fn masking(&self) -> &MaskingConfig {
        &self.masking
    }

    fn build(&self, site: &ObjectiveSite<'_>) -> Result<Box<dyn Objective<Batch = MaskedBatch>>> {
        Ok(Box::new(Bert::new(self, site)?))
    }

    fn card(&self) -> Vec<(&'static str, String)> {
        vec![("masking", format!("{:?}, random {}", self.masking, self.random_share))]
    }
}

impl BertConfig {
    /// The ids that the network reads, `[b * s]`, of `vocabulary` tokens: those with `[MASK]`, and other tokens at a share
    /// of the positions that do not show it. Whether, and which, is a function of the position's one uniform number.
    pub fn shown(&self, part: &MaskedBatch, vocabulary: i64) -> Vec<i64> {
        let kept_share = 1.0 - self.masking.mask_share();
        let mut ids = part.generator_ids.clone();
        let positions = part.masked_positions.iter().zip(&part.masked_is_mask);
        for ((&position, &is_mask), &uniform) in positions.zip(&part.sampling_uniforms) {
            // Below 1, and uniform there, at the share that is random of what is not [MASK].
            let drawn = f64::from(uniform) * kept_share / self.random_share;
            if !is_mask && drawn < 1.0 {
                ids[position as usize] = ((drawn * vocabulary as f64) as i64).min(vocabulary - 1);
            }
        }
        ids
    }
}

impl Bert {
    /// The network under the site's path.
    ///
    /// # Errors
    /// If a value is not valid or a part cannot be built.
    pub fn new(config: &BertConfig, site: &ObjectiveSite<'_>) -> Result<Self> {
        config.validate(site.model)?;
        if site.model.generator.is_some() {
            tracing::warn!("the objective bert trains one network: [model.generator] is not used");
        }
        let path = &site.path / "encoder";
        Ok(Self {
            network: Generator::alone(&path, &site.model.discriminator, site.parts)?,
            config: config.clone(),
            device: site.path.device(),
        })
    }
}

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
        let (encoder, head) = (self.network.encoder(), self.network.head_kind());
        vec![TrainedNetwork { role: "encoder", encoder, head }]
    }

    fn stages(&self) -> &'static [Stage] {
        &STAGES
    }

    fn normaliser(&self, batch: &MaskedBatch) -> Normaliser {
        Normaliser { predictions: batch.masked_labels.len(), tokens: batch.tokens }
    }

    fn pass<'a>(
        &'a self,
        part: &'a MaskedBatch,
        whole: &Normaliser,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let encoder = self.network.encoder().config();
        let (compute, vocabulary) = (Compute::of(encoder), encoder.vocab_size);
        let inputs = Inputs::new(part, Shapes::of(compute, self.device), self.device);
        let shown_bs =
            upload(&Tensor::from_slice(&self.config.shown(part, vocabulary)), self.device);
        let shown = inputs.masked.with_ids(shown_bs.view_as(&inputs.ids_bs));
        let features_pe = trace_span!("encoder")
            .in_scope(|| self.network.features_t(&shown, &inputs.predicted_p(), train));
        let output = Output {
            table_ve: self.network.table(),
            bias_v: self.network.head().bias(),
            temperature: 1.0,
            compute,
        };
        let cloze = trace_span!("output")
            .in_scope(|| output.cloze(&features_pe, &inputs.labels_p, &inputs.uniforms_p));
        let loss = &cloze.loss / (whole.predictions as f64 + 1e-6);
        Box::new(BertPass { part, device: self.device, loss, labels_p: inputs.labels_p, cloze })
    }
}

impl Pass for BertPass<'_> {
    fn loss(&mut self, _phase: usize) -> Tensor {
        self.loss.shallow_clone()
    }

    fn observe(&self) -> Observations {
        let shown: Vec<f32> = self.part.masked_is_mask.iter().map(|&m| f32::from(m)).collect();
        let as_mask_p = upload(&Tensor::from_slice(&shown), self.device);
        // What only fills a place comes last.
        let p = shown.len() as i64;
        let [best_p, labels_p, losses_p] =
            [&self.cloze.best_p, &self.labels_p, &self.cloze.losses_p].map(|x| x.narrow(0, 0, p));
        let correct_p = best_p.eq_tensor(&labels_p).to_kind(Kind::Float);
        let mut seen = Observations::default();
        seen.sum("loss", &self.loss.detach());
        seen.mean("masked_lm_loss", &losses_p);
        seen.ratio("masked_lm_loss_mask", &(&losses_p * &as_mask_p), &as_mask_p);
        seen.mean("masked_lm_accuracy", &correct_p);
        seen.ratio("masked_lm_accuracy_mask", &(&correct_p * &as_mask_p), &as_mask_p);
        seen
    }
}
