//! Weight initialization: the reference's distributions, checked with statistical bounds.

use super::tiny;
use electra_model::{
    ElectraConfig, Parts, Pretraining,
    config::{InitializerKind, PositionsInit},
    init::sinusoids,
    tensors::variables,
};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor, nn};

fn weights(config: &ElectraConfig) -> BTreeMap<String, Tensor> {
    tch::manual_seed(3);
    let vs = nn::VarStore::new(Device::Cpu);
    Pretraining::new(&vs.root(), config, &Parts::shipped()).unwrap();
    variables(&vs).unwrap().into_iter().collect()
}

fn std(t: &Tensor) -> f64 {
    t.std(false).double_value(&[])
}

fn largest(t: &Tensor) -> f64 {
    t.abs().max().double_value(&[])
}

#[test]
fn the_reference_scheme_draws_truncated_normals() {
    let w = weights(&ElectraConfig::small(2000));
    let words = &w["discriminator.electra.embeddings.word_embeddings.weight"];
    // A normal truncated at 2 standard deviations has deviation sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)) = 0.8796.
    // 256,000 draws: the sample deviation is within 1 % (7 standard errors).
    assert!((std(words) / (0.8796 * 0.02) - 1.0).abs() < 0.01, "{}", std(words));
    assert!(largest(words) <= 0.04);
    // 4.6 % of untruncated draws exceed 2 deviations, so the largest value is close to the truncation.
    assert!(largest(words) > 0.0399);
}

#[test]
fn the_reference_scheme_draws_glorot_uniforms_where_tensorflow_does() {
    let w = weights(&ElectraConfig::small(100));
    for (name, input, output) in [
        ("discriminator.electra.embeddings_project.weight", 128, 256),
        ("generator.electra.embeddings_project.weight", 128, 64),
        ("discriminator.discriminator_predictions.dense_prediction.weight", 256, 1),
    ] {
        let bound = (6.0 / f64::from(input + output)).sqrt();
        let found = largest(&w[name]);
        // At least 256 uniform draws: the largest is below 0.95 of the bound with probability 2e-6.
        assert!(found <= bound && found > 0.95 * bound, "{name}: {found} of {bound}");
    }
}

#[test]
fn the_hugging_face_scheme_draws_normals_and_a_zero_padding_embedding() {
    let mut config = ElectraConfig::small(2000);
    for network in config.networks_mut() {
        network.initializer.kind = InitializerKind::HuggingFace;
    }
    let w = weights(&config);
    let words = &w["discriminator.electra.embeddings.word_embeddings.weight"];
    assert!((std(words) / 0.02 - 1.0).abs() < 0.01);
    assert!(largest(words) > 0.06, "256,000 draws of a normal exceed 3 deviations");
    assert_eq!(largest(&words.get(0)), 0.0);
    assert!(largest(&words.get(1)) > 0.0);
}

#[test]
fn biases_are_zero_and_layer_norm_weights_one() {
    for (name, tensor) in weights(&tiny()) {
        if name.ends_with("LayerNorm.weight") {
            assert_eq!((&tensor - 1.0).abs().max().double_value(&[]), 0.0, "{name}");
        } else if name.ends_with("bias") {
            assert_eq!(largest(&tensor), 0.0, "{name}");
        } else {
            assert!(largest(&tensor) > 0.0, "{name}");
        }
    }
}

#[test]
fn sinusoids_have_the_requested_amplitude_and_frequencies() {
    let table = sinusoids(64, 10, 0.1).to_kind(Kind::Double);
    assert_eq!(table.size(), [64, 10]);
    // sin^2 + cos^2 = 1 for each pair, so the mean square of a row is half the squared amplitude.
    let mean_square = (&table * &table).mean(Kind::Double).double_value(&[]);
    assert!((mean_square - 0.01).abs() < 1e-8);
    // Column 2 is sin(position * 10000^(-1/5)) with amplitude 0.1 * sqrt(2).
    let expected = 0.1 * 2f64.sqrt() * (3.0 * 10_000f64.powf(-0.2)).sin();
    assert!((table.double_value(&[3, 2]) - expected).abs() < 1e-7);

    let mut config = tiny();
    for network in config.networks_mut() {
        network.initializer.positions = PositionsInit::Sinusoidal;
    }
    let positions =
        &weights(&config)["discriminator.electra.embeddings.position_embeddings.weight"];
    let rows = {
        let c = &config.discriminator;
        sinusoids(c.max_positions, c.embedding_size, c.initializer.std)
    };
    assert_eq!((positions - rows).abs().max().double_value(&[]), 0.0);
}
