//! All metrics of a batch, calculated by hand, for networks with known outputs.

use crate::{GeneratorLock, device, figures, preset, replaced_token, train_device};
use electra_data::MaskedBatch;
use electra_model::{Parts, tensors::variables};
use electra_train::{
    RunConfig,
    metrics::Totals,
    objective::{Objective, ObjectiveSite, ReplacedToken},
};
use tch::{Device, Kind, Tensor, nn, no_grad};

/// For float32 through a few layers.
const TOLERANCE: f64 = 1e-5;

/// The generator's distribution at every position: 60 % for token 5, 30 % for token 8.
const SHARES: [f32; 10] =
    [0.0125, 0.0125, 0.0125, 0.0125, 0.0125, 0.6, 0.0125, 0.0125, 0.3, 0.0125];

/// Tokens that the discriminator predicts as replaced.
const PREDICTED: [i64; 2] = [5, 9];

/// A vocabulary of 10 tokens; one layer of width 4 in each network; lambda 50.
fn config() -> RunConfig {
    let mut overrides: Vec<String> = [
        train_device(),
        "data.sequence_length=5",
        "model.vocab_size=10",
        "model.embedding_size=4",
        "model.initializer.output_bias=zero",
        "objective.discriminator_weight=50.0",
    ]
    .map(str::to_owned)
    .to_vec();
    for network in ["discriminator", "generator"] {
        for (key, value) in [("layers", 1), ("hidden", 4), ("heads", 1), ("intermediate", 4)] {
            overrides.push(format!("model.{network}.{key}={value}"));
        }
    }
    RunConfig::read(&preset("tiny"), &overrides).unwrap()
}

/// All other weights are 0: attention and feed-forward add nothing, so a hidden state is its normalized word embedding,
/// `+v` for the tokens in `PREDICTED` and `-v` for the others, with `v = (1, -1, 1, -1)`; the discriminator's
/// logit is `10 gelu(+-1) - 3`, and the generator's logits are its bias.
fn set_weights(vs: &nn::VarStore) {
    let v = [1.0f32, -1.0, 1.0, -1.0];
    let word = |token: i64| if PREDICTED.contains(&token) { v } else { v.map(|x| -x) };
    let words: Vec<f32> = (0..10).flat_map(word).collect();
    let bias = SHARES.map(f32::ln);
    no_grad(|| {
        for (name, mut variable) in variables(vs).unwrap() {
            let rest = name.strip_prefix("discriminator.").unwrap_or(&name);
            let value = match rest {
                "electra.embeddings.word_embeddings.weight" => {
                    Tensor::from_slice(&words).view([10, 4])
                }
                "discriminator_predictions.dense.weight" => {
                    Tensor::eye(4, (Kind::Float, Device::Cpu))
                }
                "discriminator_predictions.dense_prediction.weight" => {
                    Tensor::from_slice(&[10.0f32, 0.0, 0.0, 0.0]).view([1, 4])
                }
                "discriminator_predictions.dense_prediction.bias" => Tensor::from_slice(&[-3.0f32]),
                "generator.generator_lm_head.bias" => Tensor::from_slice(&bias),
                norm if norm.starts_with("electra.") && norm.ends_with("LayerNorm.weight") => {
                    variable.ones_like()
                }
                _ => variable.zeros_like(),
            };
            variable.copy_(&value);
        }
    });
}

/// `[CLS] 5 6 7 [SEP]` and `[CLS] 8 9 [SEP]`, the latter with one padding token. Chosen are 5, 6 and 8, replaced with
/// `[MASK]`, and 7, which keeps its token.
fn batch() -> MaskedBatch {
    MaskedBatch {
        batch: 2,
        length: 5,
        input_ids: vec![2, 5, 6, 7, 3, 2, 8, 9, 3, 0],
        generator_ids: vec![2, 4, 4, 7, 3, 2, 4, 9, 3, 0],
        token_type_ids: vec![0; 10],
        attention_mask: vec![1, 1, 1, 1, 1, 1, 1, 1, 1, 0],
        special_tokens_mask: [2, 5, 6, 7, 3, 2, 8, 9, 3, 0].map(|id| id < 5).to_vec(),
        masked_positions: vec![1, 2, 3, 6],
        masked_labels: vec![5, 6, 7, 8],
        masked_is_mask: vec![true, true, false, true],
        // Cumulative shares: token 5 from 0.0625 to 0.6625, token 8 from 0.6875 to 0.9875.
        sampling_uniforms: vec![0.3, 0.9, 0.1, 0.95],
        sampled_ids: Vec::new(),
        tokens: 9,
        most_masked: 3,
    }
}

