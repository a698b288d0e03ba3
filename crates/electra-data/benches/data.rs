//! Throughput of building shards, masking, and the loader with one worker thread and with two.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use electra_data::{
    BuildConfig, Corpus, CorpusConfig, Loader, LoaderConfig, Masking, ShardSet, Split,
    UniformMasking, build_shards,
    rng::{CounterRng, Purpose},
};
use electra_tokenize::{TokenizerConfig, TrainConfig, WordPiece, train_vocab};
use std::{path::Path, sync::Arc};

const BATCH: usize = 128;
const LENGTH: usize = 128;
const MASKING: UniformMasking = UniformMasking { rate: 0.15, mask_share: 0.85 };

fn data(c: &mut Criterion) {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/sample/pretrain");
    let corpus = Corpus::open(&sample, CorpusConfig::default()).expect("the committed sample");
    let config = TokenizerConfig::default();
    let texts = || corpus.documents().map(|document| Ok::<_, electra_data::Error>(document?.text));
    let vocab = train_vocab(texts(), &config, &TrainConfig::new(4000)).expect("enough text");
    let tokenizer = WordPiece::new(vocab, config).expect("a valid vocabulary");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let build = BuildConfig {
        held_out: 0.0,
        existing: electra_data::Existing::Replace,
        ..BuildConfig::new(dir.path().join("shards"), LENGTH)
    };
    let build_all =
        || build_shards(&corpus, &tokenizer, &build, &mut |_| {}).expect("a valid corpus");
    // Before the benchmarks, because a filter may skip that of building.
    build_all();
    let bytes: usize = texts().map(|text| text.expect("read before").len()).sum();
    let mut group = c.benchmark_group("shards");
    group.throughput(Throughput::Bytes(bytes as u64)).sample_size(10);
    group.bench_function("build from text", |b| {
        b.iter(build_all);
    });
    group.finish();

    let shards = Arc::new(ShardSet::open(&build.out, Split::Train).expect("valid shards"));
    let example = shards.example(0).expect("at least one example");
    let mut group = c.benchmark_group("masking");
    group.throughput(Throughput::Elements(example.ids.len() as u64));
    group.bench_function("uniform", |b| {
        b.iter(|| {
            let mut rng = CounterRng::new(1, Purpose::Masking, 0, 0);
            MASKING.choose(&example.ids, LENGTH, shards.special(), &mut rng)
        });
    });
    group.finish();

    let mut group = c.benchmark_group("loader");
    group.throughput(Throughput::Elements((BATCH * LENGTH) as u64));
    for (name, threads) in [("one thread", 1), ("two threads", 2)] {
        let config = LoaderConfig { seed: 1, batch_size: BATCH, threads, prefetch: 8 };
        let mut loader =
            Loader::new(Arc::clone(&shards), Arc::new(MASKING), config, 0).expect("valid settings");
        group.bench_function(name, |b| {
            b.iter(|| loader.next().expect("valid shards").tokens);
        });
    }
    group.finish();
}

criterion_group!(benches, data);
criterion_main!(benches);
