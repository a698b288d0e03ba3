//! Reading and writing vocab.txt, tokenizer.json and tokenizer_config.json, and errors in them.

use crate::{tokenizer, vocab};
use electra_tokenize::{Accents, Case, Tokenizer, TokenizerConfig, Vocab, WordPiece};
use std::fs;

const TOKENS: [&str; 4] = ["cafe", "##s", "##t\u{e9}", "!"];

#[test]
fn files_round_trip() {
    for (case, accents, max_chars_per_word) in [
        (Case::Uncased, Accents::Auto, 100),
        (Case::Cased, Accents::Strip, 200),
        (Case::Uncased, Accents::Keep, 50),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = TokenizerConfig { case, accents, max_chars_per_word };
        let written = tokenizer(&TOKENS, config);
        written.write_pretrained(dir.path(), 128).unwrap();
        let read = WordPiece::from_pretrained_dir(dir.path()).unwrap();
        assert_eq!(read.config(), &config);
        assert_eq!(read.vocab().tokens(), written.vocab().tokens());
        // Each of the files holds the vocabulary.
        for name in ["vocab.txt", "tokenizer.json"] {
            let vocab = Vocab::from_file(&dir.path().join(name)).unwrap();
            assert_eq!(vocab.hash(), written.vocab().hash(), "{name}");
        }
    }
}