#[test]
fn all_metrics_match_a_manual_calculation() {
    let _lock = GeneratorLock::take();
    let config = config();
    let vs = nn::VarStore::new(device());
    let parts = Parts::shipped();
    let objective = ReplacedToken::new(
        replaced_token(&config),
        &ObjectiveSite::new(vs.root(), &config.model, &parts, &[0; 10]),
    )
    .unwrap();
    set_weights(&vs);
    let batch = batch();
    let pass = no_grad(|| objective.pass(&batch, &objective.loss_counts(&batch), false));
    let figures = figures(&*pass);

    // Sampled: the originals 5 and 8, 8 for 6, and 5 for 7 (the latter two are replaced). Predicted as replaced in
    // `[CLS] 5 8 5 [SEP] [CLS] 8 9 [SEP]`: both 5 and the 9, but only the second 5 is. So of 9 tokens: 1 true
    // and 2 false positives, 1 false negative (the first 8), 5 true negatives.
    let softplus = |x: f64| x.exp().ln_1p();
    // gelu(1) = Phi(1), gelu(-1) = -Phi(-1).
    let (positive, negative) = (10.0 * 0.841_344_746 - 3.0, 10.0 * -0.158_655_254 - 3.0);
    let discriminator = (softplus(-positive)
        + 2.0 * softplus(positive)
        + softplus(-negative)
        + 5.0 * softplus(negative))
        / 9.0;
    let (of_5, of_8, of_rest) = (-0.6f64.ln(), -0.3f64.ln(), -0.0125f64.ln());
    let generator = (of_5 + of_rest + of_rest + of_8) / 4.0;
    for (name, expected) in [
        ("loss", generator + 50.0 * discriminator),
        ("generator_loss", generator),
        ("generator_loss_mask", (of_5 + of_rest + of_8) / 3.0),
        // It predicts 5 everywhere.
        ("generator_accuracy", 1.0 / 4.0),
        ("generator_accuracy_mask", 1.0 / 3.0),
        ("generator_sampled_accuracy", 2.0 / 4.0),
        ("discriminator_loss", discriminator),
        ("replaced_fraction", 2.0 / 9.0),
        ("discriminator_accuracy", 6.0 / 9.0),
        ("discriminator_precision", 1.0 / 3.0),
        ("discriminator_recall", 1.0 / 2.0),
        ("discriminator_recall_original", 5.0 / 7.0),
    ] {
        let found = figures[name].as_f64().unwrap();
        let difference = (found - expected).abs() / expected;
        assert!(difference < TOLERANCE, "{name} is {found}, expected {expected}");
    }
}

/// Batches are weighted by their sizes: a mean of means would be (1 + 1/3) / 2.
#[test]
fn metrics_of_several_passes_are_weighted_by_their_counts() {
    use electra_train::metrics::Observations;
    let mut totals = Totals::default();
    for values in [&[1.0f32][..], &[1.0, 0.0, 0.0]] {
        let mut observations = Observations::default();
        let values = Tensor::from_slice(values);
        observations.mean("mean", &values);
        observations.ratio("ratio", &values, &values.ones_like());
        observations.sum("sum", &values.sum(Kind::Float));
        observations.ratio("undefined", &values, &values.zeros_like());
        totals.add(&observations);
    }
    let figures = totals.figures();
    assert_eq!((&figures["mean"], &figures["ratio"]), (&0.5.into(), &0.5.into()));
    assert_eq!(figures["sum"], 2.0);
    assert!(figures["undefined"].is_null());
}
