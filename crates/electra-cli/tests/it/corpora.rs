//! Unusual corpora, and outputs that must not be lost.

use crate::{electra, errors::fails, output};
use std::{fs, path::Path};

const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n";
const BUILD: &str =
    "shards build --corpus {}/text.txt --vocab {}/vocab.txt --seq-len 16 --out {}/shards";

fn with_text(text: impl AsRef<[u8]>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text.txt"), text).unwrap();
    fs::write(folder.path().join("vocab.txt"), VOCAB).unwrap();
    folder
}

/// The standard error of a command that must succeed.
fn stderr(dir: &Path, line: &str) -> String {
    String::from_utf8_lossy(&electra(dir, line).success().get_output().stderr).into_owned()
}

/// Two invalid bytes in the first document and one in the second.
#[test]
fn lossy_counts_invalid_bytes() {
    let text = [b"a \xe9\xe8 b a b a b a b\n\n".as_slice(), b"a b a b a b\xff\n"].concat();
    let folder = with_text(text);
    let dir = folder.path();
    fails(dir, BUILD, 1, &["text.txt", "byte 2", "line 1", "--lossy"]);
    assert!(!dir.join("shards").exists());

    let report: serde_json::Value =
        serde_json::from_str(&output(dir, &format!("{BUILD} --lossy"))).unwrap();
    assert_eq!((&report["replaced_bytes"], &report["text_tokens"]), (&3.into(), &14.into()));
    let index: serde_json::Value =
        serde_json::from_str(&output(dir, "shards inspect {}/shards")).unwrap();
    assert_eq!(index["report"], report);
    let warning = "skipped 3 bytes of invalid UTF-8";
    let again = stderr(dir, &format!("{BUILD} --lossy --overwrite"));
    assert!(again.contains(warning), "{again}");

    let train = "vocab train --corpus {}/text.txt --size 20 --out {}/learned.txt";
    fails(dir, train, 1, &["text.txt", "byte 2", "--lossy"]);
    let learned = stderr(dir, &format!("{train} --lossy"));
    assert!(learned.contains(warning), "{learned}");
}

#[test]
fn building_shards_from_too_little_text_is_an_error() {
    let folder = with_text("a b a b\n\nb a\n");
    let dir = folder.path();
    fails(
        dir,
        BUILD,
        1,
        &[
            "text.txt: the corpus is too small (2 documents with 6 tokens)",
            "needs 14 tokens",
            "--seq-len",
        ],
    );
    fs::write(dir.join("text.txt"), "a b ".repeat(20)).unwrap();
    fails(dir, BUILD, 1, &["1 documents with 40 tokens", "at least 2", "--held-out 0"]);
    assert!(!dir.join("shards").exists());
    output(dir, &format!("{BUILD} --held-out 0"));
}

#[test]
fn overwriting_a_folder_without_shards_is_an_error() {
    let folder = with_text("a b ".repeat(20) + "\n\nb a\n");
    let dir = folder.path();
    fs::create_dir(dir.join("shards")).unwrap();
    fs::write(dir.join("shards/precious.txt"), "mine").unwrap();
    let line = format!("{BUILD} --overwrite");
    fails(dir, &line, 1, &["shards", "no index.json of shards", "choose another folder"]);
    assert_eq!(fs::read_to_string(dir.join("shards/precious.txt")).unwrap(), "mine");
}

#[test]
fn a_vocabulary_replaces_only_a_vocabulary() {
    let folder = with_text("a b ".repeat(20));
    let dir = folder.path();
    let train = "vocab train --corpus {}/text.txt --size 20 --out";
    fails(dir, &format!("{train} {{}}/text.txt"), 1, &["text.txt", "is not a vocabulary"]);
    assert_eq!(fs::read_to_string(dir.join("text.txt")).unwrap(), "a b ".repeat(20));
    fails(dir, &format!("{train} {{}}"), 1, &["is a folder"]);
    fs::write(dir.join("vocab.txt"), format!("{VOCAB}c\n")).unwrap();
    output(dir, &format!("{train} {{}}/vocab.txt"));
    assert_eq!(fs::read_to_string(dir.join("vocab.txt")).unwrap(), VOCAB);
    // Nor the settings of another vocabulary.
    fs::write(dir.join("other.tokenizer_config.json"), "{}").unwrap();
    let words = ["other.tokenizer_config.json exists", "another vocabulary"];
    fails(dir, &format!("{train} {{}}/other.txt"), 1, &words);
    fs::write(dir.join("tokenizer.json"), "{}").unwrap();
    fails(dir, &format!("{train} {{}}/vocab.txt"), 1, &["tokenizer.json belongs to another"]);
}

