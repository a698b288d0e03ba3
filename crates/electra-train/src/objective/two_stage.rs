//! Two-stage training: first the generator alone, then the discriminator on the samples of the frozen generator.

use super::{
    corruption::Corruption,
    discrimination::{Discrimination, LossPositions, Selection},
    generate::Generate,
    generators::Sampling,
    inputs::Shapes,
    seam::{LossCounts, Objective, ObjectiveSite, Pass, Phase, TrainedNetwork},
    settings::{ObjectiveSettings, check},
    token_prediction::TokenPrediction,
};
use crate::{
    config::MaskingConfig,
    error::{Error, Result},
    metrics::Observations,
};
use electra_data::MaskedBatch;
use electra_model::{Compute, Discriminator, ElectraConfig, tensors::Named};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor, no_grad};

/// The settings of [`TwoStage`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwoStageConfig {
    /// The share of the updates that train the generator.
    pub generator_share: f64,
    /// The discriminator's weights at the start of its stage.
    pub start: DiscriminatorStart,
    /// The generator's logits are divided by the temperature before sampling.
    pub temperature: f64,
    /// Which positions are masked.
    pub masking: MaskingConfig,
}

/// The discriminator's weights at the start of its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiscriminatorStart {
    /// The encoder of the trained generator.
    Generator,
    /// Random.
    Random,
}

impl ObjectiveSettings for TwoStageConfig {
    fn validate(&self, model: &ElectraConfig) -> Result<()> {
        let share = self.generator_share;
        let ok = share > 0.0 && share < 1.0;
        check("generator_share", share, ok, "must be greater than 0 and less than 1")?;
        let sampling = Sampling::masked_lm(self.temperature);
        sampling.validate(model)?;
        if model.sharing.name() != "untied" {
            let expected = "must be \"untied\" for the objective two-stage: the generator's embeddings are frozen while the \
                            discriminator is trained";
            return Err(Error::value("model.sharing.kind", model.sharing.name(), expected));
        }
        let generator = model.generator()?;
        if self.start == DiscriminatorStart::Generator && *generator != model.discriminator {
            let expected = "requires a generator with the sizes and parts of the discriminator: make [model.generator] equal \
                            to [model.discriminator], or set objective.start = \"random\"";
            return Err(Error::value("objective.start", "generator", expected));
        }
        Ok(())
    }

    /// The discriminator can only start from a generator of its size.
    fn warnings(&self, _model: &ElectraConfig) -> Vec<String> {
        Vec::new()
    }

    fn masking(&self) -> &MaskingConfig {
        &self.masking
    }

    fn build(&self, site: &ObjectiveSite<'_>) -> Result<Box<dyn Objective<Batch = MaskedBatch>>> {
        Ok(Box::new(TwoStage::new(self, site)?))
    }
}

/// The generator is trained by masked language modeling for a share of the updates. Then it is frozen and samples without
/// dropout, and the discriminator is trained by replaced token detection, starting from the generator's encoder or from
/// random weights.
///
/// Source: Clark et al. 2020, section 3.3, "two-stage training".
#[derive(Debug)]
pub struct TwoStage {
    generator: Box<dyn Generate>,
    discriminator: Discriminator,
    config: TwoStageConfig,
    shapes: Shapes,
    device: Device,
}

const GENERATOR: usize = 0;
const DISCRIMINATOR: usize = 1;

struct TwoStagePass<'a> {
    objective: &'a TwoStage,
    part: &'a MaskedBatch,
    whole: LossCounts,
    train: bool,
    corruption: Option<Corruption<'a>>,
    discrimination: Option<Discrimination>,
}

impl TwoStage {
    /// Builds the networks under the site's path.
    ///
    /// # Errors
    /// If a value is invalid or a part cannot be built.
    pub fn new(config: &TwoStageConfig, site: &ObjectiveSite<'_>) -> Result<Self> {
        config.validate(site.model)?;
        let sampling = Sampling::masked_lm(config.temperature);
        let (generator, discriminator) = sampling.build("discriminator", site)?;
        let device = site.path.device();
        let shapes = Shapes::of(Compute::of(&site.model.discriminator), device);
        Ok(Self { generator, discriminator, config: config.clone(), shapes, device })
    }
}

