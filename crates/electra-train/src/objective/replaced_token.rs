//! Replaced token detection: ELECTRA's objective.

use super::{
    cloze::Output,
    inputs::{Inputs, Shapes},
    seam::{Normaliser, Objective, ObjectiveSite, Pass, Stage, TrainedNetwork},
    settings::{ObjectiveSettings, check},
    shown::Shown,
    spans::backward_of,
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

/// The weights of the joint loss, and sampling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplacedTokenConfig {
    /// Weight of the generator's masked language modelling loss.
    pub generator_weight: f64,
    /// Weight of the discriminator's loss: the paper's lambda.
    pub discriminator_weight: f64,
    /// The generator's logits are divided by this before sampling.
    pub temperature: f64,
    /// Which positions the generator fills.
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
        check("temperature", temperature, temperature > 0.0, "must be finite and above 0")
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
/// L_MLM is the mean cross-entropy over masked positions; L_disc the mean binary cross-entropy over all
/// tokens, `[CLS]` and `[SEP]` included, where 1 means "not the original token": a generator that
/// happens to sample the original leaves a real token.
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

/// A forward pass of both networks, and what it leaves for the metrics.
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
    /// Which of `t` are tokens, where padding was not left out.
    tokens_t: Option<Tensor>,
}

impl ReplacedTokenPass<'_> {
    /// What is of tokens, without what is of padding.
    fn of_tokens(&self, x_t: &Tensor) -> Tensor {
        match &self.tokens_t {
            Some(tokens_t) => x_t.masked_select(&tokens_t.ne(0.0)),
            None => x_t.shallow_clone(),
        }
    }
}

