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
