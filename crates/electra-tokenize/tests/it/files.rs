//! vocab.txt, tokenizer.json and tokenizer_config.json: in, out, and what is wrong with them.

use crate::{tokenizer, vocab};
use electra_tokenize::{Accents, Case, Tokenizer, TokenizerConfig, Vocab, WordPiece};
use std::fs;

const TOKENS: [&str; 4] = ["cafe", "##s", "##t\u{e9}", "!"];

#[test]
fn what_is_written_is_what_is_read() {
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
        // Either file alone has the vocabulary.
        for name in ["vocab.txt", "tokenizer.json"] {
            let vocab = Vocab::from_file(&dir.path().join(name)).unwrap();
            assert_eq!(vocab.hash(), written.vocab().hash(), "{name}");
        }
    }
}

/// `transformers` goes by tokenizer_config.json alone, and lower-cases where there is none.
#[test]
fn settings_are_where_they_are_and_must_agree() {
    let dir = tempfile::tempdir().unwrap();
    let config = TokenizerConfig { case: Case::Cased, ..TokenizerConfig::default() };
    tokenizer(&TOKENS, config).write_pretrained(dir.path(), 128).unwrap();
    let read = || WordPiece::from_pretrained_dir(dir.path());
    let path = dir.path().join("tokenizer_config.json");
    let good = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(read().unwrap().config().case, Case::Cased, "tokenizer.json says so");
    fs::write(&path, good.replace("\"do_lower_case\": false", "\"do_lower_case\": true")).unwrap();
    let error = read().unwrap_err().to_string();
    for word in ["tokenizer_config.json", "do_lower_case true", "normalizer has false"] {
        assert!(error.contains(word), "{error}");
    }
}

/// Another tokenizer's files are not read as if they were BERT's.
#[test]
fn other_tokenizers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    tokenizer(&TOKENS, TokenizerConfig::default()).write_pretrained(dir.path(), 128).unwrap();
    let refused = |name: &str, key: &str, value: serde_json::Value, words: &[&str]| {
        let path = dir.path().join(name);
        let whole = fs::read_to_string(&path).unwrap();
        let mut file: serde_json::Value = serde_json::from_str(&whole).unwrap();
        let (above, last) = key.rsplit_once('/').unwrap();
        file.pointer_mut(above).unwrap()[last] = value;
        fs::write(&path, file.to_string()).unwrap();
        let error = WordPiece::from_pretrained_dir(dir.path()).unwrap_err().to_string();
        for word in words.iter().chain([&name]) {
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
        fs::write(&path, whole).unwrap();
    };
    let (json, config) = ("tokenizer.json", "tokenizer_config.json");
    refused(json, "/model/type", "BPE".into(), &["model.type is \"BPE\"", "\"WordPiece\""]);
    refused(json, "/model/continuing_subword_prefix", "@@".into(), &["\"@@\"", "\"##\""]);
    refused(json, "/normalizer/type", "NFKC".into(), &["normalizer.type is \"NFKC\""]);
    refused(json, "/normalizer/handle_chinese_chars", false.into(), &["false", "has true"]);
    refused(json, "/pre_tokenizer/type", "ByteLevel".into(), &["\"ByteLevel\""]);
    refused(config, "/tokenize_chinese_chars", false.into(), &["tokenize_chinese_chars is false"]);
    refused(config, "/word_tokenizer_type", "mecab".into(), &["\"mecab\"", "\"basic\""]);
    let other = vocab(&["other"]);
    other.write_vocab_txt(&dir.path().join("vocab.txt")).unwrap();
    let error = WordPiece::from_pretrained_dir(dir.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json: has other tokens than vocab.txt"), "{error}");
}

/// The `tokenizers` crate reads the file and gives the same ids, special tokens included.
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
fn the_hash_is_that_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vocab.txt");
    let vocab = vocab(&[]);
    vocab.write_vocab_txt(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    assert_eq!(vocab.hash(), "cc75ba7f9a1247b5c7b9e37ba840347b96122bc1d7257b5dcd7320b36585445a");
}

/// The new file is written beside the old one: where that cannot be done, the old one stays.
#[test]
#[cfg(unix)]
fn a_vocabulary_is_replaced_whole_or_not_at_all() {
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
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left beside");
}

#[track_caller]
fn refused(name: &str, bytes: impl AsRef<[u8]>, words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    let message = Vocab::from_file(&path).unwrap_err().to_string();
    for word in words.iter().chain([&name]) {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[test]
fn vocabularies_that_are_none() {
    refused("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", &["[MASK]"]);
    refused("vocab.txt", "a\nb\n", &["[PAD], [UNK], [CLS], [SEP], [MASK]"]);
    refused(
        "vocab.txt",
        "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\na\n",
        &["\"a\"", "line 6", "line 8"],
    );
    refused("vocab.txt", "[PAD]\n\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", &["line 2", "empty"]);
    refused("vocab.txt", "", &["[PAD]"]);
    refused("vocab.txt", b"[PAD]\n\xff\n", &["byte 6", "UTF-8"]);
    refused("tokenizer.json", "{", &["EOF"]);
    refused(
        "tokenizer.json",
        r#"{"model": {"vocab": {"[PAD]": 0, "a": 2}}}"#,
        &["\"a\"", "2", "1 was expected"],
    );
    refused("tokenizer.json", r#"{"model": {"vocab": {"[PAD]": 0, "a": 1}}}"#, &["[MASK]"]);
    let missing = Vocab::from_file("nowhere/vocab.txt".as_ref()).unwrap_err().to_string();
    assert!(missing.contains("nowhere/vocab.txt"), "{missing}");
}
