//! A batch with the generator's samples in place of the masked tokens.

use super::{
    generate::Generate,
    inputs::{Inputs, Shapes},
    masked_prediction::MaskedPrediction,
    seam::LossCounts,
    spans::mark_backward,
};
use crate::metrics::{Observations, host_ids};
use electra_data::MaskedBatch;
use electra_model::EncoderInput;
use tch::{Device, Kind, Tensor};
use tracing::trace_span;

/// The output of a generator for a batch.
pub(super) struct Corruption<'a> {
    pub(super) part: &'a MaskedBatch,
    pub(super) inputs: Inputs,
    pub(super) prediction: MaskedPrediction,
    /// The generator's mean loss.
    pub(super) loss: Tensor,
    /// The batch with the samples.
    pub(super) corrupted: EncoderInput,
}

impl<'a> Corruption<'a> {
    /// Runs a generator on `part`, a part of the batch with counts `whole`.
    pub(super) fn new(
        generator: &dyn Generate,
        part: &'a MaskedBatch,
        whole: &LossCounts,
        shapes: Shapes,
        device: Device,
        train: bool,
    ) -> Self {
        let inputs = Inputs::new(part, shapes, device);
        let prediction = generator.predict(&inputs, train);
        let loss = &prediction.loss / (generator.loss_count(whole) as f64 + 1e-6);
        Self::of(part, inputs, prediction, loss)
    }

    /// The corruption by a generator's prediction, with its mean loss.
    pub(super) fn of(
        part: &'a MaskedBatch,
        inputs: Inputs,
        mut prediction: MaskedPrediction,
        loss: Tensor,
    ) -> Self {
        if let Some(given_p) = inputs.given_samples_p(part) {
            prediction.sampled_p = given_p;
        }
        let loss = mark_backward(loss, trace_span!("generator_backward"));
        let corrupted = inputs.masked.with_ids(inputs.corrupted_bs(&prediction.sampled_p));
        Self { part, inputs, prediction, loss, corrupted }
    }

    /// `[b, s]` float: 1 where the token differs from the original.
    pub(super) fn replaced_bs(&self) -> Tensor {
        self.corrupted.ids_bs().not_equal_tensor(&self.inputs.ids_bs).to_kind(Kind::Float)
    }

    /// The generator's metrics.
    pub(super) fn observe(&self, observations: &mut Observations) {
        let names = ["generator_loss", "generator_accuracy"];
        let masks = ["generator_loss_mask", "generator_accuracy_mask"];
        self.prediction.observe(names, masks, self.part, &self.inputs.labels_p, observations);
        let p = self.part.masked_labels.len() as i64;
        let [sampled_p, labels_p] =
            [&self.prediction.sampled_p, &self.inputs.labels_p].map(|x| x.narrow(0, 0, p));
        let correct_p = sampled_p.eq_tensor(&labels_p).to_kind(Kind::Float);
        observations.mean("generator_sampled_accuracy", &correct_p);
    }

    /// The sampled ids, on the host.
    pub(super) fn sampled(&self) -> Vec<i64> {
        host_ids(&self.prediction.sampled_p)
    }
}
