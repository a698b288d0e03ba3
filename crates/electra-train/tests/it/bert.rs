//! Masked language modeling: its loss, its masking, and a run with one network.

use crate::{Fixture, figures, objective::batches};
use electra_data::MaskedBatch;
use electra_model::{
    HeadKind,
    hf::{Architecture, Pretrained},
    tensors,
};
use electra_train::{
    Existing, Outcome, Recipe, RunConfig, Start,
    config::MaskingConfig,
    export::{ExportPart, export},
    metrics,
    objective::BertConfig,
};
use std::fs;
use tch::no_grad;

/// The tiny preset with BERT's objective in place of ELECTRA's, and without a generator.
fn config(fixture: &Fixture, overrides: &[&str]) -> RunConfig {
    let text = fixture.config(&[]).to_toml();
    let mut table: toml::Table = text.parse().unwrap();
    table["objective"] = toml::from_str::<toml::Value>(
        "kind = \"bert\"\nrandom_share = 0.1\n\
         masking = { kind = \"uniform\", rate = 0.15, mask_share = 0.8 }",
    )
    .unwrap();
    table["model"].as_table_mut().unwrap().remove("generator");
    let path = fixture.path("bert.toml");
    fs::write(&path, toml::to_string(&table).unwrap()).unwrap();
    let overrides: Vec<String> = overrides.iter().map(|&s| s.to_owned()).collect();
    RunConfig::read(&path, &overrides).unwrap()
}

/// With weights near 0 all tokens have the same probability, so the mean cross-entropy is ln V. The standard deviation of
/// 0.02 changes it by less than 0.1 at these sizes.
#[test]
fn the_initial_loss_is_ln_v() {
    let fixture = Fixture::new();
    let config = config(
        &fixture,
        &[
            "model.initializer.std=0.02",
            "model.initializer.output_bias=zero",
            "model.initializer.positions=random",
        ],
    );
    let expected = (config.model.discriminator.vocab_size as f64).ln();
    let built = Recipe::from_config(config).untrained().unwrap();
    let objective = &*built.objective;
    let batch = &batches(&fixture, 32)[0];
    let mut pass = objective.pass(batch, &objective.loss_counts(batch), false);
    let loss = pass.loss(0).double_value(&[]);
    assert!((loss - expected).abs() < 0.1, "{loss}, expected about {expected}");
    let figures = no_grad(|| figures(&*pass));
    let mean = figures["masked_lm_loss"].as_f64().unwrap();
    assert!((mean - loss).abs() < 1e-4, "{mean}, {loss}");
}

/// Devlin et al. 2019, section 3.1: of the chosen positions 80 % become `[MASK]`, 10 % a random token, 10 % keep theirs.
#[test]
fn a_tenth_of_the_chosen_positions_gets_a_random_token() {
    let vocabulary = 50;
    // Chosen positions without [MASK], with uniform numbers on a grid: half of them (0.1 of 0.2) become random.
    let n = 1000usize;
    let batch = MaskedBatch {
        batch: n,
        length: 1,
        input_ids: vec![-1; n],
        generator_ids: vec![-1; n],
        token_type_ids: vec![0; n],
        attention_mask: vec![1; n],
        special_tokens_mask: vec![false; n],
        masked_positions: (0..n as i64).collect(),
        masked_labels: vec![0; n],
        masked_is_mask: vec![false; n],
        sampling_uniforms: (0..n).map(|i| i as f32 / n as f32).collect(),
        sampled_ids: Vec::new(),
        tokens: n,
        most_masked: 1,
    };
    let settings = BertConfig {
        random_share: 0.1,
        masking: MaskingConfig::Uniform { rate: 0.15, mask_share: 0.8 },
    };
    let ids = settings.input_ids(&batch, vocabulary);
    let random: Vec<i64> = ids.into_iter().filter(|&id| id >= 0).collect();
    // 1 - 0.8 is slightly less than 0.2 in floating point.
    assert!(random.len().abs_diff(n / 2) <= 1, "{}", random.len());
    // The grid is even, so all tokens are equally frequent, up to rounding at both ends of each token's interval.
    let counts = (0..vocabulary).map(|id| random.iter().filter(|&&other| other == id).count());
    let (least, most) = (counts.clone().min().unwrap(), counts.max().unwrap());
    assert!(most - least <= 2, "{least} to {most}");
}

#[test]
fn one_network_is_trained_resumed_and_exported_and_its_loss_decreases() {
    let fixture = Fixture::new();
    let run = fixture.path("run");
    let config = config(&fixture, &["train.steps=40", "evaluate.every=20", "checkpoint.every=20"]);
    let half = Start { stop_after: Some(20), ..Start::new(&run) };
    let train = |start| Recipe::from_config(config.clone()).pretrain(&start).unwrap();
    assert_eq!(train(half), Outcome::Stopped);
    assert_eq!(train(Start::resume(&run)), Outcome::Finished);

    let rows = metrics::read(&run.join("metrics.jsonl")).unwrap();
    let held_out: Vec<f64> = rows
        .iter()
        .filter(|row| row["kind"] == "evaluate")
        .map(|row| row["masked_lm_loss_mask"].as_f64().unwrap())
        .collect();
    assert!(held_out[2] < 0.9 * held_out[0], "{held_out:?}");

    let weights = tensors::read(&run.join("checkpoints/step-0000040/model.safetensors")).unwrap();
    assert!(weights.iter().all(|(name, _)| name.starts_with("encoder.")));
    let networks = Recipe::from_config(config).untrained().unwrap();
    let heads: Vec<_> = networks.objective.networks().iter().map(|n| (n.role, n.head)).collect();
    assert_eq!(heads, [("encoder", HeadKind::MaskedLm)]);

    for (part, name, architecture) in [
        (ExportPart::Encoder, "encoder", Architecture::ElectraModel),
        (ExportPart::Generator, "masked-lm", Architecture::ElectraForMaskedLM),
        (ExportPart::Default, "kept", Architecture::ElectraForMaskedLM),
    ] {
        export(&run, part, &fixture.path(name), Existing::Refuse).unwrap();
        let exported = Pretrained::read(&fixture.path(name)).unwrap();
        assert_eq!(exported.config.architecture, architecture);
    }
    let error = export(&run, ExportPart::Discriminator, &fixture.path("none"), Existing::Refuse);
    let message = error.unwrap_err().to_string();
    assert!(message.contains("bert") && message.contains("encoder"), "{message}");
}
