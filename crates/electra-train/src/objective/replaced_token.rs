//! Replaced token detection: ELECTRA's objective.

use super::{
    inputs::{Inputs, Shapes},
    masked_prediction::OutputLayer,
    seam::{LossCounts, Objective, ObjectiveSite, Pass, Stage, TrainedNetwork},
    settings::{ObjectiveSettings, check},
    spans::mark_backward,
    token_prediction::TokenPrediction,
};
use crate::{
    config::MaskingConfig,
    error::Result,
    metrics::{Observations, Scores, fetch},
};
use electra_data::MaskedBatch;
use electra_model::{Compute, ElectraConfig, Pretraining, config::OutputBiasInit};
use electra_torch::upload;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use tch::{Device, Kind, Reduction, Tensor, no_grad};
use tracing::trace_span;

/// The settings of [`ReplacedToken`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplacedTokenConfig {
    /// Weight of the generator's masked language modelling loss.
    pub generator_weight: f64,
    /// Weight of the discriminator's loss: lambda in the paper.
    pub discriminator_weight: f64,
    /// The generator's logits are divided by the temperature before sampling.
    pub temperature: f64,
    /// Which positions are masked.
    pub masking: MaskingConfig,
}

impl ObjectiveSettings for ReplacedTokenConfig {
    fn validate(&self, model: &ElectraConfig) -> Result<()> {
        model.generator()?;
        let weight = "must be finite and not negative";
        let (generator, discriminator) = (self.generator_weight, self.discriminator_weight);
        check("generator_weight", generator, generator >= 0.0, weight)?;
        check("discriminator_weight", discriminator, discriminator >= 0.0, weight)?;
        let temperature = self.temperature;
        check("temperature", temperature, temperature > 0.0, "must be finite and greater than 0")
    }

    fn masking(&self) -> &MaskingConfig {
        &self.masking
    }

    fn build(&self, site: &ObjectiveSite<'_>) -> Result<Box<dyn Objective<Batch = MaskedBatch>>> {
        Ok(Box::new(ReplacedToken::new(self, site)?))
    }

    fn card(&self) -> Vec<(&'static str, String)> {
        let Self { generator_weight, discriminator_weight, masking, .. } = self;
        let weights = format!("generator {generator_weight}, discriminator {discriminator_weight}");
        vec![("masking", format!("{masking:?}")), ("loss weights", weights)]
    }
}

/// `gen_weight * L_MLM + disc_weight * L_disc` over generator and discriminator.
///
/// L_MLM is the mean cross-entropy over masked positions; L_disc is the mean binary cross-entropy over all
/// tokens, `[CLS]` and `[SEP]` included, with label 1 for tokens that differ from the original: if the generator samples
/// the original token, its label is 0.
///
/// Source: Clark et al. 2020, section 3; reference `run_pretraining.py`, `PretrainingModel`.
/// Departures: sampling by inverse transform (`sample`).
#[derive(Debug)]
pub struct ReplacedToken {
    networks: Pretraining,
    config: ReplacedTokenConfig,
    compute: Compute,
    device: Device,
}

/// A forward pass of both networks, with the tensors for the metrics.
struct ReplacedTokenPass<'a> {
    part: &'a MaskedBatch,
    device: Device,
    total: Tensor,
    generator_best_p: Tensor,
    generator_losses_p: Tensor,
    labels_p: Tensor,
    sampled_p: Tensor,
    discriminator_logits_t: Tensor,
    discriminator_losses_t: Tensor,
    replaced_t: Tensor,
    /// 1 for tokens and 0 for padding, if `t` includes padding.
    tokens_t: Option<Tensor>,
}

impl ReplacedTokenPass<'_> {
    /// Drops the values of padding.
    fn without_padding(&self, x_t: &Tensor) -> Tensor {
        match &self.tokens_t {
            Some(tokens_t) => x_t.masked_select(&tokens_t.ne(0.0)),
            None => x_t.shallow_clone(),
        }
    }
}

impl ReplacedToken {
    /// Builds the networks under the site's path.
    ///
    /// # Errors
    /// If a value is invalid or a part cannot be built.
    pub fn new(config: &ReplacedTokenConfig, site: &ObjectiveSite<'_>) -> Result<Self> {
        config.validate(site.model)?;
        let networks = Pretraining::new(&site.path, site.model, site.parts)?;
        let generator = networks.generator.encoder().config();
        if generator.initializer.output_bias == OutputBiasInit::Unigram {
            no_grad(|| {
                let mut bias_v = networks.generator.head().bias().shallow_clone();
                bias_v.f_copy_(&log_frequencies(site.unigram_counts))
            })?;
        }
        let compute = Compute::of(generator);
        Ok(Self { networks, config: config.clone(), compute, device: site.path.device() })
    }
}

