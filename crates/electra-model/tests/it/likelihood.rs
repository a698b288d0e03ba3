//! Probabilities of candidates and texts by a discriminator.

use super::tiny;
use electra_model::{
    Discriminator, EncoderInput, Parts, Row,
    likelihood::{
        candidate_logits, electra_log_probabilities, electric_log_probabilities,
        pseudo_log_likelihoods,
    },
};
use tch::{Device, Kind, Tensor, nn, no_grad};

fn discriminator() -> Discriminator {
    tch::manual_seed(3);
    let mut config = tiny().discriminator;
    config.initializer.std = 0.5;
    let vs = nn::VarStore::new(Device::Cpu);
    Discriminator::from_config(&vs.root(), &config, &Parts::shipped()).unwrap()
}

/// The logits of one text, alone in its batch.
fn logits(discriminator: &Discriminator, ids: &[u32]) -> Vec<f64> {
    let row = Row { ids, segment_b_start: ids.len() };
    let input = EncoderInput::from_rows(&[row], 0, Device::Cpu);
    let logits_bs = no_grad(|| discriminator.forward_t(&input, false));
    Vec::try_from(logits_bs.squeeze_dim(0).to_kind(Kind::Double)).unwrap()
}

fn probabilities(log_probabilities: &Tensor) -> Vec<f64> {
    Vec::try_from(log_probabilities.exp()).unwrap()
}

#[track_caller]
fn assert_close(found: &[f64], expected: &[f64], within: f64) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= within, "{found:?}, expected {expected:?}");
    }
}

/// By hand, for a mask rate of 1/2 (`a = 1`), data 3/4 and 1/4, and a generator with 1/4 and 3/4:
/// D = p (1 + q) / (p + q) is 15/16 and 7/16, and so the logits of "replaced" are -ln 15 and ln(9/7).
#[test]
fn an_optimal_discriminator_gives_the_datas_probabilities() {
    let logits = Tensor::from_slice(&[-(15f64.ln()), (9.0f64 / 7.0).ln()]);
    let generator = Tensor::from_slice(&[0.25f64, 0.75]).log();
    let found = electra_log_probabilities(&logits, &generator, 0.5);
    assert_close(&probabilities(&found), &[0.75, 0.25], 1e-15);
    // Over a part of the vocabulary, the probabilities are those of the part.
    let one = electra_log_probabilities(&logits.narrow(0, 0, 1), &generator.narrow(0, 0, 1), 0.5);
    assert_close(&probabilities(&one), &[1.0], 1e-15);
}

/// Logits of any size, and candidates that the generator never samples, give probabilities.
#[test]
fn extreme_logits_give_finite_probabilities() {
    let logits = Tensor::from_slice(&[-1e4f32, 1e4, 0.0, -50.0]);
    let generator = Tensor::from_slice(&[-1e3f32, -1e-3, f32::NEG_INFINITY, -7.0]);
    let found = probabilities(&electra_log_probabilities(&logits, &generator, 0.15));
    assert_close(&found, &[0.5, 0.0, 0.0, 0.5], 1e-12);
}

#[test]
fn energies_are_negative_log_probabilities_up_to_a_constant() {
    let energies = Tensor::from_slice(&[0.5f64, 0.125, 0.375]).log() * -1.0 + 3.0;
    let found = probabilities(&electric_log_probabilities(&energies));
    assert_close(&found, &[0.5, 0.125, 0.375], 1e-15);
}

#[test]
fn candidates_are_put_in_one_by_one() {
    let discriminator = discriminator();
    let (ids, candidates) = ([2, 11, 12, 13, 3], [40, 7, 12, 7, 30]);
    let mut done = Vec::new();
    let found = candidate_logits(&discriminator, &ids, 2, &candidates, 2, &mut |n| done.push(n));
    let single = |candidate: u32| logits(&discriminator, &[2, 11, candidate, 13, 3])[2];
    assert_close(
        &Vec::try_from(found.to_kind(Kind::Double)).unwrap(),
        &candidates.map(single),
        1e-5,
    );
    assert_eq!(done, [2, 4, 5]);
}

#[test]
fn pseudo_log_likelihoods_are_sums_of_single_forward_passes() {
    let discriminator = discriminator();
    let texts: [&[u32]; 6] = [
        &[2, 11, 3],
        &[2, 11, 12, 13, 14, 15, 16, 17, 3],
        &[2, 3],
        &[2, 40, 12, 40, 3],
        &[2, 30, 31, 32, 33, 3],
        &[2, 5, 3],
    ];
    let expected = texts.map(|ids| {
        let logits = logits(&discriminator, ids);
        -logits[1..ids.len() - 1].iter().sum::<f64>()
    });
    assert!(expected[1].abs() > 0.1, "the weights are not those of zero logits: {expected:?}");
    for batch_size in [1, 2, 64] {
        let found = pseudo_log_likelihoods(&discriminator, &texts, 0, batch_size);
        assert_close(&found, &expected, 1e-5);
    }
    assert!(pseudo_log_likelihoods(&discriminator, &[] as &[&[u32]], 0, 4).is_empty());
    // A text without tokens.
    assert_eq!(expected[2], 0.0);
}
