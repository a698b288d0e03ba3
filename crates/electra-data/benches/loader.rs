//! Batches out of the loader: masked tokens a second, by one worker thread and by two.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use electra_data::{
    BuildConfig, Corpus, CorpusConfig, Loader, LoaderConfig, PackingConfig, ShardSet, Split,
    UniformMasking, build_shards,
};
use electra_tokenize::{TokenizerConfig, TrainConfig, WordPiece, train_vocab};
use std::{path::Path, sync::Arc};

const BATCH: usize = 128;
const LENGTH: usize = 128;

fn loader(c: &mut Criterion) {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/sample/pretrain");
    let corpus = Corpus::open(&sample, CorpusConfig::default()).expect("the committed sample");
    let config = TokenizerConfig::default();
    let texts = corpus.documents().map(|document| Ok::<_, electra_data::Error>(document?.text));
    let vocab = train_vocab(texts, &config, &TrainConfig::new(4000)).expect("enough text");
    let tokenizer = WordPiece::new(vocab, config).expect("a good vocabulary");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let build = BuildConfig {
        out: dir.path().join("shards"),
        packing: PackingConfig::reference(LENGTH),
        held_out: 0.0,
        seed: 1,
        overwrite: false,
    };
    build_shards(&corpus, &tokenizer, &build, &mut |_| {}).expect("a good corpus");
    let shards = Arc::new(ShardSet::open(&build.out, Split::Train).expect("our own shards"));

    let mut group = c.benchmark_group("loader");
    group.throughput(Throughput::Elements((BATCH * LENGTH) as u64));
    for threads in [1, 2] {
        let masking = Arc::new(UniformMasking { rate: 0.15, mask_share: 0.85 });
        let config = LoaderConfig { seed: 1, batch_size: BATCH, threads, prefetch: 8 };
        let mut loader =
            Loader::new(Arc::clone(&shards), masking, config, 0).expect("good settings");
        group.bench_function(format!("{threads} threads"), |b| {
            b.iter(|| loader.next().expect("whole shards").tokens);
        });
    }
    group.finish();
}

criterion_group!(benches, loader);
criterion_main!(benches);
