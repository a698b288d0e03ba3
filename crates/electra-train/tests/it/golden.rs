//! Golden values from transformers and NumPy (`tests/python/gen_networks.py`, `gen_training.py`): losses, every
//! gradient, and twenty updates.

use super::{GeneratorLock, device, figures, preset, replaced_token, train_device};
use electra_data::MaskedBatch;
use electra_model::{Parts, tensors, tensors::variables};
use electra_train::{
    RunConfig,
    objective::{Objective, ObjectiveSite, Pass, ReplacedToken},
    optim::{Adam, Decay, Rule},
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};
use tch::{Kind, Tensor, nn};

pub(crate) type Tensors = HashMap<String, Tensor>;

/// A fixture's path, tensors and metadata.
pub(crate) fn read(name: &str) -> (PathBuf, Tensors, serde_json::Value) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let path = root.join(format!("{name}.safetensors"));
    let all = tensors::read(&path).unwrap().into_iter();
    let all = all.map(|(name, tensor)| (name, tensor.to_device(device()))).collect();
    let facts = serde_json::from_str(&tensors::metadata(&path).unwrap()["facts"]).unwrap();
    (path, all, facts)
}

/// The tested implementations of the layers.
pub(crate) const KERNELS: [&str; 3] = ["fused", "plain", "gpu"];

/// The paper's loss weights, no dropout, and the fixture's sizes.
fn config(facts: &serde_json::Value, kernels: &str) -> RunConfig {
    let mut overrides = overrides(facts, kernels);
    let weights = ["objective.generator_weight=1.0", "objective.discriminator_weight=50.0"];
    overrides.extend(weights.map(str::to_owned));
    RunConfig::read(&preset("tiny"), &overrides).unwrap()
}

/// No dropout, and the fixture's sizes and sharing.
pub(crate) fn overrides(facts: &serde_json::Value, kernels: &str) -> Vec<String> {
    let mut overrides: Vec<String> = [
        train_device(),
        "model.dropout=0.0",
        "model.attention_dropout=0.0",
        "model.initializer.output_bias=zero",
        "data.sequence_length=8",
    ]
    .map(str::to_owned)
    .to_vec();
    overrides.push(format!("model.kernels={kernels}"));
    overrides.push(format!("model.sharing.kind={}", facts["sharing"].as_str().unwrap_or("tied")));
    for (key, value) in [
        ("vocab_size", &facts["vocab"]),
        ("embedding_size", &facts["embedding"]),
        ("max_positions", &facts["positions"]),
    ] {
        overrides.push(format!("model.{key}={value}"));
    }
    let networks = ["discriminator", "generator"];
    for network in networks.into_iter().filter(|network| !facts[network].is_null()) {
        for (i, key) in ["layers", "hidden", "heads", "intermediate"].iter().enumerate() {
            overrides.push(format!("model.{network}.{key}={}", facts[network][i]));
        }
    }
    overrides
}

/// An objective with the fixture's weights, whose names start with `prefix`.
fn objective(
    config: &RunConfig,
    path: &Path,
    all: &Tensors,
    prefix: &str,
) -> (nn::VarStore, ReplacedToken) {
    let vs = nn::VarStore::new(device());
    let counts = vec![0; config.model.discriminator.vocab_size as usize];
    let parts = Parts::shipped();
    let objective = ReplacedToken::new(
        replaced_token(config),
        &ObjectiveSite::new(vs.root(), &config.model, &parts, &counts),
    )
    .unwrap();
    load(path, all, prefix, &vs);
    (vs, objective)
}

/// Loads the tensors whose names start with `prefix`; they must be the variables.
pub(crate) fn load(path: &Path, all: &Tensors, prefix: &str, vs: &nn::VarStore) {
    let weights: tensors::Named = all
        .iter()
        .filter_map(|(name, t)| Some((name.strip_prefix(prefix)?.to_owned(), t.shallow_clone())))
        .collect();
    tensors::load(path, &weights, &variables(vs).unwrap(), |_| false, |_| false).unwrap();
}

