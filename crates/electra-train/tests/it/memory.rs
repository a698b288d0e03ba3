//! The memory estimate of a step, compared with the memory that the graph of a real step holds.

use crate::{preset, replaced_token};
use electra_data::MaskedBatch;
use electra_model::{NetworkSpec, Parts, flops::Work, memory::Memory, tensors::variables};
use electra_train::{
    RunConfig,
    objective::{Objective, ObjectiveSite, ReplacedToken},
};
use std::process::Command;
use tch::{Device, nn};

/// Set in the child process that measures: the allocator counts the memory of all threads, so no other test may run.
const ALONE: &str = "ELECTRA_TEST_ALONE";

const NAME: &str = "memory::the_estimate_matches_the_memory_of_a_graph";

const BATCH: usize = 5;
const LENGTH: usize = 48;
const MASKED: usize = 7;

/// Full sequences, with about every sixth token masked.
fn batch() -> MaskedBatch {
    let cells = BATCH * LENGTH;
    let ids = |n: usize| (0..n).map(|i| (7 + i * 31 % 900) as i64).collect::<Vec<_>>();
    let positions = (0..BATCH).flat_map(|row| (0..MASKED).map(move |i| row * LENGTH + 1 + 6 * i));
    let predictions = BATCH * MASKED;
    MaskedBatch {
        batch: BATCH,
        length: LENGTH,
        input_ids: ids(cells),
        generator_ids: ids(cells),
        token_type_ids: vec![0; cells],
        attention_mask: vec![1; cells],
        special_tokens_mask: vec![false; cells],
        masked_positions: positions.map(|position| position as i64).collect(),
        masked_labels: ids(predictions),
        masked_is_mask: vec![true; predictions],
        sampling_uniforms: (0..predictions).map(|i| i as f32 / predictions as f32).collect(),
        sampled_ids: Vec::new(),
        tokens: cells,
        most_masked: MASKED,
    }
}

/// Bytes held after a forward pass, measured and estimated.
fn measure(sets: &[&str]) -> (f64, f64) {
    let common = ["model.vocab_size=1000", "model.embedding_size=96", "train.device=cpu"];
    let sets: Vec<String> = common.iter().chain(sets).map(|&set| set.to_owned()).collect();
    let config = RunConfig::read(&preset("tiny"), &sets).unwrap();
    let vs = nn::VarStore::new(Device::Cpu);
    let parts = Parts::shipped();
    let counts = vec![1; 1000];
    let site = ObjectiveSite::new(vs.root(), &config.model, &parts, &counts);
    let objective = ReplacedToken::new(replaced_token(&config), &site).unwrap();
    let (batch, pairs) = (batch(), BATCH * LENGTH * LENGTH);
    let whole = objective.loss_counts(&batch);
    let forward = || objective.pass(&batch, &whole, true);
    // The first pass allocates memory that is kept for later passes.
    drop(forward());
    let before = electra_torch::allocated().unwrap();
    let loss = forward();
    let held = electra_torch::allocated().unwrap() - before;
    drop(loss);
    let parameters: usize = variables(&vs).unwrap().iter().map(|(_, t)| t.numel()).sum();
    let work = Work {
        tokens: batch.tokens as f64,
        pairs: pairs as f64,
        predictions: batch.masked_labels.len() as f64,
    };
    let memory = Memory::new(
        &parts,
        &NetworkSpec::electra(&config.model).unwrap(),
        parameters as u64,
        &work,
    );
    (held as f64, memory.fixed + memory.activations)
}

#[test]
fn the_estimate_matches_the_memory_of_a_graph() {
    if electra_torch::allocated().is_none() {
        return; // The allocator does not count.
    }
    if std::env::var_os(ALONE).is_none() {
        let this = std::env::current_exe().unwrap();
        let child = Command::new(this)
            .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let stdout = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(child.status.success(), "{stdout}{}", String::from_utf8_lossy(&child.stderr));
        assert!(stdout.contains("1 passed"), "{stdout}");
        return;
    }
    let cases = [
        ("fused", "f32", "keep", 0.1),
        ("fused", "f32", "recompute", 0.1),
        ("fused", "bf16", "keep", 0.0),
        ("plain", "f32", "keep", 0.1),
        ("plain", "bf16", "keep", 0.1),
    ];
    for (kernels, precision, activations, p) in cases {
        let sets = [
            format!("model.kernels={kernels}"),
            format!("model.precision={precision}"),
            format!("model.activations={activations}"),
            format!("model.attention_dropout={p:?}"),
            format!("model.dropout={p:?}"),
        ];
        let (held, estimate) = measure(&sets.each_ref().map(String::as_str));
        let ratio = held / estimate;
        println!("{sets:?}: {held} held, {estimate} estimated, {ratio:.4}");
        // The estimate does not include graph nodes and the allocator's headers.
        assert!((0.99..1.06).contains(&ratio), "{sets:?}: {held} held, {estimate} estimated");
    }
}
