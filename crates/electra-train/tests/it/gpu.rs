//! The form that layers and batches have on a GPU (`model.kernels = "gpu"`), on a CPU: the same numbers as the plain one
//! but for rounding.

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

/// An objective in one form; the weights of all are the same, since they are drawn from the same seed.
fn form(fixture: &Fixture, kernels: &str, precision: &str) -> (nn::VarStore, ReplacedToken) {
    let (kernels, precision) =
        (format!("model.kernels={kernels}"), format!("model.precision={precision}"));
    let overrides = [&NO_DROPOUT[..], &[&kernels, &precision]].concat();
    built(fixture, &fixture.config(&overrides))
}

/// Loss, figures and the gradients of all variables, one after the other.
fn step(
    (vs, objective): &(nn::VarStore, ReplacedToken),
    batch: &MaskedBatch,
) -> (f64, Figures, Tensor) {
    let named = variables(vs).unwrap();
    let mut pass = objective.pass(batch, &objective.normaliser(batch), true);
    let loss = pass.loss(0);
    let all: Vec<&Tensor> = named.iter().map(|(_, variable)| variable).collect();
    let gradients = Tensor::run_backward(&[&loss], &all, false, false);
    let flat: Vec<Tensor> = gradients.iter().map(|gradient| gradient.flatten(0, -1)).collect();
    (loss.double_value(&[]), no_grad(|| figures(&*pass)), Tensor::cat(&flat, 0))
}

/// Room for more predictions than there are, and losses at padding, change nothing.
#[test]
fn fixed_shapes_change_no_loss_no_gradient_and_no_figure() {
    let fixture = Fixture::new();
    let (plain, gpu) = (form(&fixture, "plain", "f32"), form(&fixture, "gpu", "f32"));
    let mut padded = 0;
    for mut batch in batches(&fixture, 5).into_iter().take(6) {
        padded += usize::from(batch.tokens < batch.input_ids.len());
        assert!(batch.masked_labels.len() <= batch.batch * batch.most_masked);
        let (loss, figures, gradient) = step(&plain, &batch);
        for room in [batch.most_masked, 11] {
            batch.most_masked = room;
            let (other, others, others_gradient) = step(&gpu, &batch);
            assert!((loss - other).abs() <= 1e-5 * loss, "{loss}, {other} with room for {room}");
            let off = (&others_gradient - &gradient).abs().max().double_value(&[]);
            let size = gradient.abs().max().double_value(&[]);
            assert!(off <= 1e-5 * size, "gradients of {size} differ by {off}");
            for (name, value) in &figures {
                let [a, b] = [value, &others[name]].map(|x| x.as_f64().unwrap_or(f64::NAN));
                assert!((a - b).abs() <= 1e-5 || a.is_nan() && b.is_nan(), "{name}: {a}, {b}");
            }
        }
    }
    assert!(padded > 0, "no batch had padding");
}

/// bfloat16 has 8 bits: a product is off by some parts in 2^8, which averages out over a batch.
#[test]
fn bfloat16_between_products_is_single_precision_but_for_its_rounding() {
    let fixture = Fixture::new();
    let (plain, gpu) = (form(&fixture, "plain", "f32"), form(&fixture, "gpu", "bf16"));
    for batch in batches(&fixture, 16).into_iter().take(2) {
        let (loss, _, gradient) = step(&plain, &batch);
        let (other, _, others) = step(&gpu, &batch);
        assert_eq!(others.kind(), Kind::Float);
        assert!(loss != other, "nothing was rounded");
        assert!((loss - other).abs() <= 5e-3 * loss, "{loss}, {other}");
        let dot = |a: &Tensor, b: &Tensor| (a * b).sum(Kind::Double).double_value(&[]);
        let cosine =
            dot(&gradient, &others) / (dot(&gradient, &gradient) * dot(&others, &others)).sqrt();
        assert!(cosine > 0.999, "gradients at a cosine of {cosine}");
    }
}

#[test]
fn a_run_in_the_form_for_gpus_resumes_bit_for_bit() {
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
    train(Start::new(fixture.path("unbroken")));
    train(Start { stop_after: Some(2), ..Start::new(fixture.path("broken")) });
    train(Start::resume(fixture.path("broken")));
    let weights = |run: &str| {
        fs::read(fixture.path(&format!("{run}/checkpoints/step-0000004/model.safetensors")))
            .unwrap()
    };
    assert!(weights("unbroken") == weights("broken"));
}
