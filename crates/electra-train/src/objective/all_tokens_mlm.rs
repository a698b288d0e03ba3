//! All-Tokens MLM: Replace MLM that predicts every token, with a copy mechanism.

use super::{
    corruption::Corruption,
    generate::Generate,
    generators::Sampling,
    inputs::Shapes,
    seam::{LossCounts, Objective, ObjectiveSite, Pass, TrainedNetwork},
    settings::{ObjectiveSettings, check_weight},
};
use crate::{config::MaskingConfig, error::Result, metrics::Observations};
use electra_data::MaskedBatch;
use electra_model::{Compute, ElectraConfig, Generator, HeadKind, ReplacedTokenHead};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Reduction, Tensor};

/// The settings of [`AllTokensMlm`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllTokensMlmConfig {
    /// Weight of the generator's loss.
    pub generator_weight: f64,
    /// Weight of the loss of the network that is kept.
    pub masked_lm_weight: f64,
    /// The generator's logits are divided by the temperature before sampling.
    pub temperature: f64,
    /// Which positions are masked.
    pub masking: MaskingConfig,
}

impl ObjectiveSettings for AllTokensMlmConfig {
    fn validate(&self, model: &ElectraConfig) -> Result<()> {
        check_weight("generator_weight", self.generator_weight)?;
        check_weight("masked_lm_weight", self.masked_lm_weight)?;
        Sampling::masked_lm(self.temperature).validate(model)
    }

    fn masking(&self) -> &MaskingConfig {
        &self.masking
    }

    fn build(&self, site: &ObjectiveSite<'_>) -> Result<Box<dyn Objective<Batch = MaskedBatch>>> {
        Ok(Box::new(AllTokensMlm::new(self, site)?))
    }
}

/// `generator_weight * L_MLM(generator) + masked_lm_weight * L(encoder)`: from an input with the generator's samples, the
/// encoder predicts the original of every token. With the copy probability `c` of a token, a sigmoid,
/// `P(x) = c * [x is the input token] + (1 - c) * softmax(x)`.
///
/// Source: Clark et al. 2020, section 3.4, "All-Tokens MLM". The paper does not give the weights; the generator is trained
/// jointly, as in ELECTRA. The two terms are added in log space.
#[derive(Debug)]
pub struct AllTokensMlm {
    generator: Box<dyn Generate>,
    network: Generator,
    /// Variables under `copy`; it is not exported.
    copy: ReplacedTokenHead,
    config: AllTokensMlmConfig,
    device: Device,
}

struct AllTokensMlmPass<'a> {
    corruption: Corruption<'a>,
    losses_t: Tensor,
    copied_t: Tensor,
    replaced_t: Tensor,
    masked_lm_loss: Tensor,
    total: Tensor,
}

impl AllTokensMlm {
    /// Builds the networks under the site's path.
    ///
    /// # Errors
    /// If a value is invalid or a part cannot be built.
    pub fn new(config: &AllTokensMlmConfig, site: &ObjectiveSite<'_>) -> Result<Self> {
        config.validate(site.model)?;
        let (generator, network) =
            Sampling::masked_lm(config.temperature).build("encoder", site)?;
        let copy = ReplacedTokenHead::at(&(&site.path / "copy"), &site.model.discriminator)?;
        Ok(Self { generator, network, copy, config: config.clone(), device: site.path.device() })
    }
}

impl Objective for AllTokensMlm {
    type Batch = MaskedBatch;

    fn name(&self) -> &str {
        "all-tokens-mlm"
    }

    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        let encoder = self.network.encoder();
        let mut networks =
            vec![TrainedNetwork::with_head("encoder", encoder, HeadKind::AllTokensMlm)];
        networks.extend(self.generator.networks());
        networks
    }

    fn pass<'a>(
        &'a self,
        part: &'a MaskedBatch,
        whole: &LossCounts,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let Self { generator, network, copy, config, device } = self;
        let compute = Compute::of(network.encoder().config());
        let shapes = Shapes::of(compute, *device);
        let corruption = Corruption::new(&**generator, part, whole, shapes, *device, train);
        let hidden_bsh = network.encoder().forward_t(&corruption.corrupted, train);
        let copy_bs = copy.forward(&hidden_bsh);
        // `t` counts tokens without padding.
        let mask = corruption.inputs.masked.mask().keep_bs();
        let indices_t = mask.flatten(0, 1).nonzero().squeeze_dim(-1);
        let select = |x: &Tensor| x.flatten(0, 1).index_select(0, &indices_t);
        let (labels_t, copy_t) = (select(&corruption.inputs.ids_bs), select(&copy_bs));
        let replaced_t = select(&corruption.replaced_bs());
        let logits_tv = network.logits(&select(&hidden_bsh));
        let mlm_t =
            -logits_tv.cross_entropy_loss(&labels_t, None::<&Tensor>, Reduction::None, -100, 0.0);
        let other_t = (-&copy_t).log_sigmoid() + mlm_t;
        // The input token can only be copied where it is the original.
        let copied_t = copy_t.log_sigmoid().logaddexp(&other_t);
        let losses_t = -other_t.where_self(&replaced_t.ne(0.0), &copied_t);
        let masked_lm_loss = losses_t.sum(Kind::Float) / (whole.tokens as f64 + 1e-6);
        let total =
            &corruption.loss * config.generator_weight + &masked_lm_loss * config.masked_lm_weight;
        Box::new(AllTokensMlmPass {
            corruption,
            losses_t: losses_t.detach(),
            copied_t: copy_t.detach().sigmoid(),
            replaced_t,
            masked_lm_loss,
            total,
        })
    }
}

impl Pass for AllTokensMlmPass<'_> {
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
        let Self { corruption, losses_t, copied_t, replaced_t, total, .. } = self;
        let mut observations = Observations::default();
        observations.sum("loss", &total.detach());
        corruption.observe(&mut observations);
        observations.mean("all_tokens_loss", losses_t);
        observations.ratio("replaced_tokens_loss", &(losses_t * replaced_t), replaced_t);
        observations.mean("copy_probability", copied_t);
        observations.ratio("copy_probability_replaced", &(copied_t * replaced_t), replaced_t);
        observations
    }
}
