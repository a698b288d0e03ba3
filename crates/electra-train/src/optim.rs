//! Adam as in the reference, over flat buffers.
//!
//! Each parameter group has contiguous buffers, and parameters and gradients are views of them, so that the
//! norm, clipping and the update operate on a few long vectors.

use crate::{Error, Result};
use electra_model::tensors::Named;
use electra_torch::{
    Clipping, adam_on_device,
    ops::{AdamStep, adam},
    set_grad,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor, no_grad};

/// The `[optimizer]` section, schedule included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Updates of linear warm-up.
    pub warmup_steps: u64,
    /// Exponent of the decay to 0; 1 is linear.
    pub decay_power: f64,
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Added to the square root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f64,
    /// Maximum global gradient norm for clipping.
    pub clip_norm: f64,
}

impl OptimizerConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// Naming the first invalid key.
    pub fn validate(&self) -> Result<()> {
        let check = |key: &str, x: f64, ok: bool, expected: &str| match ok {
            true => Ok(()),
            false => Err(Error::value(&format!("optimizer.{key}"), x, expected)),
        };
        let positive = |key: &str, x: f64| {
            check(key, x, x > 0.0 && x.is_finite(), "must be greater than 0 and finite")
        };
        let fraction = |key: &str, x: f64| {
            check(key, x, (0.0..1.0).contains(&x), "must be at least 0 and less than 1")
        };
        positive("learning_rate", self.learning_rate)?;
        positive("decay_power", self.decay_power)?;
        positive("epsilon", self.epsilon)?;
        positive("clip_norm", self.clip_norm)?;
        fraction("beta1", self.beta1)?;
        fraction("beta2", self.beta2)?;
        fraction("weight_decay", self.weight_decay)
    }
}

/// How one parameter is updated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Whether weight decay applies.
    pub decay: Decay,
    /// Factor on the learning rate (layer-wise decay).
    pub rate: f64,
}

/// Whether weight decay applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decay {
    /// With weight decay: kernels and embeddings.
    On,
    /// Without weight decay: LayerNorms and biases.
    Off,
}

impl Decay {
    /// The reference's exclusions: names with `LayerNorm`, `layer_norm` or `bias`.
    ///
    /// Source: reference `model/optimization.py`, `exclude_from_weight_decay`.
    pub fn of(name: &str) -> Self {
        match ["LayerNorm", "layer_norm", "bias"].iter().any(|part| name.contains(part)) {
            true => Self::Off,
            false => Self::On,
        }
    }
}

/// Adam with decoupled weight decay and no bias correction.
///
/// `m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= lr * (m / (sqrt(v) + eps) + decay * w)`,
/// after scaling all gradients to a global norm of at most `clip_norm`.
///
/// Source: reference `model/optimization.py`, `AdamWeightDecayOptimizer`. Departures: none.
#[derive(Debug)]
pub struct Adam {
    config: OptimizerConfig,
    groups: Vec<Group>,
}

/// The scale factor for gradient clipping.
enum Clip {
    /// A number on the host.
    Host(f64),
    /// A tensor on the GPU.
    Device(Clipping),
}

#[derive(Debug)]
struct Group {
    rule: Rule,
    names: Vec<(String, i64)>,
    weights: Tensor,
    gradients: Tensor,
    first: Tensor,
    second: Tensor,
}

impl Adam {
    /// Moves `variables` into one flat buffer per distinct rule. The model's handles stay valid and
    /// become views.
    ///
    /// # Errors
    /// If the config is invalid or libtorch rejects a view.
    pub fn new(
        config: &OptimizerConfig,
        variables: &[(String, Tensor)],
        rule: impl Fn(&str) -> Rule,
    ) -> Result<Self> {
        config.validate()?;
        let mut by_rule: BTreeMap<(Decay, u64), Vec<&(String, Tensor)>> = BTreeMap::new();
        for variable in variables.iter().filter(|(_, t)| t.requires_grad()) {
            let Rule { decay, rate } = rule(&variable.0);
            by_rule.entry((decay, rate.to_bits())).or_default().push(variable);
        }
        let groups = by_rule
            .into_iter()
            .map(|((decay, bits), members)| {
                Group::new(Rule { decay, rate: f64::from_bits(bits) }, &members)
            })
            .collect::<Result<_>>()?;
        Ok(Self { config: config.clone(), groups })
    }

