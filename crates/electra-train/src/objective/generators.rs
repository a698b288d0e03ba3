//! Generators: they propose a token for every masked position.

use super::{
    generate::Generate,
    inputs::Inputs,
    masked_prediction::{MaskedPrediction, OutputLayer},
    seam::{ObjectiveSite, TrainedNetwork},
    settings::check,
    two_tower::TwoTower,
};
use crate::error::{Error, Result};
use electra_model::{
    Compute, ElectraConfig, Generator, Network, Pretraining, PretrainingHead,
    config::OutputBiasInit,
};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};
use tracing::trace_span;

/// The kind of the generator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GeneratorKind {
    /// A masked language model: `[model.generator]`.
    #[default]
    MaskedLm,
    /// No network: each token of the vocabulary is equally likely.
    Uniform,
    /// No network: each token is as likely as in the training split.
    Unigram,
    /// Two towers of the size of `[model.generator]`, one reading from each side, on the unmasked input.
    TwoTower,
}

/// How replacements are sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampling {
    pub(super) kind: GeneratorKind,
    /// Logits are divided by the temperature.
    pub(super) temperature: f64,
    /// The original token is never sampled.
    pub(super) disallow_correct: bool,
}

impl Sampling {
    /// A masked language model that samples at `temperature`.
    pub(super) fn masked_lm(temperature: f64) -> Self {
        Self { kind: GeneratorKind::MaskedLm, temperature, disallow_correct: false }
    }

    /// Checks every value, and that the model has a generator if and only if this kind needs one.
    pub(super) fn validate(&self, model: &ElectraConfig) -> Result<()> {
        match self.kind {
            GeneratorKind::MaskedLm => drop(model.generator()?),
            GeneratorKind::TwoTower => TwoTower::validate(model)?,
            GeneratorKind::Uniform | GeneratorKind::Unigram => {
                let expected = "samples without a network: remove the section [model.generator], or set \
                                objective.generator = \"masked-lm\" to train it";
                if model.generator.is_some() {
                    return Err(Error::value("objective.generator", self.kind.name(), expected));
                }
            }
        }
        let temperature = self.temperature;
        check("temperature", temperature, temperature > 0.0, "must be finite and greater than 0")?;
        if self.kind != GeneratorKind::MaskedLm && (temperature != 1.0 || self.disallow_correct) {
            let expected = "requires temperature = 1.0 and disallow_correct = false, which apply to \"masked-lm\" only";
            return Err(Error::value("objective.generator", self.kind.name(), expected));
        }
        Ok(())
    }

    /// Builds the generator and the network that is trained on its samples, whose variables are under `role`.
    pub(super) fn build<H: PretrainingHead>(
        self,
        role: &str,
        site: &ObjectiveSite<'_>,
    ) -> Result<(Box<dyn Generate>, Network<H>)> {
        let kept = || -> Result<Network<H>> {
            let path = &site.path / role;
            Ok(Network::from_config(&path, &site.model.discriminator, site.parts)?)
        };
        let counts = |counts: &[u64]| fixed_distribution(counts, site.path.device());
        match self.kind {
            GeneratorKind::MaskedLm => {
                let Pretraining { generator, discriminator } = networks(role, site)?;
                Ok((masked_lm(generator, self), discriminator))
            }
            GeneratorKind::Uniform => {
                let tokens = site.model.discriminator.token_count() as usize;
                Ok((counts(&vec![1; tokens]), kept()?))
            }
            GeneratorKind::Unigram => Ok((counts(site.unigram_counts), kept()?)),
            GeneratorKind::TwoTower => {
                let (towers, network) = TwoTower::build(role, site, self.temperature)?;
                Ok((Box::new(towers), network))
            }
        }
    }
}

impl GeneratorKind {
    fn name(self) -> &'static str {
        match self {
            Self::MaskedLm => "masked-lm",
            Self::Uniform => "uniform",
            Self::Unigram => "unigram",
            Self::TwoTower => "two-tower",
        }
    }
}

