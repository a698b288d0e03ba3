//! The trait of generators.

use super::{
    inputs::Inputs,
    masked_prediction::MaskedPrediction,
    seam::{LossCounts, TrainedNetwork},
};
use std::fmt::Debug;

/// Proposes a token for every masked position.
pub(super) trait Generate: Debug {
    /// The networks that it trains.
    fn networks(&self) -> Vec<TrainedNetwork<'_>>;

    /// The number of positions that its loss is averaged over.
    fn loss_count(&self, whole: &LossCounts) -> usize {
        whole.predictions
    }

    /// Predictions and samples at the masked positions.
    fn predict(&self, inputs: &Inputs, train: bool) -> MaskedPrediction;
}