impl ReplacedToken {
    /// Networks under the site's path.
    ///
    /// # Errors
    /// If a value is not valid or a part cannot be built.
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

/// The stages of an update. What is in none of them (integers to tensors, labels and losses of the discriminator, zeroed
/// gradients) is "other".
const STAGES: [Stage; 5] = [
    Stage { span: "generator", label: "generator, forward", products: |p| p[1].network },
    Stage {
        span: "sampling",
        label: "its output layer, loss and samples",
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

    fn normaliser(&self, batch: &MaskedBatch) -> Normaliser {
        Normaliser { predictions: batch.masked_labels.len(), tokens: batch.tokens }
    }

    fn pass<'a>(
        &'a self,
        part: &'a MaskedBatch,
        whole: &Normaliser,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let shapes = Shapes::of(self.compute, self.device);
        let inputs = Inputs::new(part, shapes, self.device);
        let Inputs { ids_bs, masked, labels_p, uniforms_p, .. } = &inputs;

        let generator = &self.networks.generator;
        let features_pe = trace_span!("generator")
            .in_scope(|| generator.features_t(masked, &inputs.predicted_p(), train));
        let output = Output {
            table_ve: generator.table(),
            bias_v: generator.head().bias(),
            temperature: self.config.temperature,
            compute: self.compute,
        };
        let cloze =
            trace_span!("sampling").in_scope(|| output.cloze(&features_pe, labels_p, uniforms_p));
        let generator_loss = cloze.loss / (whole.predictions as f64 + 1e-6);
        let generator_loss = backward_of(generator_loss, trace_span!("generator_backward"));

        let corrupted_bs = inputs.corrupted_bs(&cloze.sampled_p);
        let replaced_bs = corrupted_bs.not_equal_tensor(ids_bs).to_kind(Kind::Float);

        let (discriminator, corrupted) =
            (&self.networks.discriminator, masked.with_ids(corrupted_bs));
        let logits_bs =
            trace_span!("discriminator").in_scope(|| discriminator.forward_t(&corrupted, train));
        // `t` numbers tokens from here on: padding is left out, or counts 0 where it must stay.
        let mask = masked.mask();
        let (kept_t, tokens_t) = match shapes {
            Shapes::Exact => (Some(mask.keep_bs().flatten(0, 1).nonzero().squeeze_dim(-1)), None),
            Shapes::Fixed => (None, Some(mask.keep_bs().flatten(0, 1))),
        };
        let of_tokens = |x_bs: &Tensor| match &kept_t {
            Some(kept_t) => x_bs.flatten(0, 1).index_select(0, kept_t),
            None => x_bs.flatten(0, 1),
        };
        let (discriminator_logits_t, replaced_t) = (of_tokens(&logits_bs), of_tokens(&replaced_bs));
        let discriminator_losses_t = discriminator_logits_t.binary_cross_entropy_with_logits(
            &replaced_t,
            tokens_t.as_ref(),
            None::<&Tensor>,
            Reduction::None,
        );
        let discriminator_loss =
            discriminator_losses_t.sum(Kind::Float) / (whole.tokens as f64 + 1e-6);
        let discriminator_loss =
            backward_of(discriminator_loss, trace_span!("discriminator_backward"));

        let total = generator_loss * self.config.generator_weight
            + discriminator_loss * self.config.discriminator_weight;
        Box::new(ReplacedTokenPass {
            part,
            device: self.device,
            total,
            generator_best_p: cloze.best_p,
            generator_losses_p: cloze.losses_p,
            labels_p: labels_p.shallow_clone(),
            sampled_p: cloze.sampled_p,
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
        let (o, part) = (self, self.part);
        let shown_as_mask: Vec<f32> = part.masked_is_mask.iter().map(|&m| f32::from(m)).collect();
        let as_mask_p = upload(&Tensor::from_slice(&shown_as_mask), self.device);
        // What only fills a place comes last.
        let p = part.masked_labels.len() as i64;
        let [best_p, labels_p, sampled_p, losses_p] =
            [&o.generator_best_p, &o.labels_p, &o.sampled_p, &o.generator_losses_p]
                .map(|x| x.narrow(0, 0, p));
        let correct_p = best_p.eq_tensor(&labels_p).to_kind(Kind::Float);
        let sampled_correct_p = sampled_p.eq_tensor(&labels_p).to_kind(Kind::Float);
        let [logits_t, discriminator_losses_t, replaced_t] =
            [&o.discriminator_logits_t, &o.discriminator_losses_t, &o.replaced_t]
                .map(|x_t| o.of_tokens(x_t));
        let called_t = logits_t.gt(0.0).to_kind(Kind::Float);
        let right_t = called_t.eq_tensor(&replaced_t).to_kind(Kind::Float);
        let hits_t = &called_t * &replaced_t;

        let mut seen = Observations::default();
        seen.sum("loss", &o.total.detach());
        seen.mean("generator_loss", &losses_p);
        seen.ratio("generator_loss_mask", &(&losses_p * &as_mask_p), &as_mask_p);
        seen.mean("generator_accuracy", &correct_p);
        seen.ratio("generator_accuracy_mask", &(&correct_p * &as_mask_p), &as_mask_p);
        seen.mean("generator_sampled_accuracy", &sampled_correct_p);
        seen.mean("discriminator_loss", &discriminator_losses_t);
        seen.mean("replaced_fraction", &replaced_t);
        seen.mean("discriminator_accuracy", &right_t);
        seen.ratio("discriminator_precision", &hits_t, &called_t);
        seen.ratio("discriminator_recall", &hits_t, &replaced_t);
        seen.scores(Scores { name: "discriminator_auc", logits: logits_t, labels: replaced_t });
        seen
    }

    fn show(&self) -> Vec<Vec<Shown>> {
        let part = self.part;
        let sampled_p = self.sampled_p.to_device(Device::Cpu).to_kind(Kind::Int64).contiguous();
        let mut sampled = vec![0i64; sampled_p.numel()];
        let count = sampled.len();
        sampled_p.copy_data(&mut sampled, count);
        // What only fills a place comes last and has no position.
        let drawn: HashMap<i64, i64> = part.masked_positions.iter().copied().zip(sampled).collect();
        let logits_t = self.of_tokens(&self.discriminator_logits_t);
        let mut replaced = fetch(&logits_t.sigmoid()).into_iter();
        let cells = part.input_ids.iter().zip(&part.attention_mask);
        let cells: Vec<_> = (0i64..).zip(cells).collect();
        let row = |row: &[(i64, (&i64, &i64))]| {
            let tokens = row.iter().filter(|(_, (_, mask))| **mask == 1).zip(replaced.by_ref());
            let shown = |(&(position, (&original, _)), replaced)| Shown {
                original,
                drawn: drawn.get(&position).copied(),
                replaced,
            };
            tokens.map(shown).collect()
        };
        cells.chunks(part.length.max(1)).map(row).collect()
    }
}