/// `vocab train` records its options, and other commands use them.
#[test]
fn the_options_of_a_vocabulary_need_not_be_repeated() {
    let folder = with_text("The Cat and the cats. ".repeat(10) + "\n\nA Cat.\n");
    let dir = folder.path();
    output(
        dir,
        "vocab train --corpus {}/text.txt --size 60 --cased --accents keep --out {}/cased.txt",
    );
    let build =
        "shards build --corpus {}/text.txt --seq-len 16 --out {}/shards --overwrite --vocab {}";
    let report =
        |line: &str| -> serde_json::Value { serde_json::from_str(&output(dir, line)).unwrap() };
    let built = report(&format!("{build}/cased.txt"));
    assert_eq!((&built["unknown_tokens"], &built["unreachable_tokens"]), (&0.into(), &0.into()));
    let read = |path: &str| fs::read_to_string(dir.join(path)).unwrap();
    assert!(read("shards/tokenizer/tokenizer_config.json").contains("\"do_lower_case\": false"));
    let checked = report("vocab check {}/cased.txt");
    assert_eq!(checked["settings"]["case"], "cased");
    fails(
        dir,
        &format!("{build}/cased.txt --accents strip"),
        1,
        &["cased.tokenizer_config.json", "accents = keep, but strip"],
    );
    // Without the record, the text is lower-cased and tokens with upper-case letters never occur.
    fs::copy(dir.join("cased.txt"), dir.join("lost.txt")).unwrap();
    let warned = stderr(dir, &format!("{build}/lost.txt"));
    assert!(warned.contains("never occur") && warned.contains("--cased"), "{warned}");
    let given = stderr(dir, &format!("{build}/lost.txt --cased --accents keep"));
    assert!(!given.contains("--cased"), "{given}");
}

/// 5 of 7 words are Greek.
#[test]
fn shards_of_unknown_words_need_an_option() {
    let folder = with_text("\u{3bb} \u{3bc} a \u{3bd}\n\n\u{3bb} \u{3bc} b\n");
    let dir = folder.path();
    let build = BUILD.replace("16", "8");
    fails(dir, &build, 1, &["5 of 7 tokens (71.4 %) are [UNK]", "text.txt:1", "--max-unknown 1"]);
    assert!(!dir.join("shards").exists());
    let warned = stderr(dir, &format!("{build} --max-unknown 1"));
    assert!(warned.contains("5 of 7 tokens"), "{warned}");
    // Pre-training repeats it.
    let set = "--set data.shards={}/shards --set data.sequence_length=8 --set model.vocab_size=7 --set train.steps=1";
    let run = stderr(dir, &format!("pretrain configs/pretrain-tiny.toml {set} --out {{}}/run"));
    assert!(run.contains("5 of 7 tokens") && run.contains("shards:"), "{run}");
}

/// Words of 120 letters, and the records of a JSON file with half of a surrogate pair.
#[test]
fn a_corpus_of_long_words_says_what_to_set() {
    let words: Vec<String> = (0..20).map(|i| ["g", "c"][i % 2].repeat(120)).collect();
    let folder = with_text(words.join("\n\n"));
    let dir = folder.path();
    let train = "vocab train --corpus {}/text.txt --size 20 --out {}/own.txt";
    fails(dir, train, 1, &["text.txt:1: all 20 words", "of 120", "--max-chars-per-word"]);
    output(dir, &format!("{train} --max-chars-per-word 120"));
    fails(dir, BUILD, 1, &["20 of 20 tokens", "--max-chars-per-word 120"]);
    let report = output(dir, &BUILD.replace("vocab.txt", "own.txt"));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["unknown_tokens"], &report["word_limit"]), (&0.into(), &120.into()));

    let half = "{\"text\": \"a b a b a b a \\ud83d b\"}\n".repeat(3);
    fs::write(dir.join("half.JSONL"), half).unwrap();
    let build = BUILD.replace("text.txt", "half.JSONL") + " --overwrite";
    fails(dir, &build, 1, &["half.JSONL:1", "lone surrogates", "--lossy"]);
    let warned = stderr(dir, &format!("{build} --lossy"));
    assert!(warned.contains("replaced 3 escapes of lone surrogates"), "{warned}");
}

/// Limits files to one block of 512 or 1024 bytes, which is too small for the new vocabulary.
#[test]
#[cfg(target_os = "linux")]
fn failing_to_write_a_vocabulary_keeps_the_old_one() {
    let words: Vec<String> = (0..200).map(|i| format!("word{i} word{i}")).collect();
    let folder = with_text(words.join(" "));
    let dir = folder.path();
    let line = format!(
        "trap '' XFSZ; ulimit -f 1; exec '{}' vocab train --size 400 --corpus '{1}/text.txt' --out '{1}/vocab.txt'",
        assert_cmd::cargo::cargo_bin("electra").display(),
        dir.display()
    );
    let run = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
    let error = String::from_utf8_lossy(&run.stderr);
    assert!(error.contains("vocab.txt: File too large"), "{error}");
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(fs::read_to_string(dir.join("vocab.txt")).unwrap(), VOCAB);
    assert_eq!(fs::read_dir(dir).unwrap().count(), 2, "no temporary file is left");
}
