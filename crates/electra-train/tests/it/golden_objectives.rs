//! Golden values of the paper's objectives and sharing policies from PyTorch (`tests/python/gen_objectives.py`): losses and
//! all gradients.

use crate::{
    GeneratorLock, figures,
    golden::{self, Tensors},
    preset,
};
use electra_model::{Parts, tensors::variables};
use electra_train::{
    RunConfig,
    objective::{ObjectiveConfig, ObjectiveSettings, ObjectiveSite},
};
use serde_json::Value;
use std::fs;
use tch::{Device, nn};

/// The config of a fixture: the tiny preset with its sizes, sharing and objective.
fn config(facts: &Value, kernels: &str) -> RunConfig {
    let text = fs::read_to_string(preset("tiny")).unwrap();
    let mut table: toml::Table = text.parse().unwrap();
    let mut objective = facts["objective"].clone();
    let rate = facts["mask_rate"].as_f64().unwrap_or(0.15);
    objective["masking"] =
        serde_json::json!({ "kind": "uniform", "rate": rate, "mask_share": 0.85 });
    let objective: ObjectiveConfig = serde_json::from_value(objective).unwrap();
    table["objective"] = toml::Value::try_from(objective).unwrap();
    if facts["generator"].is_null() {
        table["model"].as_table_mut().unwrap().remove("generator");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, toml::to_string(&table).unwrap()).unwrap();
    RunConfig::read(&path, &golden::overrides(facts, kernels)).unwrap()
}

fn losses_and_gradients(case: &str) {
    let _lock = GeneratorLock::take();
    for kernels in golden::KERNELS {
        let (path, all, facts) = golden::read(&format!("objective-{case}"));
        let config = config(&facts, kernels);
        let counts = match all.get("unigram_counts") {
            Some(counts) => Vec::<i64>::try_from(counts).unwrap(),
            None => vec![0; config.model.discriminator.vocab_size as usize],
        };
        let counts: Vec<u64> = counts.into_iter().map(|count| count as u64).collect();
        let (vs, parts) = (nn::VarStore::new(Device::Cpu), Parts::shipped());
        let site = ObjectiveSite::new(vs.root(), &config.model, &parts, &counts);
        let objective = config.objective.build(&site).unwrap();
        golden::load(&path, &all, "weights/", &vs);
        let named = variables(&vs).unwrap();
        for label in ["padded", "full"] {
            let batch = golden::batch(&all, label);
            named.iter().for_each(|(_, variable)| variable.shallow_clone().zero_grad());
            let mut pass = objective.pass(&batch, &objective.loss_counts(&batch), true);
            let loss = pass.loss(0);
            loss.backward();
            let found = loss.double_value(&[]);
            check_loss(&format!("{case} {kernels} {label}: the loss"), found, &all, label, "total");
            let figures = tch::no_grad(|| figures(&*pass));
            for name in LOSSES {
                if all.contains_key(&format!("{label}/{name}")) && !is_not_a_metric(case, name) {
                    let found = figures[metric(case, name)].as_f64().unwrap();
                    check_loss(
                        &format!("{case} {kernels} {label}: {name}"),
                        found,
                        &all,
                        label,
                        name,
                    );
                }
            }
            for (name, variable) in &named {
                let expected = &all[&format!("{label}/gradient/{name}")];
                let gradient = variable.grad();
                let gradient = if gradient.defined() { gradient } else { variable.zeros_like() };
                // A gradient that is 0 up to rounding (a key's bias) is compared relative to the size of the others.
                let difference = golden::relative(&gradient, expected, 1e-2);
                assert!(
                    difference <= 1e-4,
                    "{case} {kernels} {label} {name}: the gradient differs by {difference:e}"
                );
            }
        }
    }
}

const LOSSES: [&str; 3] = ["generator_loss", "discriminator_loss", "masked_lm_loss"];

/// Whether a part of the total is not a metric: the policy's loss, and that of a cloze model, which is reported at the masked
/// positions only.
fn is_not_a_metric(case: &str, name: &str) -> bool {
    ["adversarial", "two-tower", "electric"].contains(&case) && name == "generator_loss"
}

/// The metric of a loss in the fixture.
fn metric<'a>(case: &str, name: &'a str) -> &'a str {
    match (case, name) {
        ("all-tokens-mlm", "masked_lm_loss") => "all_tokens_loss",
        _ => name,
    }
}

fn check_loss(what: &str, found: f64, all: &Tensors, label: &str, name: &str) {
    let expected = all[&format!("{label}/{name}")].double_value(&[]);
    let difference = (found - expected).abs() / expected.abs();
    assert!(difference <= 1e-5, "{what} is {found}, not {expected}");
}

#[test]
fn tied_word_embeddings_match_pytorch() {
    losses_and_gradients("tied-tokens");
}

#[test]
fn gradient_disentangled_sharing_matches_pytorch() {
    losses_and_gradients("gdes");
}

#[test]
fn sharing_of_all_weights_matches_pytorch() {
    losses_and_gradients("tied-all");
}

#[test]
fn electra_15_percent_matches_pytorch() {
    losses_and_gradients("electra-15");
}

#[test]
fn replace_mlm_matches_pytorch() {
    losses_and_gradients("replace-mlm");
}

#[test]
fn all_tokens_mlm_matches_pytorch() {
    losses_and_gradients("all-tokens-mlm");
}

#[test]
fn adversarial_training_matches_pytorch() {
    losses_and_gradients("adversarial");
}

#[test]
fn the_unigram_generator_matches_pytorch() {
    losses_and_gradients("unigram");
}

#[test]
fn sampling_without_the_correct_token_matches_pytorch() {
    losses_and_gradients("disallow-correct");
}

#[test]
fn the_two_tower_generator_matches_pytorch() {
    losses_and_gradients("two-tower");
}

#[test]
fn electric_matches_pytorch() {
    losses_and_gradients("electric");
}
