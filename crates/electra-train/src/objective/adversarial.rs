//! Adversarial training: the generator is trained to fool the discriminator, by REINFORCE.

use super::{
    corruption::Corruption,
    discrimination::{Discrimination, LossPositions, Selection},
    generators,
    inputs::{Inputs, Shapes},
    masked_prediction::MaskedPrediction,
    sampling::sample,
    seam::{LossCounts, Objective, ObjectiveSite, Pass, TrainedNetwork},
    settings::{ObjectiveSettings, check, check_weight},
    token_prediction::TokenPrediction,
};
use crate::{config::MaskingConfig, error::Result, metrics::Observations};
use electra_data::MaskedBatch;
use electra_model::{Compute, Discriminator, ElectraConfig, Pretraining};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Reduction, Tensor, nn::Init, no_grad};

/// The settings of [`Adversarial`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdversarialConfig {
    /// Weight of the generator's loss.
    pub generator_weight: f64,
    /// Weight of the discriminator's loss.
    pub discriminator_weight: f64,
    /// Weight of the bonus for the entropy of the generator's predictions.
    pub entropy_weight: f64,
    /// The generator's logits are divided by the temperature.
    pub temperature: f64,
    /// Which positions are masked.
    pub masking: MaskingConfig,
}

impl ObjectiveSettings for AdversarialConfig {
    fn validate(&self, model: &ElectraConfig) -> Result<()> {
        model.generator()?;
        check_weight("generator_weight", self.generator_weight)?;
        check_weight("discriminator_weight", self.discriminator_weight)?;
        check_weight("entropy_weight", self.entropy_weight)?;
        let temperature = self.temperature;
        check("temperature", temperature, temperature > 0.0, "must be finite and greater than 0")
    }

    fn masking(&self) -> &MaskingConfig {
        &self.masking
    }

    fn build(&self, site: &ObjectiveSite<'_>) -> Result<Box<dyn Objective<Batch = MaskedBatch>>> {
        Ok(Box::new(Adversarial::new(self, site)?))
    }
}

/// `generator_weight * L_policy + L_baseline + discriminator_weight * L_disc`: the generator maximizes the discriminator's
/// loss.
///
/// The reward of a sample is the discriminator's loss at its position. `L_policy` is REINFORCE with one sample, minus the
/// entropy bonus. The baseline is `-log q` with `q = sigmoid(w h)` of the generator's last hidden state `h`; `L_baseline` is
/// the cross-entropy of `q` with the probability that the discriminator gave the right label, `exp(-reward)`.
///
/// Source: Clark et al. 2020, section 3.3 and appendix F. Interpretation where the paper is silent: the baseline's loss does
/// not reach the generator; the bonus is added with a constant weight.
#[derive(Debug)]
pub struct Adversarial {
    networks: Pretraining,
    /// The baseline's weight `[1, h]`.
    baseline_1h: Tensor,
    config: AdversarialConfig,
    device: Device,
}

struct AdversarialPass<'a> {
    corruption: Corruption<'a>,
    discrimination: Discrimination,
    rewards_p: Tensor,
    baselines_p: Tensor,
    entropies_p: Tensor,
    policy_loss: Tensor,
    baseline_loss: Tensor,
    total: Tensor,
}

impl Adversarial {
    /// Builds the networks under the site's path.
    ///
    /// # Errors
    /// If a value is invalid or a part cannot be built.
    pub fn new(config: &AdversarialConfig, site: &ObjectiveSite<'_>) -> Result<Self> {
        config.validate(site.model)?;
        let networks = generators::networks("discriminator", site)?;
        let width = networks.generator.encoder().config().hidden;
        let baseline_1h =
            (&site.path / "baseline").f_var("weight", &[1, width], Init::Const(0.0))?;
        Ok(Self { networks, baseline_1h, config: config.clone(), device: site.path.device() })
    }
}

/// The policy gradient's loss of each sample, `[p]`: `-advantage * log p(sample) - entropy_weight * entropy(p)`. Its
/// expected gradient over samples from `p` is that of `-E[reward] - entropy_weight * entropy(p)`, whatever the baseline.
///
/// # Shapes
/// - `log_probabilities_pv`: `[p, v]` float; `sampled_p`: `[p]` int64; `advantages_p`: `[p]` float, reward minus baseline,
///   without a gradient.
///
/// Source: Clark et al. 2020, appendix F; Williams 1992 (REINFORCE).
pub fn policy_losses(
    log_probabilities_pv: &Tensor,
    sampled_p: &Tensor,
    advantages_p: &Tensor,
    entropy_weight: f64,
) -> Tensor {
    let sampled_p =
        log_probabilities_pv.gather(-1, &sampled_p.unsqueeze(-1), false).squeeze_dim(-1);
    -(sampled_p * advantages_p) - entropies(log_probabilities_pv) * entropy_weight
}