/// `transformers` reads settings from tokenizer_config.json only, and lower-cases without it.
#[test]
fn settings_come_from_either_file_and_must_agree() {
    let dir = tempfile::tempdir().unwrap();
    let config = TokenizerConfig { case: Case::Cased, ..TokenizerConfig::default() };
    tokenizer(&TOKENS, config).write_pretrained(dir.path(), 128).unwrap();
    let read = || WordPiece::from_pretrained_dir(dir.path());
    let path = dir.path().join("tokenizer_config.json");
    let good = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(read().unwrap().config().case, Case::Cased, "from tokenizer.json");
    fs::write(&path, good.replace("\"do_lower_case\": false", "\"do_lower_case\": true")).unwrap();
    let error = read().unwrap_err().to_string();
    for word in ["tokenizer_config.json", "do_lower_case true", "lowercase false"] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn other_tokenizers_are_rejected() {
    let dir = tempfile::tempdir().unwrap();
    tokenizer(&TOKENS, TokenizerConfig::default()).write_pretrained(dir.path(), 128).unwrap();
    let rejected = |name: &str, key: &str, value: serde_json::Value, words: &[&str]| {
        let path = dir.path().join(name);
        let whole = fs::read_to_string(&path).unwrap();
        let mut file: serde_json::Value = serde_json::from_str(&whole).unwrap();
        let (parent, last) = key.rsplit_once('/').unwrap();
        file.pointer_mut(parent).unwrap()[last] = value;
        fs::write(&path, file.to_string()).unwrap();
        let error = WordPiece::from_pretrained_dir(dir.path()).unwrap_err().to_string();
        for word in words.iter().chain([&name]) {
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
        fs::write(&path, whole).unwrap();
    };
    let (json, config) = ("tokenizer.json", "tokenizer_config.json");
    rejected(json, "/model/type", "BPE".into(), &["model.type is \"BPE\"", "\"WordPiece\""]);
    rejected(json, "/model/continuing_subword_prefix", "@@".into(), &["\"@@\"", "\"##\""]);
    rejected(json, "/normalizer/type", "NFKC".into(), &["normalizer.type is \"NFKC\""]);
    rejected(json, "/normalizer/handle_chinese_chars", false.into(), &["false", "expected true"]);
    rejected(json, "/pre_tokenizer/type", "ByteLevel".into(), &["\"ByteLevel\""]);
    rejected(config, "/tokenize_chinese_chars", false.into(), &["tokenize_chinese_chars is false"]);
    rejected(config, "/word_tokenizer_type", "mecab".into(), &["\"mecab\"", "\"basic\""]);
    let other = vocab(&["other"]);
    other.write_vocab_txt(&dir.path().join("vocab.txt")).unwrap();
    let error = WordPiece::from_pretrained_dir(dir.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json: tokens differ from vocab.txt"), "{error}");
}

/// The `tokenizers` crate loads the file and gives the same ids, including special tokens.
#[test]
fn the_tokenizers_crate_reads_tokenizer_json() {
    let dir = tempfile::tempdir().unwrap();
    let ours = tokenizer(&TOKENS, TokenizerConfig::default());
    ours.write_pretrained(dir.path(), 128).unwrap();
    let theirs = tokenizers::Tokenizer::from_file(dir.path().join("tokenizer.json")).unwrap();
    let encoding = theirs.encode(("Caf\u{e9}s!", "cafe"), true).unwrap();
    assert_eq!(encoding.get_ids(), [2, 5, 6, 8, 3, 5, 3]);
    assert_eq!(encoding.get_type_ids(), [0, 0, 0, 0, 0, 1, 1]);
    assert_eq!(theirs.encode("[MASK] cafe", false).unwrap().get_ids(), [4, 5]);
    assert_eq!(ours.encode("Caf\u{e9}s!").unwrap(), [5, 6, 8]);
}

/// SHA-256 of "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", by coreutils' sha256sum.
#[test]
fn the_hash_is_the_sha256_of_vocab_txt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vocab.txt");
    let vocab = vocab(&[]);
    vocab.write_vocab_txt(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    assert_eq!(vocab.hash(), "cc75ba7f9a1247b5c7b9e37ba840347b96122bc1d7257b5dcd7320b36585445a");
}

/// The new file is written to a temporary one first: if that fails, the old file stays.
#[test]
#[cfg(unix)]
fn vocab_txt_is_replaced_atomically() {
    let dir = tempfile::tempdir().unwrap();
    let (path, link) = (dir.path().join("vocab.txt"), dir.path().join("link.txt"));
    vocab(&["old"]).write_vocab_txt(&path).unwrap();
    let last = || fs::read_to_string(&path).unwrap().lines().last().unwrap().to_owned();
    fs::create_dir(dir.path().join(".vocab.txt.tmp")).unwrap();
    let error = vocab(&["new"]).write_vocab_txt(&path).unwrap_err().to_string();
    assert!(error.contains("vocab.txt"), "{error}");
    assert_eq!(last(), "old");

    fs::remove_dir(dir.path().join(".vocab.txt.tmp")).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    vocab(&["new"]).write_vocab_txt(&link).unwrap();
    assert_eq!(last(), "new");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file is left");
}

#[track_caller]
fn rejected(name: &str, bytes: impl AsRef<[u8]>, words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    let message = Vocab::from_file(&path).unwrap_err().to_string();
    for word in words.iter().chain([&name]) {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[test]
fn invalid_vocabularies_are_rejected() {
    rejected("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", &["[MASK]"]);
    rejected("vocab.txt", "a\nb\n", &["[PAD], [UNK], [CLS], [SEP], [MASK]"]);
    rejected(
        "vocab.txt",
        "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\na\n",
        &["duplicate token \"a\"", "lines 6 and 8"],
    );
    rejected("vocab.txt", "[PAD]\n\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", &["line 2", "empty"]);
    rejected("vocab.txt", "", &["[PAD]"]);
    rejected("vocab.txt", b"[PAD]\n\xff\n", &["byte 6", "UTF-8"]);
    rejected("tokenizer.json", "{", &["EOF"]);
    rejected(
        "tokenizer.json",
        r#"{"model": {"vocab": {"[PAD]": 0, "a": 2}}}"#,
        &["\"a\"", "id 2", "expected 1"],
    );
    rejected("tokenizer.json", r#"{"model": {"vocab": {"[PAD]": 0, "a": 1}}}"#, &["[MASK]"]);
    let missing = Vocab::from_file("nowhere/vocab.txt".as_ref()).unwrap_err().to_string();
    assert!(missing.contains("nowhere/vocab.txt"), "{missing}");
}
