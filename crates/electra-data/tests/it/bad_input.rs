//! Invalid input: each error says what is wrong, where, and what is expected; no data is lost.

use crate::{Fixture, letters, text};
use electra_data::{
    BuildConfig, Corpus, CorpusConfig, Error, LoaderConfig, ShardSet, Split, UniformMasking,
    build_shards, copy_tokenizer, shard::HEADER, verify,
};
use electra_tokenize::{Tokenizer, TokenizerConfig, Vocab, WordPiece};
use std::fs;

#[track_caller]
pub(crate) fn says<T: std::fmt::Debug>(result: Result<T, Error>, words: &[&str]) {
    let message = result.unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[test]
fn missing_and_unsupported_corpora_are_errors() {
    let fixture = Fixture::new();
    says(Corpus::open(&fixture.path("nowhere"), CorpusConfig::default()), &["nowhere"]);
    let path = fixture.write("a.docx", "x");
    says(Corpus::open(&path, CorpusConfig::default()), &["a.docx", ".txt", ".jsonl", ".zst"]);
    let path = fixture.write("a.parquet.gz", "x");
    says(
        Corpus::open(&path, CorpusConfig::default()),
        &["a.parquet.gz", "without external compression"],
    );
    let folder = fixture.path("empty");
    fs::create_dir(&folder).unwrap();
    says(Corpus::open(&folder, CorpusConfig::default()), &["empty", "no readable file"]);
}

#[test]
fn corpora_without_tokens_are_errors() {
    let fixture = Fixture::new();
    let needed = ["0 documents with 0 tokens", "needs 14 tokens"];
    says(fixture.shards(&fixture.write("empty.txt", ""), "shards", 16), &needed);
    says(fixture.shards(&fixture.write("blank.txt", "\n \n\n"), "shards", 16), &needed);
    says(
        fixture.shards(&fixture.write("control.txt", "\u{1}\u{2}\n"), "shards", 16),
        &["1 documents with 0 tokens"],
    );
    assert!(!fixture.path("shards").exists());
}

#[test]
fn invalid_utf8_is_an_error_with_file_offset_and_line() {
    let fixture = Fixture::new();
    let path = fixture.write("latin1.txt", b"fine\n\ncaf\xe9 au lait\n");
    // "fine\n" and "\n" are 6 bytes, "caf" 3 more.
    says(fixture.shards(&path, "shards", 16), &["latin1.txt", "byte 9", "line 3", "--lossy"]);
    let marked = fixture.write("marked.txt", b"\xef\xbb\xbfab\xff\n");
    says(fixture.shards(&marked, "shards", 16), &["byte 5", "line 1"]);
}

#[test]
fn invalid_records_are_errors() {
    let fixture = Fixture::new();
    let path = fixture.write("a.jsonl", "{\"text\": \"a\"}\n{\"body\": \"b\", \"id\": 1}\n");
    says(
        fixture.shards(&path, "shards", 16),
        &["a.jsonl:2", "no field \"text\"", "body", "--field"],
    );
    let path = fixture.write("b.jsonl", "{\"text\": \"a\"}\n{\"text\": 7}\n");
    says(fixture.shards(&path, "shards", 16), &["b.jsonl:2", "not a string"]);
    let path = fixture.write("c.jsonl", "not json\n");
    says(fixture.shards(&path, "shards", 16), &["c.jsonl:1", "not a JSON object"]);
}

#[test]
fn invalid_json_files_are_errors() {
    let fixture = Fixture::new();
    for (name, text, words) in [
        ("end.json", "[{\"text\": \"a\"},\n{\"text\"", ["end.json:2", "truncated"]),
        ("more.json", "[{\"text\": \"a\"}]\n[]", ["more.json:2", "one array"]),
        ("comma.json", "[\n,{\"text\": \"a\"}]", ["comma.json:2", "before the comma"]),
        ("number.json", "[\n\n7]", ["number.json:3", "not a JSON object"]),
        (
            "field.json",
            "[\n{\"body\": \"a\"}]",
            ["field.json:2", "no field \"text\"; use --field with one of: body"],
        ),
        // One object over several lines is neither.
        (
            "pretty.json",
            "{\n  \"text\": \"a\"\n}\n",
            ["pretty.json:1", "one object per line, or a .json file one array"],
        ),
        ("text.json", "some text\n", ["text.json:1", "not a JSON object"]),
    ] {
        let path = fixture.write(name, text);
        says(fixture.shards(&path, "shards", 16), &words);
    }
    let path = fixture.write("latin1.json", b"[{\"text\": \"a\"},\n {\"text\": \"caf\xe9\"}]");
    // 15 bytes, a line end, a space, and 13 bytes up to `caf`.
    says(fixture.shards(&path, "shards", 16), &["latin1.json", "byte 30", "line 2", "--lossy"]);
}

/// `\ud83d` needs a low surrogate after it.
#[test]
fn lone_surrogates_are_errors() {
    let fixture = Fixture::new();
    for escape in ["\\ud83d", "\\uD83D\\u0041", "\\udc00", "\\ude00\\ud83d"] {
        let record = format!("{{\"text\": \"a {escape} b\"}}\n");
        let path = fixture.write("a.jsonl", format!("{{\"text\": \"a\"}}\n{record}"));
        says(fixture.shards(&path, "shards", 16), &["a.jsonl:2", "lone surrogates", "--lossy"]);
    }
}

#[test]
fn a_truncated_archive_is_an_error() {
    let fixture = Fixture::new();
    let whole = zstd::encode_all(text(500).as_bytes(), 1).unwrap();
    let path = fixture.write("a.txt.zst", &whole[..whole.len() / 2]);
    says(fixture.shards(&path, "shards", 16), &["a.txt.zst"]);
}

#[test]
fn an_unwritable_folder_is_an_error() {
    let fixture = Fixture::new();
    let corpus =
        Corpus::open(&fixture.write("corpus.txt", text(10)), CorpusConfig::default()).unwrap();
    // Writing below a file fails for all users, including root.
    fixture.write("file", "x");
    let config = BuildConfig { out: fixture.path("file/shards"), ..fixture.config("x", 16) };
    says(build_shards(&corpus, &letters(), &config, &mut |_| {}), &["file"]);
}

#[test]
fn invalid_settings_are_errors() {
    let fixture = Fixture::new();
    let corpus = fixture.write("corpus.txt", text(10));
    says(fixture.shards(&corpus, "shards", 2), &["sequence_length = 2", "3"]);
    let open = Corpus::open(&corpus, CorpusConfig::default()).unwrap();
    let config = BuildConfig { held_out: 1.5, ..fixture.config("shards", 16) };
    says(build_shards(&open, &letters(), &config, &mut |_| {}), &["held_out = 1.5", "0 to 1"]);
    fixture.shards(&corpus, "shards", 16).unwrap();
    let shards =
        std::sync::Arc::new(ShardSet::open(&fixture.path("shards"), Split::Train).unwrap());
    let masking = std::sync::Arc::new(UniformMasking { rate: 0.15, mask_share: 0.85 });
    let config = LoaderConfig { seed: 0, batch_size: 0, threads: 1, prefetch: 1 };
    says(electra_data::Loader::new(shards, masking, config, 0), &["batch_size = 0", "at least 1"]);
}

#[test]
fn truncated_shards_are_detected() {
    let fixture = Fixture::new();
    fixture.shards(&fixture.write("corpus.txt", text(30)), "shards", 16).unwrap();
    let path = fixture.path("shards/train-00000.shard");
    let whole = fs::read(&path).unwrap();
    for length in [0, 10, HEADER - 1, HEADER, HEADER + 5, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        says(verify(&fixture.path("shards")), &["train-00000.shard", "truncated"]);
        says(ShardSet::open(&fixture.path("shards"), Split::Train), &["train-00000.shard"]);
    }
    fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
    says(verify(&fixture.path("shards")), &["train-00000.shard"]);
}

#[test]
fn flipped_bits_are_detected() {
    let fixture = Fixture::new();
    fixture.shards(&fixture.write("corpus.txt", text(30)), "shards", 16).unwrap();
    let path = fixture.path("shards/train-00000.shard");
    let whole = fs::read(&path).unwrap();
    for at in (0..HEADER).chain((HEADER..whole.len()).step_by(97)).chain([whole.len() - 1]) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, flipped).unwrap();
        says(verify(&fixture.path("shards")), &["train-00000.shard"]);
    }
}