/// The entropy of each row, `[p]`.
fn entropies(log_probabilities_pv: &Tensor) -> Tensor {
    -(log_probabilities_pv.exp() * log_probabilities_pv).sum_dim_intlist(-1, false, Kind::Float)
}

impl Objective for Adversarial {
    type Batch = MaskedBatch;

    fn name(&self) -> &str {
        "adversarial"
    }

    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        let Pretraining { generator, discriminator } = &self.networks;
        vec![
            TrainedNetwork::of("discriminator", discriminator),
            TrainedNetwork::generator(generator),
        ]
    }

    fn discriminator(&self) -> Option<&Discriminator> {
        Some(&self.networks.discriminator)
    }

    fn pass<'a>(
        &'a self,
        part: &'a MaskedBatch,
        whole: &LossCounts,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let Self { networks: Pretraining { generator, discriminator }, config, device, .. } = self;
        let shapes = Shapes::of(Compute::of(generator.encoder().config()), *device);
        let inputs = Inputs::new(part, shapes, *device);
        let hidden_bsh = generator.encoder().forward_t(&inputs.masked, train);
        let hidden_ph = hidden_bsh.flatten(0, 1).index_select(0, &inputs.predicted_p());
        let logits_pv = generator.logits(&hidden_ph);
        let log_probabilities_pv = (&logits_pv / config.temperature).log_softmax(-1, Kind::Float);
        let losses_p = logits_pv.detach().cross_entropy_loss(
            &inputs.labels_p,
            None::<&Tensor>,
            Reduction::None,
            -100,
            0.0,
        );
        // The masked language modeling loss is reported, not trained.
        let prediction = MaskedPrediction {
            loss: losses_p.sum(Kind::Float),
            losses_p,
            sampled_p: no_grad(|| sample(&logits_pv, &inputs.uniforms_p, config.temperature)),
            best_p: logits_pv.argmax(-1, false),
        };
        let loss = prediction.loss.shallow_clone();
        let corruption = Corruption::of(part, inputs, prediction, loss);
        let selection = Selection::new(LossPositions::All, &corruption.inputs, shapes);
        let replaced_bs = corruption.replaced_bs();
        let discrimination = Discrimination::new(
            discriminator,
            &corruption.corrupted,
            selection,
            &replaced_bs,
            None,
            whole.tokens,
            train,
        );
        let rewards_p = discrimination.masked_losses_p(&corruption);
        let scores_p =
            hidden_ph.detach().linear(&self.baseline_1h, None::<&Tensor>).squeeze_dim(-1);
        let baselines_p = -scores_p.detach().log_sigmoid();
        let policy_p = policy_losses(
            &log_probabilities_pv,
            &corruption.prediction.sampled_p,
            &(&rewards_p - &baselines_p),
            config.entropy_weight,
        );
        let none = None::<&Tensor>;
        let target_p = (-&rewards_p).exp();
        let baseline_p =
            scores_p.binary_cross_entropy_with_logits(&target_p, none, none, Reduction::None);
        // Fillers have no label.
        let weights_p = corruption.inputs.labels_p.ge(0).to_kind(Kind::Float);
        let mean =
            |x_p: Tensor| (x_p * &weights_p).sum(Kind::Float) / (whole.predictions as f64 + 1e-6);
        let (policy_loss, baseline_loss) = (mean(policy_p), mean(baseline_p));
        let total = &policy_loss * config.generator_weight
            + &baseline_loss
            + &discrimination.loss * config.discriminator_weight;
        let entropies_p = entropies(&log_probabilities_pv.detach());
        Box::new(AdversarialPass {
            corruption,
            discrimination,
            rewards_p,
            baselines_p,
            entropies_p,
            policy_loss,
            baseline_loss,
            total,
        })
    }
}

impl Pass for AdversarialPass<'_> {
    fn loss(&mut self, _phase: usize) -> Tensor {
        self.total.shallow_clone()
    }

    fn parts(&self) -> Vec<(&'static str, Tensor)> {
        vec![
            ("generator", self.policy_loss.shallow_clone()),
            ("baseline", self.baseline_loss.shallow_clone()),
            ("discriminator", self.discrimination.loss.shallow_clone()),
        ]
    }

    fn observe(&self) -> Observations {
        let mut observations = Observations::default();
        observations.sum("loss", &self.total.detach());
        self.corruption.observe(&mut observations);
        let p = self.corruption.part.masked_labels.len() as i64;
        for (name, x_p) in [
            ("reward", &self.rewards_p),
            ("baseline", &self.baselines_p),
            ("generator_entropy", &self.entropies_p),
        ] {
            observations.mean(name, &x_p.narrow(0, 0, p));
        }
        self.discrimination.observe(&mut observations);
        observations
    }

    fn token_predictions(&self) -> Vec<Vec<TokenPrediction>> {
        self.discrimination.token_predictions(&self.corruption)
    }
}
