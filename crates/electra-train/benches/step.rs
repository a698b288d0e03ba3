//! A forward pass of both networks, and a training step with backward pass, clipping and optimizer, for two presets, on
//! generated ids.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use electra_data::MaskedBatch;
use electra_model::{Parts, tensors::variables};
use electra_train::{
    RunConfig,
    config::ObjectiveConfig,
    objective::{Objective, ObjectiveSite, ReplacedToken},
    optim::{Adam, Decay, Rule},
};
use std::path::Path;
use tch::{Device, nn, no_grad};

/// The id of `[MASK]` in the vocabulary of bert-base-uncased; the value does not matter.
const MASK: i64 = 103;

/// `batch` full rows of pseudo-random ids, with every seventh token masked.
fn batch(batch: usize, length: usize, vocabulary: i64) -> MaskedBatch {
    let tokens = batch * length;
    // Knuth's multiplicative hashing.
    let id = |position: usize| (position as i64 * 2_654_435_761) % (vocabulary - 1000) + 1000;
    let input_ids: Vec<i64> = (0..tokens).map(id).collect();
    let masked_positions: Vec<i64> = (0..tokens as i64).step_by(7).collect();
    let mut generator_ids = input_ids.clone();
    for &position in &masked_positions {
        generator_ids[position as usize] = MASK;
    }
    let count = masked_positions.len();
    MaskedBatch {
        batch,
        length,
        masked_labels: masked_positions.iter().map(|&p| input_ids[p as usize]).collect(),
        input_ids,
        generator_ids,
        token_type_ids: vec![0; tokens],
        attention_mask: vec![1; tokens],
        special_tokens_mask: vec![false; tokens],
        masked_positions,
        masked_is_mask: vec![true; count],
        sampling_uniforms: (0..count).map(|i| i as f32 / count as f32).collect(),
        sampled_ids: Vec::new(),
        tokens,
        most_masked: length.div_ceil(7),
    }
}

fn bench_preset(c: &mut Criterion, name: &str, rows: usize, length: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../configs/{name}.toml"));
    let config = RunConfig::read(&path, &[]).expect("a preset");
    let parts = Parts::shipped();
    let vs = nn::VarStore::new(Device::Cpu);
    let counts = vec![1; config.model.discriminator.vocab_size as usize];
    let site = ObjectiveSite::new(vs.root(), &config.model, &parts, &counts);
    let ObjectiveConfig::ReplacedToken(settings) = &config.objective else {
        panic!("the preset has another objective")
    };
    let objective = ReplacedToken::new(settings, &site).expect("a preset's networks");
    let variables = variables(&vs).expect("unique names");
    let rule = |name: &str| Rule { decay: Decay::of(name), rate: 1.0 };
    let mut adam = Adam::new(&config.optimizer, &variables, rule).expect("a preset's optimizer");
    let batch = batch(rows, length, config.model.discriminator.vocab_size);
    let whole = objective.loss_counts(&batch);

    let mut group = c.benchmark_group(format!("{name}, {rows} x {length}"));
    group.throughput(Throughput::Elements(batch.tokens as u64)).sample_size(10);
    group.bench_function("forward", |b| {
        b.iter(|| no_grad(|| objective.pass(&batch, &whole, false).loss(0).double_value(&[])));
    });
    group.bench_function("step", |b| {
        b.iter(|| {
            adam.zero_grad();
            objective.pass(&batch, &whole, true).loss(0).backward();
            let norm = adam.gradient_norm();
            adam.step(1e-5, &norm);
        });
    });
    group.finish();
}

fn presets(c: &mut Criterion) {
    bench_preset(c, "pretrain-tiny", 64, 16);
    bench_preset(c, "pretrain-small", 8, 128);
}

criterion_group!(benches, presets);
criterion_main!(benches);
