//! The pass of objectives whose loss is a weighted sum of a generator's and a discriminator's.

use super::{
    corruption::Corruption, discrimination::Discrimination, seam::Pass,
    token_prediction::TokenPrediction,
};
use crate::metrics::Observations;
use tch::Tensor;

/// A forward pass of a generator and a discriminator.
pub(super) struct JointPass<'a> {
    pub(super) corruption: Corruption<'a>,
    pub(super) discrimination: Discrimination,
    /// The weighted sum of their losses.
    pub(super) total: Tensor,
}

impl Pass for JointPass<'_> {
    fn loss(&mut self, _phase: usize) -> Tensor {
        self.total.shallow_clone()
    }

    fn parts(&self) -> Vec<(&'static str, Tensor)> {
        vec![
            ("generator", self.corruption.loss.shallow_clone()),
            ("discriminator", self.discrimination.loss.shallow_clone()),
        ]
    }

    fn observe(&self) -> Observations {
        let mut observations = Observations::default();
        observations.sum("loss", &self.total.detach());
        self.corruption.observe(&mut observations);
        self.discrimination.observe(&mut observations);
        observations
    }

    fn token_predictions(&self) -> Vec<Vec<TokenPrediction>> {
        self.discrimination.token_predictions(&self.corruption)
    }
}