/// Log of add-one token frequencies, `[v]`.
fn log_frequencies(counts: &[u64]) -> Tensor {
    let total: f64 = counts.iter().map(|&c| c as f64 + 1.0).sum();
    let logs: Vec<f32> = counts.iter().map(|&c| ((c as f64 + 1.0) / total).ln() as f32).collect();
    Tensor::from_slice(&logs)
}

/// The stages of an update. The rest (making tensors, discriminator labels and losses, zeroing gradients) is "other".
const STAGES: [Stage; 5] = [
    Stage { span: "generator", label: "generator, forward", products: |p| p[1].network },
    Stage {
        span: "sampling",
        label: "generator, output layer, loss and sampling",
        products: |p| p[1].vocabulary,
    },
    Stage { span: "discriminator", label: "discriminator, forward", products: |p| p[0].network },
    Stage {
        span: "discriminator_backward",
        label: "discriminator, backward",
        products: |p| 2.0 * p[0].network,
    },
    Stage {
        span: "generator_backward",
        label: "generator, backward",
        products: |p| 2.0 * (p[1].network + p[1].vocabulary),
    },
];

impl Objective for ReplacedToken {
    type Batch = MaskedBatch;

    fn name(&self) -> &str {
        "replaced-token"
    }

    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        let Pretraining { generator, discriminator } = &self.networks;
        vec![
            TrainedNetwork {
                role: "discriminator",
                encoder: discriminator.encoder(),
                head: discriminator.head_kind(),
            },
            TrainedNetwork {
                role: "generator",
                encoder: generator.encoder(),
                head: generator.head_kind(),
            },
        ]
    }

    fn stages(&self) -> &'static [Stage] {
        &STAGES
    }

    fn loss_counts(&self, batch: &MaskedBatch) -> LossCounts {
        LossCounts { predictions: batch.masked_labels.len(), tokens: batch.tokens }
    }

    fn pass<'a>(
        &'a self,
        part: &'a MaskedBatch,
        whole: &LossCounts,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let shapes = Shapes::of(self.compute, self.device);
        let inputs = Inputs::new(part, shapes, self.device);
        let Inputs { ids_bs, masked, labels_p, uniforms_p, .. } = &inputs;

        let generator = &self.networks.generator;
        let features_pe = trace_span!("generator")
            .in_scope(|| generator.features_t(masked, &inputs.predicted_p(), train));
        let output = OutputLayer {
            table_ve: generator.table(),
            bias_v: generator.head().bias(),
            temperature: self.config.temperature,
            compute: self.compute,
        };
        let prediction =
            trace_span!("sampling").in_scope(|| output.predict(&features_pe, labels_p, uniforms_p));
        let generator_loss = prediction.loss / (whole.predictions as f64 + 1e-6);
        let generator_loss = mark_backward(generator_loss, trace_span!("generator_backward"));

        let corrupted_bs = inputs.corrupted_bs(&prediction.sampled_p);
        let replaced_bs = corrupted_bs.not_equal_tensor(ids_bs).to_kind(Kind::Float);

        let (discriminator, corrupted) =
            (&self.networks.discriminator, masked.with_ids(corrupted_bs));
        let logits_bs =
            trace_span!("discriminator").in_scope(|| discriminator.forward_t(&corrupted, train));
        // From here on `t` counts tokens: padding is dropped, or has weight 0 with fixed shapes.
        let mask = masked.mask();
        let (indices_t, tokens_t) = match shapes {
            Shapes::Exact => (Some(mask.keep_bs().flatten(0, 1).nonzero().squeeze_dim(-1)), None),
            Shapes::Fixed => (None, Some(mask.keep_bs().flatten(0, 1))),
        };
        let select_tokens = |x_bs: &Tensor| match &indices_t {
            Some(indices_t) => x_bs.flatten(0, 1).index_select(0, indices_t),
            None => x_bs.flatten(0, 1),
        };
        let (discriminator_logits_t, replaced_t) =
            (select_tokens(&logits_bs), select_tokens(&replaced_bs));
        let discriminator_losses_t = discriminator_logits_t.binary_cross_entropy_with_logits(
            &replaced_t,
            tokens_t.as_ref(),
            None::<&Tensor>,
            Reduction::None,
        );
        let discriminator_loss =
            discriminator_losses_t.sum(Kind::Float) / (whole.tokens as f64 + 1e-6);
        let discriminator_loss =
            mark_backward(discriminator_loss, trace_span!("discriminator_backward"));

        let total = generator_loss * self.config.generator_weight
            + discriminator_loss * self.config.discriminator_weight;
        Box::new(ReplacedTokenPass {
            part,
            device: self.device,
            total,
            generator_best_p: prediction.best_p,
            generator_losses_p: prediction.losses_p,
            labels_p: labels_p.shallow_clone(),
            sampled_p: prediction.sampled_p,
            discriminator_logits_t: discriminator_logits_t.detach(),
            discriminator_losses_t: discriminator_losses_t.detach(),
            replaced_t,
            tokens_t,
        })
    }
}

