//! Evaluation of a discriminator on the replacements of a generator that is not trained.

use super::{
    discrimination::{Discrimination, LossPositions, Selection},
    generate::Generate,
    generators::{Sampling, fixed_distribution, masked_lm},
    inputs::{Inputs, Shapes},
};
use crate::metrics::{Observations, host_ids};
use electra_data::MaskedBatch;
use electra_model::{Compute, Discriminator, Generator};
use tch::{Device, no_grad};

/// A generator that is not trained.
#[derive(Debug)]
pub(crate) struct FrozenGenerator {
    generator: Box<dyn Generate>,
    device: Device,
}

impl FrozenGenerator {
    /// Each token is as likely as in `counts`, the token counts of the training split.
    pub(crate) fn unigram(counts: &[u64], device: Device) -> Self {
        Self { generator: fixed_distribution(counts, device), device }
    }

    /// A masked language model, sampled at temperature 1.
    pub(crate) fn masked_lm(network: Generator, device: Device) -> Self {
        Self { generator: masked_lm(network, Sampling::masked_lm(1.0)), device }
    }

    /// A replacement for each masked position of `batch`.
    pub(crate) fn sample(&self, batch: &MaskedBatch) -> Vec<i64> {
        let inputs = Inputs::new(batch, Shapes::Exact, self.device);
        host_ids(&no_grad(|| self.generator.predict(&inputs, false)).sampled_p)
    }
}

/// The discriminator's metrics over all tokens of `batch` with its own replacements ([`MaskedBatch::sampled_ids`]).
pub(crate) fn detect(
    discriminator: &Discriminator,
    batch: &MaskedBatch,
    device: Device,
) -> Observations {
    let shapes = Shapes::of(Compute::of(discriminator.encoder().config()), device);
    let inputs = Inputs::new(batch, shapes, device);
    let mut observations = Observations::default();
    // A batch without predictions has no replacements.
    let corrupted_bs = match inputs.given_samples_p(batch) {
        Some(sampled_p) => inputs.corrupted_bs(&sampled_p),
        None => inputs.ids_bs.shallow_clone(),
    };
    let corrupted = inputs.masked.with_ids(corrupted_bs);
    let replaced_bs = corrupted.ids_bs().not_equal_tensor(&inputs.ids_bs).to_kind(tch::Kind::Float);
    let selection = Selection::new(LossPositions::All, &inputs, shapes);
    let discrimination = no_grad(|| {
        let tokens = batch.tokens;
        Discrimination::new(discriminator, &corrupted, selection, &replaced_bs, None, tokens, false)
    });
    discrimination.observe(&mut observations);
    observations
}
