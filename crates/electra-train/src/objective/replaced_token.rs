//! Replaced token detection: ELECTRA's objective.

use super::{
    corruption::Corruption,
    discrimination::{Discrimination, LossPositions, Selection},
    generate::Generate,
    generators::{GeneratorKind, Sampling},
    inputs::Shapes,
    joint_pass::JointPass,
    seam::{LossCounts, Objective, ObjectiveSite, Pass, Stage, TrainedNetwork},
    settings::{ObjectiveSettings, check_weight},
    token_prediction::TokenPrediction,
};
use crate::{
    config::MaskingConfig,
    error::{Error, Result},
    metrics::Observations,
};
use electra_data::MaskedBatch;
use electra_model::{Compute, Discriminator, ElectraConfig};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

/// The settings of [`ReplacedToken`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplacedTokenConfig {
    /// Weight of the generator's masked language modeling loss.
    pub generator_weight: f64,
    /// Weight of the discriminator's loss: lambda in the paper.
    pub discriminator_weight: f64,
    /// The generator's logits are divided by the temperature before sampling.
    pub temperature: f64,
    /// What samples the replacements.
    #[serde(default)]
    pub generator: GeneratorKind,
    /// Whether the original token is never sampled.
    #[serde(default)]
    pub disallow_correct: bool,
    /// Which tokens the discriminator's loss covers.
    #[serde(default)]
    pub positions: LossPositions,
    /// Whether rows of metrics have `embedding_gradient_cosine`: the cosine between the gradients of the two losses by the word
    /// embeddings that both networks share. It costs a second pass, without dropout, for each row.
    #[serde(default)]
    pub log_conflict: bool,
    /// Which positions are masked.
    pub masking: MaskingConfig,
}

impl ReplacedTokenConfig {
    fn sampling(&self) -> Sampling {
        let Self { generator: kind, temperature, disallow_correct, .. } = *self;
        Sampling { kind, temperature, disallow_correct }
    }
}

impl ObjectiveSettings for ReplacedTokenConfig {
    fn validate(&self, model: &ElectraConfig) -> Result<()> {
        check_weight("generator_weight", self.generator_weight)?;
        check_weight("discriminator_weight", self.discriminator_weight)?;
        self.sampling().validate(model)?;
        let shared = ["tied", "tied-tokens", "tied-all"].contains(&model.sharing.name());
        if self.log_conflict && !(shared && self.generator == GeneratorKind::MaskedLm) {
            let expected = "requires word embeddings that both losses train: model.sharing.kind \"tied\", \"tied-tokens\" or \
                            \"tied-all\", and objective.generator \"masked-lm\"";
            return Err(Error::value("objective.log_conflict", true, expected));
        }
        Ok(())
    }

    fn masking(&self) -> &MaskingConfig {
        &self.masking
    }

    fn trained_share(&self) -> f64 {
        match self.positions {
            LossPositions::All => 1.0,
            LossPositions::Masked => self.masking.rate(),
        }
    }

    fn build(&self, site: &ObjectiveSite<'_>) -> Result<Box<dyn Objective<Batch = MaskedBatch>>> {
        Ok(Box::new(ReplacedToken::new(self, site)?))
    }

    fn card(&self) -> Vec<(&'static str, String)> {
        let Self { generator_weight, discriminator_weight, masking, .. } = self;
        let weights = format!("generator {generator_weight}, discriminator {discriminator_weight}");
        vec![("masking", masking.to_string()), ("loss weights", weights)]
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
    generator: Box<dyn Generate>,
    discriminator: Discriminator,
    config: ReplacedTokenConfig,
    shapes: Shapes,
    device: Device,
}

/// A pass that also observes [`ReplacedToken::conflict`].
struct ConflictPass<'a> {
    objective: &'a ReplacedToken,
    whole: LossCounts,
    joint: JointPass<'a>,
}

impl ReplacedToken {
    /// Builds the networks under the site's path.
    ///
    /// # Errors
    /// If a value is invalid or a part cannot be built.
    pub fn new(config: &ReplacedTokenConfig, site: &ObjectiveSite<'_>) -> Result<Self> {
        config.validate(site.model)?;
        let (generator, discriminator) = config.sampling().build("discriminator", site)?;
        let device = site.path.device();
        let shapes = Shapes::of(Compute::of(&site.model.discriminator), device);
        Ok(Self { generator, discriminator, config: config.clone(), shapes, device })
    }