impl Pass for ReplacedTokenPass<'_> {
    fn loss(&mut self, _phase: usize) -> Tensor {
        self.total.shallow_clone()
    }

    fn observe(&self) -> Observations {
        let part = self.part;
        let is_mask: Vec<f32> = part.masked_is_mask.iter().map(|&m| f32::from(m)).collect();
        let is_mask_p = upload(&Tensor::from_slice(&is_mask), self.device);
        // Fillers come last.
        let p = part.masked_labels.len() as i64;
        let [best_p, labels_p, sampled_p, losses_p] =
            [&self.generator_best_p, &self.labels_p, &self.sampled_p, &self.generator_losses_p]
                .map(|x| x.narrow(0, 0, p));
        let correct_p = best_p.eq_tensor(&labels_p).to_kind(Kind::Float);
        let sampled_correct_p = sampled_p.eq_tensor(&labels_p).to_kind(Kind::Float);
        let [logits_t, discriminator_losses_t, replaced_t] =
            [&self.discriminator_logits_t, &self.discriminator_losses_t, &self.replaced_t]
                .map(|x_t| self.without_padding(x_t));
        let predicted_t = logits_t.gt(0.0).to_kind(Kind::Float);
        let discriminator_correct_t = predicted_t.eq_tensor(&replaced_t).to_kind(Kind::Float);
        let true_positives_t = &predicted_t * &replaced_t;

        let mut observations = Observations::default();
        observations.sum("loss", &self.total.detach());
        observations.mean("generator_loss", &losses_p);
        observations.ratio("generator_loss_mask", &(&losses_p * &is_mask_p), &is_mask_p);
        observations.mean("generator_accuracy", &correct_p);
        observations.ratio("generator_accuracy_mask", &(&correct_p * &is_mask_p), &is_mask_p);
        observations.mean("generator_sampled_accuracy", &sampled_correct_p);
        observations.mean("discriminator_loss", &discriminator_losses_t);
        observations.mean("replaced_fraction", &replaced_t);
        observations.mean("discriminator_accuracy", &discriminator_correct_t);
        observations.ratio("discriminator_precision", &true_positives_t, &predicted_t);
        observations.ratio("discriminator_recall", &true_positives_t, &replaced_t);
        let (logits, labels) = (logits_t, replaced_t);
        observations.scores(Scores { name: "discriminator_auc", logits, labels });
        observations
    }

    fn token_predictions(&self) -> Vec<Vec<TokenPrediction>> {
        let part = self.part;
        let sampled_p = self.sampled_p.to_device(Device::Cpu).to_kind(Kind::Int64).contiguous();
        let mut sampled = vec![0i64; sampled_p.numel()];
        let count = sampled.len();
        sampled_p.copy_data(&mut sampled, count);
        // `zip` drops the fillers, which come last and have no position.
        let sampled: HashMap<i64, i64> =
            part.masked_positions.iter().copied().zip(sampled).collect();
        let logits_t = self.without_padding(&self.discriminator_logits_t);
        let mut probabilities = fetch(&logits_t.sigmoid()).into_iter();
        let cells = part.input_ids.iter().zip(&part.attention_mask);
        let cells: Vec<_> = (0i64..).zip(cells).collect();
        let row = |row: &[(i64, (&i64, &i64))]| {
            let tokens = row.iter().filter(|(_, (_, mask))| **mask == 1);
            let prediction =
                |(&(position, (&original, _)), replaced_probability)| TokenPrediction {
                    original,
                    sampled: sampled.get(&position).copied(),
                    replaced_probability,
                };
            tokens.zip(probabilities.by_ref()).map(prediction).collect()
        };
        cells.chunks(part.length.max(1)).map(row).collect()
    }
}