pub(crate) fn batch(all: &Tensors, prefix: &str) -> MaskedBatch {
    let get = |name: &str| &all[&format!("{prefix}/{name}")];
    let ids = |name: &str| Vec::<i64>::try_from(get(name).flatten(0, -1)).unwrap();
    let size = get("input_ids").size();
    let attention_mask = ids("attention_mask");
    MaskedBatch {
        batch: size[0] as usize,
        length: size[1] as usize,
        input_ids: ids("input_ids"),
        generator_ids: ids("generator_ids"),
        token_type_ids: ids("token_type_ids"),
        tokens: attention_mask.iter().sum::<i64>() as usize,
        attention_mask,
        // Ids below 5 are [PAD], [CLS], [SEP] and [MASK].
        special_tokens_mask: ids("input_ids").iter().map(|&id| id < 5).collect(),
        masked_positions: ids("masked_positions"),
        masked_labels: ids("masked_labels"),
        masked_is_mask: ids("masked_is_mask").iter().map(|&m| m == 1).collect(),
        sampling_uniforms: Vec::try_from(get("sampling_uniforms")).unwrap(),
        sampled_ids: Vec::new(),
        // More than in any row, so that fixed shapes have fillers.
        most_masked: 4,
    }
}

/// The losses of both networks, from the metrics.
fn network_losses(pass: &dyn Pass) -> [(&'static str, f64); 2] {
    let figures = figures(pass);
    ["generator_loss", "discriminator_loss"].map(|name| (name, figures[name].as_f64().unwrap()))
}

/// The largest `|a - b|` divided by the largest `|b|`, or by `floor` if that is larger.
pub(crate) fn relative(a: &Tensor, b: &Tensor, floor: f64) -> f64 {
    let scale = b.abs().max().double_value(&[]).max(floor);
    (a - b).abs().max().double_value(&[]) / scale
}

fn losses_and_gradients(case: &str) {
    let _lock = GeneratorLock::take();
    KERNELS.into_iter().for_each(|kernels| losses_and_gradients_of(case, kernels));
}

fn losses_and_gradients_of(case: &str, kernels: &str) {
    let (path, all, facts) = read(&format!("networks-{case}"));
    let config = config(&facts, kernels);
    let (vs, objective) = objective(&config, &path, &all, "weights/");
    let (mut worst_loss, mut worst_gradient): (f64, f64) = (0.0, 0.0);
    for label in ["padded", "single", "full"] {
        let batch = batch(&all, label);
        let whole = objective.loss_counts(&batch);
        for (_, variable) in variables(&vs).unwrap() {
            variable.shallow_clone().zero_grad();
        }
        let mut pass = objective.pass(&batch, &whole, true);
        let loss = pass.loss(0);
        loss.backward();
        let expected = all[&format!("{label}/total")].double_value(&[]);
        let difference = (loss.double_value(&[]) - expected).abs() / expected;
        assert!(difference <= 1e-5, "{case} {label}: the loss differs by {difference:e}");
        worst_loss = worst_loss.max(difference);
        for (name, found) in network_losses(&*pass) {
            let expected = all[&format!("{label}/{name}")].double_value(&[]);
            let difference = (found - expected).abs() / expected;
            assert!(difference <= 1e-5, "{case} {label}: {name} differs by {difference:e}");
            worst_loss = worst_loss.max(difference);
        }
        for (name, variable) in variables(&vs).unwrap() {
            let expected = &all[&format!("{label}/gradient/{name}")];
            // A gradient that is 0 up to rounding (a key's bias) is compared relative to the size of the others.
            let difference = relative(&variable.grad(), expected, 1e-2);
            assert!(difference <= 1e-4, "{case} {label} {name}: differs by {difference:e}");
            worst_gradient = worst_gradient.max(difference);
        }
    }
    eprintln!(
        "{case}, {kernels}: losses differ by at most {worst_loss:.2e}, gradients by {worst_gradient:.2e}"
    );
}

#[test]
fn losses_and_all_gradients_match_transformers_with_a_projection() {
    losses_and_gradients("projected");
}

#[test]
fn losses_and_all_gradients_match_transformers_without_a_projection() {
    losses_and_gradients("unprojected");
}

#[test]
fn losses_and_all_gradients_match_transformers_with_untied_embeddings() {
    losses_and_gradients("untied");
}

#[test]
fn twenty_updates_match_an_independent_implementation() {
    let _lock = GeneratorLock::take();
    KERNELS.into_iter().for_each(twenty_updates);
}

fn twenty_updates(kernels: &str) {
    let (path, all, facts) = read("training");
    let mut config = config(&facts, kernels);
    config.train.steps = facts["steps"].as_u64().unwrap();
    config.optimizer.warmup_steps = facts["warmup"].as_u64().unwrap();
    config.optimizer.learning_rate = facts["peak"].as_f64().unwrap();
    config.validate().unwrap();
    let (vs, objective) = objective(&config, &path, &all, "start/");
    let named = variables(&vs).unwrap();
    let rule = |name: &str| Rule { decay: Decay::of(name), rate: 1.0 };
    let mut adam = Adam::new(&config.optimizer, &named, rule).unwrap();
    let schedule = config.schedule();
    let expected = |name: &str, step: u64| all[name].double_value(&[step as i64]);
    let mut worst_loss: f64 = 0.0;
    for step in 0..config.train.steps {
        let batch = batch(&all, &format!("step-{step:02}"));
        let whole = objective.loss_counts(&batch);
        adam.zero_grad();
        let mut pass = objective.pass(&batch, &whole, true);
        let loss = pass.loss(0);
        loss.backward();
        let (norm, rate) = (adam.gradient_norm(), schedule.rate(step));
        let [generator, discriminator] = network_losses(&*pass);
        for (name, found, tolerance) in [
            ("total", loss.double_value(&[]), 1e-4),
            (generator.0, generator.1, 1e-4),
            (discriminator.0, discriminator.1, 1e-4),
            ("norm", norm.double_value(&[]), 1e-4),
            ("rate", rate, 1e-12),
        ] {
            let expected = expected(name, step);
            let difference = (found - expected).abs() / expected.abs().max(1e-12);
            assert!(difference <= tolerance, "step {step}: {name} is {found}, not {expected}");
            if name == "total" || name.ends_with("loss") {
                worst_loss = worst_loss.max(difference);
            }
        }
        adam.step(rate, &norm);
    }
    let mut worst_weight: f64 = 0.0;
    for (name, variable) in &named {
        let (start, end) = (&all[&format!("start/{name}")], &all[&format!("end/{name}")]);
        let difference = (variable - end).abs().max().double_value(&[]);
        assert!(difference <= 1e-4, "{name}: differs by {difference:e}");
        worst_weight = worst_weight.max(difference);
        let moved = (end - start).to_kind(Kind::Float).abs().max().double_value(&[]);
        // A key's bias shifts all scores of a query equally, so its gradient is 0 up to rounding.
        assert!(
            moved > 1e-3 || name.ends_with("key.bias"),
            "{name} does not change in the fixture"
        );
    }
    eprintln!(
        "20 steps, {kernels}: losses differ by at most {worst_loss:.2e}, weights by {worst_weight:.2e}"
    );
}

/// bfloat16 has 8 bits: losses agree up to rounding, gradients in direction.
#[test]
fn bfloat16_losses_and_gradients_are_close_to_float32() {
    let _lock = GeneratorLock::take();
    for kernels in KERNELS {
        let (path, all, facts) = read("networks-projected");
        let mut config = config(&facts, kernels);
        for network in config.model.networks_mut() {
            network.precision = electra_model::Precision::Bf16;
        }
        let (vs, objective) = objective(&config, &path, &all, "weights/");
        let batch = batch(&all, "full");
        let whole = objective.loss_counts(&batch);
        let mut pass = objective.pass(&batch, &whole, true);
        let loss = pass.loss(0);
        loss.backward();
        let expected = all["full/generator_loss"].double_value(&[]);
        let [(_, found), _] = network_losses(&*pass);
        assert!((found / expected - 1.0).abs() < 0.02, "{kernels}: {found}, {expected}");
        let (mut dot, mut ours, mut theirs) = (0.0, 0.0, 0.0);
        for (name, variable) in variables(&vs).unwrap() {
            // Only the generator: rounding may change the sampled inputs of the discriminator.
            let Some(expected) = all.get(&format!("full/gradient/{name}")) else { continue };
            if !name.starts_with("generator.") {
                continue;
            }
            let sum = |x: Tensor| x.sum(Kind::Double).double_value(&[]);
            let gradient = variable.grad();
            dot += sum(&gradient * expected);
            ours += sum(gradient.square());
            theirs += sum(expected.square());
        }
        let cosine = dot / (ours * theirs).sqrt();
        assert!(cosine > 0.99, "{kernels}: the gradients' cosine is {cosine}");
    }
}