/// A masked language model and the network that is trained on its samples, with the config's initial output bias.
pub(super) fn networks<H: PretrainingHead>(
    role: &str,
    site: &ObjectiveSite<'_>,
) -> Result<Pretraining<H>> {
    let pair = Pretraining::with_role(role, &site.path, site.model, site.parts)?;
    let generator = &pair.generator;
    if generator.encoder().config().initializer.output_bias == OutputBiasInit::Unigram {
        let frequencies_v = log_frequencies(site.unigram_counts);
        no_grad(|| generator.head().bias().f_copy_(&frequencies_v))?;
    }
    Ok(pair)
}

/// Log of add-one token frequencies, `[v]`.
fn log_frequencies(counts: &[u64]) -> Tensor {
    let total: f64 = counts.iter().map(|&c| c as f64 + 1.0).sum();
    let logs: Vec<f32> = counts.iter().map(|&c| ((c as f64 + 1.0) / total).ln() as f32).collect();
    Tensor::from_slice(&logs)
}

/// A generator that samples from a masked language model.
pub(super) fn masked_lm(network: Generator, sampling: Sampling) -> Box<dyn Generate> {
    Box::new(MaskedLm { network, sampling })
}

/// A generator without a network: probabilities proportional to `counts`, or uniform if all are 0.
pub(super) fn fixed_distribution(counts: &[u64], device: tch::Device) -> Box<dyn Generate> {
    Box::new(FixedDistribution::new(counts, device))
}

/// ELECTRA's generator.
#[derive(Debug)]
struct MaskedLm {
    network: Generator,
    sampling: Sampling,
}

impl Generate for MaskedLm {
    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        vec![TrainedNetwork::generator(&self.network)]
    }

    fn predict(&self, inputs: &Inputs, train: bool) -> MaskedPrediction {
        let features_pe = trace_span!("generator")
            .in_scope(|| self.network.features_t(&inputs.masked, &inputs.predicted_p(), train));
        let output = OutputLayer {
            table_ve: self.network.table(),
            bias_v: self.network.head().bias(),
            temperature: self.sampling.temperature,
            disallow_correct: self.sampling.disallow_correct,
            compute: Compute::of(self.network.encoder().config()),
        };
        trace_span!("sampling")
            .in_scope(|| output.predict(&features_pe, &inputs.labels_p, &inputs.uniforms_p))
    }
}

/// Samples from fixed probabilities.
#[derive(Debug)]
struct FixedDistribution {
    /// `[v]` double: the sum of the probabilities up to each token.
    cumulative_v: Tensor,
    /// `[v]` float.
    log_probabilities_v: Tensor,
    most_likely: i64,
}

impl FixedDistribution {
    /// Probabilities proportional to `counts`; uniform if all are 0, as for an objective without data.
    fn new(counts: &[u64], device: tch::Device) -> Self {
        let counts: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
        let counts_v = Tensor::from_slice(&counts).to_device(device);
        let counts_v = if counts.iter().all(|&c| c == 0.0) { counts_v + 1.0 } else { counts_v };
        let probabilities_v = &counts_v / counts_v.sum(Kind::Double);
        Self {
            cumulative_v: probabilities_v.cumsum(0, Kind::Double),
            log_probabilities_v: probabilities_v.log().to_kind(Kind::Float),
            most_likely: probabilities_v.argmax(0, false).int64_value(&[]),
        }
    }
}

impl Generate for FixedDistribution {
    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        Vec::new()
    }

    /// The loss has no gradient; its value is reported, but not part of the total.
    fn predict(&self, inputs: &Inputs, _train: bool) -> MaskedPrediction {
        let Inputs { labels_p, uniforms_p, .. } = inputs;
        let last = self.cumulative_v.size()[0] - 1;
        let target_p = uniforms_p.to_kind(Kind::Double) * self.cumulative_v.narrow(0, last, 1);
        let sampled_p = target_p
            .searchsorted(&self.cumulative_v, false, true, "right", None::<&Tensor>)
            .clamp(0, last);
        MaskedPrediction {
            loss: Tensor::zeros([0i64; 0], (Kind::Float, labels_p.device())),
            losses_p: -self.log_probabilities_v.index_select(0, &labels_p.clamp_min(0)),
            sampled_p,
            best_p: Tensor::full_like(labels_p, self.most_likely),
        }
    }
}