impl Objective for TwoStage {
    type Batch = MaskedBatch;

    fn name(&self) -> &str {
        "two-stage"
    }

    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        let share = self.config.generator_share;
        let discriminator = TrainedNetwork::of("discriminator", &self.discriminator);
        let mut networks = vec![discriminator.during(1.0 - share)];
        // The forward pass of the frozen generator is half of its training, by the reference's conventions.
        let generator = share + (1.0 - share) / 2.0;
        networks.extend(self.generator.networks().into_iter().map(|own| own.during(generator)));
        networks
    }

    fn discriminator(&self) -> Option<&Discriminator> {
        Some(&self.discriminator)
    }

    fn phases(&self) -> Vec<Phase> {
        let share = self.config.generator_share;
        vec![
            Phase { name: "generator", variables: &["generator."], share: (0.0, share) },
            Phase { name: "discriminator", variables: &["discriminator."], share: (share, 1.0) },
        ]
    }

    fn begin_phase(&self, phase: usize, variables: &Named) -> Result<()> {
        if phase != DISCRIMINATOR || self.config.start == DiscriminatorStart::Random {
            return Ok(());
        }
        let find = |name: &str| variables.iter().find(|(own, _)| own == name);
        for (name, generator) in variables {
            let Some(rest) = name.strip_prefix("generator.electra.") else { continue };
            if let Some((_, own)) = find(&format!("discriminator.electra.{rest}")) {
                no_grad(|| own.shallow_clone().f_copy_(generator))?;
            }
        }
        tracing::info!("the discriminator starts from the generator's encoder");
        Ok(())
    }

    fn pass<'a>(
        &'a self,
        part: &'a MaskedBatch,
        whole: &LossCounts,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let (corruption, discrimination) = (None, None);
        Box::new(TwoStagePass {
            objective: self,
            part,
            whole: *whole,
            train,
            corruption,
            discrimination,
        })
    }
}

impl TwoStagePass<'_> {
    fn corrupt(&mut self, train: bool) -> &Corruption<'_> {
        let Self { objective: TwoStage { generator, shapes, device, .. }, part, whole, .. } = self;
        self.corruption.get_or_insert_with(|| {
            Corruption::new(&**generator, part, whole, *shapes, *device, train)
        })
    }
}

impl Pass for TwoStagePass<'_> {
    fn loss(&mut self, phase: usize) -> Tensor {
        let train = self.train;
        if phase == GENERATOR {
            return self.corrupt(train).loss.shallow_clone();
        }
        no_grad(|| drop(self.corrupt(false).loss.shallow_clone()));
        let TwoStage { discriminator, shapes, .. } = self.objective;
        let tokens = self.whole.tokens;
        let corruption = self.corrupt(false);
        let selection = Selection::new(LossPositions::All, &corruption.inputs, *shapes);
        let replaced_bs = corruption.replaced_bs();
        let discrimination = Discrimination::new(
            discriminator,
            &corruption.corrupted,
            selection,
            &replaced_bs,
            None,
            tokens,
            train,
        );
        self.discrimination.insert(discrimination).loss.shallow_clone()
    }

    fn parts(&self) -> Vec<(&'static str, Tensor)> {
        let generator = self.corruption.as_ref().map(|c| ("generator", c.loss.shallow_clone()));
        let discrimination = self.discrimination.as_ref();
        let discriminator = discrimination.map(|d| ("discriminator", d.loss.shallow_clone()));
        generator.into_iter().chain(discriminator).collect()
    }

    fn observe(&self) -> Observations {
        let mut observations = Observations::default();
        if let Some(corruption) = &self.corruption {
            observations.sum("loss", &corruption.loss.detach());
            corruption.observe(&mut observations);
        }
        if let Some(discrimination) = &self.discrimination {
            discrimination.observe(&mut observations);
        }
        observations
    }

    fn token_predictions(&self) -> Vec<Vec<TokenPrediction>> {
        match (&self.discrimination, &self.corruption) {
            (Some(discrimination), Some(corruption)) => {
                discrimination.token_predictions(corruption)
            }
            _ => Vec::new(),
        }
    }
}