#[test]
fn shards_of_another_vocabulary_are_errors_with_both_hashes() {
    let fixture = Fixture::new();
    fixture.shards(&fixture.write("corpus.txt", text(10)), "shards", 16).unwrap();
    let path = fixture.path("shards/index.json");
    let index: electra_data::ShardIndex =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let other = "0".repeat(64);
    fs::write(&path, fs::read_to_string(&path).unwrap().replace(&index.vocab_hash, &other))
        .unwrap();
    says(verify(&fixture.path("shards")), &["built with vocabulary", &index.vocab_hash, &other]);
}

#[test]
fn a_corpus_smaller_than_one_example_is_an_error() {
    let fixture = Fixture::new();
    // 13 tokens in 2 documents, where [CLS], 14 and [SEP] make 16.
    let corpus = fixture.write("corpus.txt", format!("{}\n\na b c", "a ".repeat(10)));
    let words = [
        "corpus.txt: the corpus is too small (2 documents with 13 tokens)",
        "length 16 needs 14",
        "--seq-len",
    ];
    says(fixture.shards(&corpus, "shards", 16), &words);
    assert!(!fixture.path("shards").exists());
    fixture.shards(&corpus, "shards", 15).unwrap();
}

/// Otherwise only evaluation in pre-training would fail.
#[test]
fn one_document_cannot_be_held_out() {
    let fixture = Fixture::new();
    let words = ["corpus.txt", "1 documents with 20 tokens", "at least 2", "--held-out 0"];
    let corpus = fixture.write("corpus.txt", "a ".repeat(20));
    says(fixture.shards(&corpus, "shards", 16), &words);
    // The second one has no token.
    let control = fixture.write("control.txt", "a ".repeat(20) + "\n\n\u{1}\n");
    says(fixture.shards(&control, "shards", 16), &["2 documents with 20 tokens", "at least 2"]);
    assert!(!fixture.path("shards").exists());

    let config = BuildConfig { held_out: 0.0, ..fixture.config("shards", 16) };
    let corpus = Corpus::open(&corpus, CorpusConfig::default()).unwrap();
    build_shards(&corpus, &letters(), &config, &mut |_| {}).unwrap();
    says(
        ShardSet::open(&fixture.path("shards"), Split::HeldOut),
        &["held-out", "evaluate.every = 0"],
    );
    assert!(ShardSet::open(&fixture.path("shards"), Split::Train).unwrap().len() >= 2);
}

