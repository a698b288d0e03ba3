//! Fused layers compared with the equivalent libtorch functions, forward and backward, at the sizes of a training step
//! of ELECTRA-Small: 32 sequences of 128 tokens.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use electra_torch::ops::{self, AdamStep, Sequences};
use std::{hint::black_box, sync::Arc};
use tch::{Device, Kind, Reduction, Tensor};

const BATCH: i64 = 32;
const LENGTH: i64 = 128;
const TOKENS: i64 = BATCH * LENGTH;
const HIDDEN: i64 = 256;
const HEADS: i64 = 4;
const P: f64 = 0.1;

fn random(size: &[i64]) -> Tensor {
    Tensor::randn(size, (Kind::Float, Device::Cpu)).set_requires_grad(true)
}

/// Times the two implementations of a layer with their backward passes.
fn compare(c: &mut Criterion, name: &str, elements: i64, layers: [(&str, &dyn Fn() -> Tensor); 2]) {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(elements as u64)).sample_size(10);
    for (implementation, layer) in layers {
        group.bench_function(implementation, |b| b.iter(|| layer().sum(Kind::Float).backward()));
    }
    group.finish();
}

fn layers(c: &mut Criterion) {
    let (x, residual) = (random(&[TOKENS, HIDDEN]), random(&[TOKENS, HIDDEN]));
    let (gain, shift) = (random(&[HIDDEN]), random(&[HIDDEN]));
    compare(
        c,
        "dropout, residual, LayerNorm",
        TOKENS * HIDDEN,
        [
            ("plain", &|| {
                let sum = x.dropout(P, true) + &residual;
                sum.layer_norm([HIDDEN], Some(&gain), Some(&shift), 1e-12, true)
            }),
            ("fused", &|| ops::add_norm(&x, &residual, &gain, &shift, 1e-12, P, true)),
        ],
    );

    let (wide, bias) = (random(&[TOKENS, 4 * HIDDEN]), random(&[4 * HIDDEN]));
    compare(
        c,
        "bias, gelu",
        TOKENS * 4 * HIDDEN,
        [("plain", &|| (&wide + &bias).gelu("none")), ("fused", &|| ops::bias_gelu(&wide, &bias))],
    );

    let qkv = random(&[TOKENS, 3 * HIDDEN]);
    let lengths = vec![LENGTH as usize; BATCH as usize];
    let sequences = Arc::new(Sequences::padded(&lengths, LENGTH as usize));
    compare(
        c,
        "attention with dropout",
        TOKENS,
        [
            ("plain", &|| {
                let d = HIDDEN / HEADS;
                let split = |x: &Tensor| x.view([BATCH, LENGTH, HEADS, d]).transpose(1, 2);
                let parts = qkv.chunk(3, -1);
                let scores = split(&parts[0]).matmul(&split(&parts[1]).transpose(-2, -1));
                let weights = (scores / (d as f64).sqrt()).softmax(-1, None::<Kind>);
                weights.dropout(P, true).matmul(&split(&parts[2]))
            }),
            ("fused", &|| ops::attention(&qkv, &sequences, HEADS as usize, P, true)),
        ],
    );
}

fn vocabulary(c: &mut Criterion) {
    let (p, e, v) = (614, 128, 30_522);
    let (x, table, bias) = (random(&[p, e]), random(&[v, e]), random(&[v]));
    let labels = Tensor::randint(v, [p], (Kind::Int64, Device::Cpu));
    let uniforms = Tensor::rand([p], (Kind::Float, Device::Cpu));
    compare(
        c,
        "loss and sampling over a vocabulary",
        p,
        [
            ("plain", &|| {
                let logits = x.linear(&table, Some(&bias));
                let sums = logits.detach().softmax(-1, Kind::Float).cumsum(-1, Kind::Float);
                let targets = uniforms.unsqueeze(-1);
                let sampled = targets.searchsorted(&sums, false, true, "right", None::<&Tensor>);
                drop(black_box(sampled));
                logits.cross_entropy_loss(&labels, None::<&Tensor>, Reduction::Sum, -100, 0.0)
            }),
            ("fused", &|| ops::predict_tokens(&x, &table, &bias, &labels, &uniforms).loss),
        ],
    );
}

fn optimizer(c: &mut Criterion) {
    let n = 14_196_219;
    let zeros = || Tensor::zeros([n], (Kind::Float, Device::Cpu));
    let (mut w, g, mut m, mut v) = (zeros(), zeros(), zeros(), zeros());
    let step =
        AdamStep { rate: 1e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-6, decay: 0.01, scale: 1.0 };
    let mut group = c.benchmark_group("Adam");
    group.throughput(Throughput::Elements(n as u64)).sample_size(10);
    group.bench_function("fused", |b| b.iter(|| ops::adam(&mut w, &g, &mut m, &mut v, &step)));
    group.finish();
}

criterion_group!(benches, layers, vocabulary, optimizer);
criterion_main!(benches);
