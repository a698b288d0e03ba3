//! Building and reading shards: no token is lost, and the result is deterministic.

use crate::{Fixture, letters, text};
use electra_data::{
    BuildConfig, Corpus, CorpusConfig, DecodeErrors, Sentences, ShardSet, Split, build_shards,
    verify,
};
use electra_tokenize::Tokenizer;
use std::{collections::BTreeMap, fs, path::Path};

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            files.insert(entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        }
    }
    files
}

#[test]
fn every_token_of_the_corpus_is_in_the_shards() {
    let fixture = Fixture::new();
    let path = fixture.write("corpus.txt", text(300));
    let report = fixture.shards(&path, "shards", 24).unwrap();

    // The expected counts come from the tokenizer alone.
    let corpus = Corpus::open(&path, CorpusConfig::default()).unwrap();
    let tokenizer = letters();
    let mut expected = vec![0u64; tokenizer.vocab().len()];
    for document in corpus.documents() {
        for id in tokenizer.encode(&document.unwrap().text).unwrap() {
            expected[id as usize] += 1;
        }
    }
    let special = *tokenizer.vocab().special();
    let mut found = vec![0u64; expected.len()];
    for split in [Split::Train, Split::HeldOut] {
        let shards = ShardSet::open(&fixture.path("shards"), split).unwrap();
        for i in 0..shards.len() {
            for id in shards.example(i).unwrap().ids {
                if id != special.cls && id != special.sep {
                    found[id as usize] += 1;
                }
            }
        }
    }
    assert_eq!(found, expected);
    assert_eq!(report.text_tokens, expected.iter().sum::<u64>());
    assert_eq!((report.documents, report.sentences_dropped), (300, 0));
    assert_eq!(report.train_examples + report.held_out_examples, {
        let index = verify(&fixture.path("shards")).unwrap();
        index.train.examples + index.held_out.examples
    });
}

