//! The memory of a step by arithmetic beside what the allocator says the graph of a real one holds.

use crate::{preset, replaced_token};
use electra_data::MaskedBatch;
use electra_model::{NetworkSpec, Parts, flops::Work, memory::Memory, tensors::variables};
use electra_train::{
    RunConfig,
    objective::{Objective, ObjectiveSite, ReplacedToken},
};
use std::process::Command;
use tch::{Device, nn};

/// Set in the process that measures: the allocator counts what all threads of a process hold.
const ALONE: &str = "ELECTRA_TEST_ALONE";

const NAME: &str = "memory::a_graph_holds_what_arithmetic_says";

const BATCH: usize = 5;
const LENGTH: usize = 48;
const MASKED: usize = 7;

/// Full sequences, of which every sixth token or so is masked.
fn batch() -> MaskedBatch {
    let cells = BATCH * LENGTH;
    let ids = |n: usize| (0..n).map(|i| (7 + i * 31 % 900) as i64).collect::<Vec<_>>();
    let places = (0..BATCH).flat_map(|row| (0..MASKED).map(move |i| row * LENGTH + 1 + 6 * i));
    let predictions = BATCH * MASKED;
    MaskedBatch {
        batch: BATCH,
        length: LENGTH,
        input_ids: ids(cells),
        generator_ids: ids(cells),
        token_type_ids: vec![0; cells],
        attention_mask: vec![1; cells],
        masked_positions: places.map(|place| place as i64).collect(),
        masked_labels: ids(predictions),
        masked_is_mask: vec![true; predictions],
        sampling_uniforms: (0..predictions).map(|i| i as f32 / predictions as f32).collect(),
        tokens: cells,
        most_masked: MASKED,
    }
}

/// Bytes that a forward pass leaves behind, and those that it should.
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
    let whole = objective.normaliser(&batch);
    let forward = || objective.pass(&batch, &whole, true);
    // What is made once, at the first use, is no part of it.
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
fn a_graph_holds_what_arithmetic_says() {
    if electra_torch::allocated().is_none() {
        return; // Nobody counts.
    }
    if std::env::var_os(ALONE).is_none() {
        let this = std::env::current_exe().unwrap();
        let child = Command::new(this)
            .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
        assert!(said.contains("1 passed"), "it ran: {said}");
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
        let (held, right) = measure(&sets.each_ref().map(String::as_str));
        let ratio = held / right;
        println!("{sets:?}: {held} of {right}, {ratio:.4}");
        // The nodes themselves and the allocator's headers are on top.
        assert!((0.99..1.06).contains(&ratio), "{sets:?}: {held} of {right}");
    }
}
