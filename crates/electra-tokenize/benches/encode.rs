//! Encoding throughput on real text in bytes per second, with one thread and all, compared to `tokenizers`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use electra_tokenize::{Tokenizer, TokenizerConfig, TrainConfig, WordPiece, train_vocab};
use std::{convert::Infallible, fs};

fn encode(c: &mut Criterion) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/sample/pretrain/addresses.jsonl");
    let text = fs::read_to_string(path).expect("the committed sample");
    let lines: Vec<&str> = text.lines().collect();
    let config = TokenizerConfig::default();
    let texts = lines.iter().map(|&line| Ok::<_, Infallible>(line));
    let vocab = train_vocab(texts, &config, &TrainConfig::new(4000)).expect("enough text");
    let tokenizer = WordPiece::new(vocab, config).expect("a valid vocabulary");
    let dir = tempfile::tempdir().expect("a temporary folder");
    tokenizer.write_pretrained(dir.path(), 128).expect("a writable folder");
    let hugging_face = tokenizers::Tokenizer::from_file(dir.path().join("tokenizer.json"))
        .expect("a valid tokenizer.json");

    let mut group = c.benchmark_group("encode");
    group.sample_size(10).throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("one thread", |b| {
        b.iter(|| {
            lines
                .iter()
                .map(|line| tokenizer.encode(line).expect("valid text").len())
                .sum::<usize>()
        });
    });
    group.bench_function("all threads", |b| {
        b.iter(|| tokenizer.encode_batch(&lines).expect("valid text").len())
    });
    group.bench_function("tokenizers, one thread", |b| {
        b.iter(|| {
            lines
                .iter()
                .map(|&line| hugging_face.encode_fast(line, false).expect("valid text").len())
                .sum::<usize>()
        });
    });
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