    fn forward<'a>(
        &self,
        part: &'a MaskedBatch,
        whole: &LossCounts,
        train: bool,
    ) -> (Corruption<'a>, Discrimination) {
        let Self { generator, discriminator, config, shapes, device } = self;
        let corruption = Corruption::new(&**generator, part, whole, *shapes, *device, train);
        let selection = Selection::new(config.positions, &corruption.inputs, *shapes);
        let labels_bs = corruption.replaced_bs();
        let discrimination = Discrimination::new(
            discriminator,
            &corruption.corrupted,
            selection,
            &labels_bs,
            None,
            config.positions.count(whole),
            train,
        );
        (corruption, discrimination)
    }

    /// The cosine between the gradients of the two losses by the shared word embeddings, without dropout.
    fn conflict(&self, part: &MaskedBatch, whole: &LossCounts) -> Tensor {
        let table_ve = self.discriminator.encoder().embeddings().token_table();
        let (corruption, discrimination) = tch::with_grad(|| self.forward(part, whole, false));
        let [generator, discriminator] = [&corruption.loss, &discrimination.loss].map(|loss| {
            Tensor::run_backward(&[loss], &[&table_ve], true, false).remove(0).flatten(0, -1)
        });
        generator.dot(&discriminator) / (generator.norm() * discriminator.norm())
    }
}

/// The stages of an update. The rest (making tensors, discriminator labels and losses, zeroing gradients) is "other".
const STAGES: [Stage; 5] = [
    Stage { span: "generator", label: "generator, forward", products: |p| p[1].network },
    Stage {
        span: "sampling",
        label: "generator, output layer, loss and sampling",
        products: |p| p[1].vocabulary,
    },
    DISCRIMINATOR_STAGES[0],
    DISCRIMINATOR_STAGES[1],
    Stage {
        span: "generator_backward",
        label: "generator, backward",
        products: |p| 2.0 * (p[1].network + p[1].vocabulary),
    },
];

/// The stages without a generator network.
const DISCRIMINATOR_STAGES: [Stage; 2] = [
    Stage { span: "discriminator", label: "discriminator, forward", products: |p| p[0].network },
    Stage {
        span: "discriminator_backward",
        label: "discriminator, backward",
        products: |p| 2.0 * p[0].network,
    },
];

impl Objective for ReplacedToken {
    type Batch = MaskedBatch;

    fn name(&self) -> &str {
        "replaced-token"
    }

    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        let mut networks = vec![TrainedNetwork::of("discriminator", &self.discriminator)];
        networks.extend(self.generator.networks());
        networks
    }

    fn discriminator(&self) -> Option<&Discriminator> {
        Some(&self.discriminator)
    }

    fn stages(&self) -> &'static [Stage] {
        match self.config.generator {
            GeneratorKind::MaskedLm => &STAGES,
            _ => &DISCRIMINATOR_STAGES,
        }
    }

    fn pass<'a>(
        &'a self,
        part: &'a MaskedBatch,
        whole: &LossCounts,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let (corruption, discrimination) = self.forward(part, whole, train);
        let total = &corruption.loss * self.config.generator_weight
            + &discrimination.loss * self.config.discriminator_weight;
        let joint = JointPass { corruption, discrimination, total };
        match self.config.log_conflict && train {
            true => Box::new(ConflictPass { objective: self, whole: *whole, joint }),
            false => Box::new(joint),
        }
    }
}

impl Pass for ConflictPass<'_> {
    fn loss(&mut self, phase: usize) -> Tensor {
        self.joint.loss(phase)
    }

    fn parts(&self) -> Vec<(&'static str, Tensor)> {
        self.joint.parts()
    }

    fn observe(&self) -> Observations {
        let mut observations = self.joint.observe();
        let cosine = self.objective.conflict(self.joint.corruption.part, &self.whole);
        observations.mean("embedding_gradient_cosine", &cosine);
        observations
    }

    fn token_predictions(&self) -> Vec<Vec<TokenPrediction>> {
        self.joint.token_predictions()
    }
}