#[test]
fn shards_do_not_depend_on_the_number_of_threads() {
    let fixture = Fixture::new();
    let path = fixture.write("corpus.txt", text(200));
    let corpus = Corpus::open(&path, CorpusConfig::default()).unwrap();
    let build = |threads: usize| {
        let out = format!("shards-{threads}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let config = fixture.config(&out, 32);
        pool.install(|| build_shards(&corpus, &letters(), &config, &mut |_| {})).unwrap();
        files(&fixture.path(&out))
    };
    assert_eq!(build(1), build(4));
}

#[test]
fn each_document_is_in_one_split() {
    let fixture = Fixture::new();
    // Each document has its own letter.
    let documents: Vec<String> = ('a'..='z').map(|c| format!("{c} ").repeat(40)).collect();
    let path = fixture.write("corpus.txt", documents.join("\n\n"));
    fixture.shards(&path, "shards", 16).unwrap();
    let letters_of = |split| {
        let shards = ShardSet::open(&fixture.path("shards"), split).unwrap();
        let ids = (0..shards.len()).flat_map(|i| shards.example(i).unwrap().ids);
        ids.filter(|&id| id > 4).collect::<std::collections::BTreeSet<u32>>()
    };
    let (train, held_out) = (letters_of(Split::Train), letters_of(Split::HeldOut));
    assert!(train.is_disjoint(&held_out));
    assert_eq!(train.len() + held_out.len(), 26);
    assert!(!held_out.is_empty());
}

#[test]
fn unigram_counts_cover_the_training_split() {
    let fixture = Fixture::new();
    let path = fixture.write("corpus.txt", "a a b b.\n\nc c c.\n");
    fixture.shards(&path, "shards", 8).unwrap();
    let shards = ShardSet::open(&fixture.path("shards"), Split::Train).unwrap();
    let counts = shards.unigram_counts().unwrap();
    let count = |token: &str| counts[letters().vocab().id(token).unwrap() as usize];
    // The shorter document is held out.
    assert_eq!((count("a"), count("b"), count("."), count("c")), (2, 2, 1, 0));
    assert_eq!(counts.iter().sum::<u64>(), 5);
}

/// A document of 17 MiB is read in two parts, which are one document and in one split: such a document is never held out.
#[test]
fn parts_of_a_long_document_are_in_one_split() {
    let fixture = Fixture::new();
    let line = format!("b {}\n", "z".repeat(998));
    let lines = 17 * 1024 * 1024 / line.len() + 1;
    let other = "a ".repeat(40);
    let path = fixture.write("corpus.txt", format!("{other}\n\n{}\n{other}", line.repeat(lines)));
    let config = CorpusConfig { sentences: Sentences::Line, ..CorpusConfig::default() };
    let corpus = Corpus::open(&path, config).unwrap();
    assert_eq!(corpus.documents().count(), 4, "the long document has two parts");
    // So low that one of the short documents is held out.
    let config = BuildConfig { held_out: 1e-12, ..fixture.config("shards", 128) };
    let report = build_shards(&corpus, &letters(), &config, &mut |_| {}).unwrap();

    let lines = lines as u64;
    let shards = ShardSet::open(&fixture.path("shards"), Split::Train).unwrap();
    let b = letters().vocab().id("b").unwrap();
    assert_eq!(shards.unigram_counts().unwrap()[b as usize], lines);
    let index = shards.index();
    assert_eq!((report.documents, index.train.documents, index.held_out.documents), (3, 2, 1));
    assert_eq!((report.train_tokens, report.held_out_tokens), (2 * lines + 40, 40));
    // Each line has one `b` and one word of 998 letters, which is over the limit of 100.
    assert_eq!((report.unknown_tokens, report.overlong_words), (lines, lines));
    assert_eq!((report.text_tokens, report.overlong_bytes), (2 * lines + 80, 998 * lines));
    assert_eq!(index.report, report);
}

/// Sentences of control characters and invalid bytes have no tokens.
#[test]
fn dropped_sentences_and_replaced_bytes_are_counted() {
    let fixture = Fixture::new();
    let document = "a b c.\n\n\u{1}\u{2}\n\nd e f.";
    let record = serde_json::json!({ "text": document }).to_string();
    let path = fixture.write("a.jsonl", format!("{record}\n{record}\n"));
    let report = fixture.shards(&path, "shards", 16).unwrap();
    assert_eq!((report.sentences, report.sentences_dropped, report.text_tokens), (4, 2, 16));

    // 3 invalid bytes: a single one, and the first two bytes of a four-byte character.
    let bytes = [b"a b\xffc a b c\n\na b c ".as_slice(), b"\xf0\x9f a b c a \xce\xbb\n"].concat();
    let path = fixture.write("b.txt", bytes);
    let config = CorpusConfig { encoding: DecodeErrors::Lossy, ..CorpusConfig::default() };
    let corpus = Corpus::open(&path, config).unwrap();
    let report =
        build_shards(&corpus, &letters(), &fixture.config("lossy", 12), &mut |_| {}).unwrap();
    assert_eq!(report.replaced_bytes, 3);
    // a b ##c a b c and a b c a b c a [UNK]: U+FFFD is dropped, lambda is not in the vocabulary.
    assert_eq!((report.text_tokens, report.unknown_tokens, report.overlong_words), (14, 1, 0));
    let index = verify(&fixture.path("lossy")).unwrap();
    assert_eq!(index.report, report);
}

#[test]
fn existing_shards_are_replaced_only_by_complete_ones() {
    let fixture = Fixture::new();
    let path = fixture.write("corpus.txt", text(20));
    fixture.shards(&path, "shards", 16).unwrap();
    let before = files(&fixture.path("shards"));

    let broken = fixture.write("broken.txt", b"a b c\n\nd \xff e\n");
    let corpus = Corpus::open(&broken, CorpusConfig::default()).unwrap();
    let config =
        BuildConfig { existing: electra_data::Existing::Replace, ..fixture.config("shards", 16) };
    build_shards(&corpus, &letters(), &config, &mut |_| {}).unwrap_err();
    assert_eq!(files(&fixture.path("shards")), before);
    let names: Vec<_> =
        fs::read_dir(fixture.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{names:?}");

    let other =
        Corpus::open(&fixture.write("other.txt", text(30)), CorpusConfig::default()).unwrap();
    build_shards(&other, &letters(), &config, &mut |_| {}).unwrap();
    assert_ne!(files(&fixture.path("shards")), before);
}
