//! The learning rate schedule, a pure function of the step.

use serde::{Deserialize, Serialize};

/// Linear warm-up times polynomial decay, both from step 0.
///
/// `rate(t) = peak * (1 - min(t, T) / T)^power * min(1, t / warmup)`, where `t` is the number of updates
/// done: with a warm-up, the first update has rate 0.
///
/// Source: reference `model/optimization.py`, `create_optimizer`. Departure: with `warmup_steps = 0`
/// the warm-up factor is 1 (the reference computes 0/0 at step 0).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Peak learning rate, which the decay and warm-up factors multiply.
    pub peak: f64,
    /// Updates until the warm-up factor is 1.
    pub warmup_steps: u64,
    /// Updates until the rate is 0.
    pub total_steps: u64,
    /// Exponent of the decay; 1 is linear.
    pub decay_power: f64,
}

impl Schedule {
    /// The same schedule over another number of updates.
    #[must_use]
    pub fn over(&self, total_steps: u64) -> Self {
        Self { total_steps, ..self.clone() }
    }

    /// The learning rate of the update after `step` updates.
    pub fn rate(&self, step: u64) -> f64 {
        let done = step.min(self.total_steps) as f64 / self.total_steps.max(1) as f64;
        let decay = (1.0 - done).powf(self.decay_power);
        let warmup = match self.warmup_steps {
            0 => 1.0,
            steps => (step as f64 / steps as f64).min(1.0),
        };
        self.peak * decay * warmup
    }
}