    /// Number of parameters.
    pub fn parameters(&self) -> i64 {
        self.groups.iter().map(|group| group.weights.numel() as i64).sum()
    }

    /// Sets all gradients to zero, in place.
    pub fn zero_grad(&mut self) {
        for group in &mut self.groups {
            let _ = group.gradients.zero_();
        }
    }

    /// The flat buffers of all gradients.
    pub fn gradients_mut(&mut self) -> impl Iterator<Item = &mut Tensor> {
        self.groups.iter_mut().map(|group| &mut group.gradients)
    }

    /// Global norm of all gradients, before clipping: a scalar on their device, without synchronization.
    pub fn gradient_norm(&self) -> Tensor {
        let squares = self.groups.iter().map(|group| group.gradients.norm().square());
        squares.reduce(|a, b| a + b).map_or_else(|| Tensor::from(0f32), |sum| sum.sqrt())
    }

    /// One update with learning rate `rate`, after clipping the gradients, whose global norm is `norm`. On a GPU this does
    /// not synchronize, and non-finite gradients change nothing.
    pub fn step(&mut self, rate: f64, norm: &Tensor) {
        let OptimizerConfig { beta1, beta2, epsilon, weight_decay, clip_norm, .. } = self.config;
        // tf.clip_by_global_norm: g * clip / max(norm, clip).
        let clip = match norm.device() {
            Device::Cpu => Clip::Host(clip_norm / norm.double_value(&[]).max(clip_norm)),
            _ => Clip::Device(Clipping::new(norm, clip_norm)),
        };
        for Group { rule, weights, gradients, first, second, .. } in &mut self.groups {
            let decay = if rule.decay == Decay::On { weight_decay } else { 0.0 };
            let mut step =
                AdamStep { rate: rate * rule.rate, beta1, beta2, epsilon, decay, scale: 1.0 };
            match &clip {
                Clip::Host(scale) => {
                    step.scale = *scale;
                    adam(weights, gradients, first, second, &step);
                }
                Clip::Device(clip) => {
                    adam_on_device([weights, gradients, first, second], clip, &step);
                }
            }
        }
    }

    /// Both moments by parameter name: `adam_m.NAME`, `adam_v.NAME`, as flat vectors of the parameter's number of elements.
    pub fn state(&self) -> Named {
        let mut state: Named = self
            .groups
            .iter()
            .flat_map(|group| {
                let mut offset = 0;
                group.names.iter().flat_map(move |(name, numel)| {
                    let view = |t: &Tensor| t.narrow(0, offset, *numel);
                    let pair = [
                        (format!("adam_m.{name}"), view(&group.first)),
                        (format!("adam_v.{name}"), view(&group.second)),
                    ];
                    offset += numel;
                    pair
                })
            })
            .collect();
        state.sort_by(|a, b| a.0.cmp(&b.0));
        state
    }
}

impl Group {
    fn new(rule: Rule, members: &[&(String, Tensor)]) -> Result<Self> {
        let names: Vec<_> =
            members.iter().map(|(name, t)| (name.clone(), t.numel() as i64)).collect();
        let flat: Vec<_> = members.iter().map(|(_, t)| t.detach().flatten(0, -1)).collect();
        let weights = Tensor::f_cat(&flat, 0)?;
        debug_assert_eq!(weights.kind(), Kind::Float);
        let gradients = weights.zeros_like();
        let mut offset = 0;
        for (_, variable) in members {
            let numel = variable.numel() as i64;
            let view = |t: &Tensor| t.narrow(0, offset, numel).view(variable.size().as_slice());
            let mut handle = variable.shallow_clone();
            no_grad(|| handle.f_set_data(&view(&weights)))?;
            set_grad(variable, &view(&gradients))?;
            offset += numel;
        }
        let (first, second) = (weights.zeros_like(), weights.zeros_like());
        Ok(Self { rule, names, weights, gradients, first, second })
    }
}
