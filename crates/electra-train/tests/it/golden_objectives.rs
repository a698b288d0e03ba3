//! Golden values of the paper's objectives and sharing policies from PyTorch (`tests/python/gen_objectives.py`): losses and
//! all gradients.

use crate::{GeneratorLock, device, golden, preset};
use electra_model::{EncoderConfig, EncoderSizes, Parts, tensors, tensors::variables};
use electra_tokenize::SpecialTokens;
use electra_train::{
    Recipe, RunConfig,
    gradients::read_batch,
    objective::{ObjectiveConfig, ObjectiveSettings, ObjectiveSite},
};
use serde_json::Value;
use std::fs;
use tch::{Tensor, nn};

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
        let (vs, parts) = (nn::VarStore::new(device()), Parts::shipped());
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
            let expected = all[&format!("{label}/total")].double_value(&[]);
            check_loss(&format!("{case} {kernels} {label}: the loss"), found, expected);
            let parts = pass.parts();
            assert!(!parts.is_empty(), "{case}");
            for (name, part) in parts {
                // A generator without a network has no loss.
                if let Some(expected) = all.get(&format!("{label}/{name}_loss")) {
                    let (found, expected) = (part.double_value(&[]), expected.double_value(&[]));
                    check_loss(&format!("{case} {kernels} {label}: {name}"), found, expected);
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

fn check_loss(what: &str, found: f64, expected: f64) {
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

/// `electra gradients` on the fixture's batch and samples, as a file without the random numbers that drew them.
#[test]
fn gradients_of_a_batch_file_match_pytorch() {
    let _lock = GeneratorLock::take();
    let dir = tempfile::tempdir().unwrap();
    let [weights, input] = ["weights", "input"].map(|name| dir.path().join(name));
    for case in ["gdes", "adversarial", "electric", "replace-mlm"] {
        let (_, all, facts) = golden::read(&format!("objective-{case}"));
        let of = |prefix: &str| -> tensors::Named {
            let named = |(name, tensor): (&String, &Tensor)| {
                Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
            };
            all.iter().filter_map(named).collect()
        };
        tensors::write(&weights, &of("weights/")).unwrap();
        let names = [
            ("input_ids", "input_ids"),
            ("attention_mask", "attention_mask"),
            ("token_type_ids", "token_type_ids"),
            ("generator_ids", "masked_ids"),
            ("masked_positions", "positions"),
            ("sampled", "sampled_ids"),
        ];
        let tensor = |(from, to): (&str, &str)| {
            (to.to_owned(), all[&format!("padded/{from}")].to_kind(tch::Kind::Int64))
        };
        tensors::write(&input, &names.map(tensor)).unwrap();
        let special = SpecialTokens { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };
        let config = config(&facts, "fused");
        let batch = read_batch(&input, &special, &config.model.discriminator).unwrap();
        let found: golden::Tensors =
            Recipe::from_config(config).gradients(&weights, &batch).unwrap().into_iter().collect();
        let loss = found["loss"].double_value(&[]);
        check_loss(case, loss, all["padded/total"].double_value(&[]));
        for (name, expected) in of("padded/gradient/") {
            let difference = golden::relative(&found[&format!("grad.{name}")], &expected, 1e-2);
            assert!(difference <= 1e-4, "{case} {name}: the gradient differs by {difference:e}");
        }
    }
}

#[test]
fn errors_of_a_batch_file_name_the_tensor() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("input");
    let special = SpecialTokens { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };
    let network = EncoderConfig::electra(10, 4, EncoderSizes::new(1, 4, 1));
    let batch = |ids: &[i64], mask: &[i64], positions: &[i64], sampled: &[i64]| -> String {
        let row = |values: &[i64]| Tensor::from_slice(values).view([1, 4]);
        let named = [
            ("input_ids", row(ids)),
            ("attention_mask", row(mask)),
            ("token_type_ids", row(&[0; 4])),
            ("positions", Tensor::from_slice(positions)),
            ("sampled_ids", Tensor::from_slice(sampled)),
        ];
        let named = named.map(|(name, tensor)| (name.to_owned(), tensor));
        tensors::write(&input, &named).unwrap();
        read_batch(&input, &special, &network)
            .err()
            .map_or_else(String::new, |error| error.to_string())
    };
    let (ids, mask) = ([2, 7, 8, 3], [1; 4]);
    assert_eq!(batch(&ids, &mask, &[1, 2], &[5, 6]), "");
    for (message, expected) in [
        (batch(&[2, 7, 10, 3], &mask, &[1], &[5]), "input_ids has 10: must be from 0 to 9"),
        (batch(&ids, &[1, 0, 1, 1], &[1], &[5]), "padding on the right"),
        (batch(&ids, &mask, &[4], &[5]), "positions has 4: must be from 0 to 3"),
        (batch(&ids, &mask, &[1, 1], &[5, 6]), "positions has the duplicate 1"),
        (batch(&ids, &mask, &[1], &[5, 6]), "sampled_ids must be int64 [1]"),
    ] {
        assert!(message.contains(expected) && message.contains("input"), "{message}");
    }
}
