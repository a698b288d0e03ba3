//! The GPU implementation of layers and batches (`model.kernels = "gpu"`), run on a CPU: it matches the plain implementation
//! up to rounding.

use crate::figures;
use crate::{
    Fixture,
    objective::{batches, built},
};
use electra_data::MaskedBatch;
use electra_model::tensors::variables;
use electra_train::{
    Recipe, Start,
    metrics::Figures,
    objective::{Objective, ReplacedToken},
};
use std::fs;
use tch::{Kind, Tensor, nn, no_grad};

const NO_DROPOUT: [&str; 2] = ["model.dropout=0.0", "model.attention_dropout=0.0"];

/// An objective with these kernels; the weights are always the same, since the seed is.
fn objective_with(
    fixture: &Fixture,
    kernels: &str,
    precision: &str,
) -> (nn::VarStore, ReplacedToken) {
    let (kernels, precision) =
        (format!("model.kernels={kernels}"), format!("model.precision={precision}"));
    let overrides = [&NO_DROPOUT[..], &[&kernels, &precision]].concat();
    built(fixture, &fixture.config(&overrides))
}

/// Loss, metrics and the concatenated gradients of all variables.
fn step(
    (vs, objective): &(nn::VarStore, ReplacedToken),
    batch: &MaskedBatch,
) -> (f64, Figures, Tensor) {
    let named = variables(vs).unwrap();
    let mut pass = objective.pass(batch, &objective.loss_counts(batch), true);
    let loss = pass.loss(0);
    let all: Vec<&Tensor> = named.iter().map(|(_, variable)| variable).collect();
    let gradients = Tensor::run_backward(&[&loss], &all, false, false);
    let flat: Vec<Tensor> = gradients.iter().map(|gradient| gradient.flatten(0, -1)).collect();
    (loss.double_value(&[]), no_grad(|| figures(&*pass)), Tensor::cat(&flat, 0))
}

/// Filler predictions and discriminator losses at padding have no effect.
#[test]
fn fixed_shapes_do_not_change_losses_gradients_and_metrics() {
    let fixture = Fixture::new();
    let (plain, gpu) =
        (objective_with(&fixture, "plain", "f32"), objective_with(&fixture, "gpu", "f32"));
    let mut padded = 0;
    for mut batch in batches(&fixture, 5).into_iter().take(6) {
        padded += usize::from(batch.tokens < batch.input_ids.len());
        assert!(batch.masked_labels.len() <= batch.batch * batch.most_masked);
        let (loss, figures, gradient) = step(&plain, &batch);
        for most_masked in [batch.most_masked, 11] {
            batch.most_masked = most_masked;
            let (gpu_loss, gpu_figures, gpu_gradient) = step(&gpu, &batch);
            assert!((loss - gpu_loss).abs() <= 1e-5 * loss, "{loss}, {gpu_loss}: {most_masked}");
            let difference = (&gpu_gradient - &gradient).abs().max().double_value(&[]);
            let largest = gradient.abs().max().double_value(&[]);
            assert!(difference <= 1e-5 * largest, "gradients differ by {difference} of {largest}");
            for (name, value) in &figures {
                let [a, b] = [value, &gpu_figures[name]].map(|x| x.as_f64().unwrap_or(f64::NAN));
                assert!((a - b).abs() <= 1e-5 || a.is_nan() && b.is_nan(), "{name}: {a}, {b}");
            }
        }
    }
    assert!(padded > 0, "no batch had padding");
}

/// bfloat16 has 8 bits: the relative error of a product is a few parts in 2^8, which averages out over a batch.
#[test]
fn bfloat16_on_gpu_kernels_matches_float32_up_to_rounding() {
    let fixture = Fixture::new();
    let (plain, gpu) =
        (objective_with(&fixture, "plain", "f32"), objective_with(&fixture, "gpu", "bf16"));
    for batch in batches(&fixture, 16).into_iter().take(2) {
        let (loss, _, expected) = step(&plain, &batch);
        let (gpu_loss, _, found) = step(&gpu, &batch);
        assert_eq!(found.kind(), Kind::Float);
        assert!(loss != gpu_loss, "nothing was rounded");
        assert!((loss - gpu_loss).abs() <= 5e-3 * loss, "{loss}, {gpu_loss}");
        let dot = |a: &Tensor, b: &Tensor| (a * b).sum(Kind::Double).double_value(&[]);
        let cosine =
            dot(&expected, &found) / (dot(&expected, &expected) * dot(&found, &found)).sqrt();
        assert!(cosine > 0.999, "the gradients' cosine is {cosine}");
    }
}

#[test]
fn a_run_with_gpu_kernels_resumes_bit_for_bit() {
    let fixture = Fixture::new();
    let config = || {
        fixture.config(&[
            "model.kernels=gpu",
            "model.precision=bf16",
            "train.steps=4",
            "checkpoint.every=2",
            "evaluate.every=4",
        ])
    };
    let train = |start: Start| Recipe::from_config(config()).pretrain(&start).unwrap();
    train(Start::new(fixture.path("uninterrupted")));
    train(Start { stop_after: Some(2), ..Start::new(fixture.path("resumed")) });
    train(Start::resume(fixture.path("resumed")));
    let weights = |run: &str| {
        fs::read(fixture.path(&format!("{run}/checkpoints/step-0000004/model.safetensors")))
            .unwrap()
    };
    assert!(weights("uninterrupted") == weights("resumed"));
}