#[test]
fn an_empty_training_split_is_an_error() {
    let fixture = Fixture::new();
    let corpus = fixture.write("corpus.txt", text(5));
    let corpus = Corpus::open(&corpus, CorpusConfig::default()).unwrap();
    let config = BuildConfig { held_out: 1.0, ..fixture.config("shards", 16) };
    says(build_shards(&corpus, &letters(), &config, &mut |_| {}), &["5 documents", "for training"]);
    assert!(!fixture.path("shards").exists());
}

/// The same tokens in another order, so that ids have other meanings.
#[test]
fn another_tokenizer_is_an_error_with_both_hashes() {
    let fixture = Fixture::new();
    fixture.shards(&fixture.write("corpus.txt", text(10)), "shards", 16).unwrap();
    let shards = fixture.path("shards");
    let own = letters().vocab().hash();
    let mut tokens = letters().vocab().tokens().to_vec();
    tokens.swap(5, 6);
    let other = Vocab::from_tokens(tokens).unwrap();
    let tokenizer = WordPiece::new(other.clone(), TokenizerConfig::default()).unwrap();
    let swapped = fixture.path("swapped");
    fs::create_dir(&swapped).unwrap();
    tokenizer.write_pretrained(&swapped, 16).unwrap();
    let rejected = |words: &[&str]| {
        says(ShardSet::open(&shards, Split::Train), words);
        says(verify(&shards), words);
        says(copy_tokenizer(&shards, &fixture.path("copy")), words);
        assert!(!fixture.path("copy").exists());
    };
    let path = |name: &str| shards.join("tokenizer").join(name);
    let before = ["vocab.txt", "tokenizer.json"].map(|name| fs::read(path(name)).unwrap());
    fs::copy(swapped.join("vocab.txt"), path("vocab.txt")).unwrap();
    rejected(&["tokenizer.json", "tokens differ from vocab.txt"]);
    fs::copy(swapped.join("tokenizer.json"), path("tokenizer.json")).unwrap();
    rejected(&["tokenizer: has vocabulary", &own, &other.hash()]);
    fs::write(path("vocab.txt"), &before[0]).unwrap();
    fs::write(path("tokenizer.json"), &before[1]).unwrap();
    copy_tokenizer(&shards, &fixture.path("copy")).unwrap();
    assert_eq!(
        fs::read(fixture.path("copy/vocab.txt")).unwrap(),
        fs::read(shards.join("tokenizer/vocab.txt")).unwrap()
    );
    fs::remove_dir_all(shards.join("tokenizer")).unwrap();
    says(verify(&shards), &["shards/tokenizer"]);
}
