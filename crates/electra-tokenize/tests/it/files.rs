//! Reading and writing vocab.txt, tokenizer.json and tokenizer_config.json, and errors in them.

use crate::{tokenizer, vocab};
use electra_tokenize::{
    Accents, AddedToken, Case, Tokenizer, TokenizerConfig, TokenizerOptions, Vocab, WordPiece,
    record_path,
};
use serde_json::json;
use std::{fs, path::Path};

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
    rejected("vocab.txt", "", &["the file is empty"]);
    rejected("vocab.txt", "<!DOCTYPE html>\n<html></html>\n", &["the file is an HTML page"]);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n";
    rejected("vocab.txt", pointer, &["is a Git LFS pointer", "git lfs pull"]);
    rejected("vocab.txt", b"[PAD]\n\xff\n", &["byte 6", "UTF-8"]);
    rejected("tokenizer.json", "{", &["EOF"]);
    rejected(
        "tokenizer.json",
        r#"{"model": {"vocab": {"[PAD]": 0, "a": 2000000000}}}"#,
        &["\"a\"", "id 2000000000", "only 2 tokens"],
    );
    rejected(
        "tokenizer.json",
        r#"{"model": {"vocab": {"[PAD]": 0, "a": 1, "b": 1}}}"#,
        &["\"a\" and \"b\" have id 1"],
    );
    rejected("tokenizer.json", r#"{"model": {"vocab": {"[PAD]": 0, "a": 1}}}"#, &["[MASK]"]);
    let missing = Vocab::from_file("nowhere/vocab.txt".as_ref()).unwrap_err().to_string();
    assert!(missing.contains("nowhere/vocab.txt"), "{missing}");
}

/// Ids by `load_vocab` of transformers 5.23: only the line end is removed, an empty line keeps its id, and a duplicate token
/// has its last id. A byte order mark is removed here, so that the first token is found.
#[test]
fn only_line_ends_are_removed_and_every_line_has_an_id() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vocab.txt");
    let text =
        "\u{feff}[PAD]\n[UNK]\n\n[CLS]\r\n[SEP]\n[MASK]\n\u{2028}\n\u{3000}x\na \n\nb\na\nb\n\n";
    fs::write(&path, text).unwrap();
    let read = Vocab::from_file(&path).unwrap();
    let expected = [
        ("[PAD]", 0),
        ("[UNK]", 1),
        ("[CLS]", 3),
        ("[SEP]", 4),
        ("[MASK]", 5),
        ("\u{2028}", 6),
        ("\u{3000}x", 7),
        ("a ", 8),
        ("b", 12),
        ("a", 11),
    ];
    for (token, id) in expected {
        assert_eq!((read.id(token), read.token(id)), (Some(id), Some(token)));
    }
    assert_eq!((read.len(), read.rows()), (14, 13));
    for empty in [2, 9, 10, 13, 14] {
        assert_eq!(read.token(empty), None);
    }
    let notes = read.notes().join("\n");
    for word in ["\"b\" on lines 11 and 13", "without a token (3), such as 2", "white space (3)"] {
        assert!(notes.contains(word), "{word:?} is not in {notes:?}");
    }

    // All files have the same ids, and the `tokenizers` crate numbers an added token after them.
    let added = read.clone().with_added([AddedToken::from("[E1]", true)]).unwrap();
    assert_eq!(added.id("[E1]"), Some(14));
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let written = WordPiece::new(added, TokenizerConfig::default()).unwrap();
    written.write_pretrained(&out, 16).unwrap();
    assert_eq!(written.encode("b[E1]a").unwrap(), [12, 14, 11]);
    let theirs = tokenizers::Tokenizer::from_file(out.join("tokenizer.json")).unwrap();
    assert_eq!(theirs.encode("b[E1]a", false).unwrap().get_ids(), [12, 14, 11]);
    for name in ["", "vocab.txt", "tokenizer.json"] {
        let again = Vocab::from_file(&out.join(name)).unwrap();
        assert_eq!(again.hash(), written.vocab().hash(), "{name}");
    }
    fs::remove_file(out.join("vocab.txt")).unwrap();
    assert_eq!(Vocab::from_file(&out).unwrap().hash(), written.vocab().hash());
}

/// The record is written beside the vocabulary, and whoever reads the vocabulary uses it.
#[test]
fn a_vocabulary_has_a_record_of_its_settings() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        TokenizerConfig { case: Case::Cased, accents: Accents::Keep, max_chars_per_word: 300 };
    for (name, record) in
        [("vocab.txt", "tokenizer_config.json"), ("german.txt", "german.tokenizer_config.json")]
    {
        let path = dir.path().join(name);
        tokenizer(&TOKENS, config).write_vocab(&path).unwrap();
        assert_eq!(record_path(&path), dir.path().join(record));
        assert!(dir.path().join(record).is_file());
        assert_eq!(TokenizerOptions::recorded(&path).unwrap(), config.into());
        let read = |options| WordPiece::from_file(&path, &options);
        assert_eq!(*read(TokenizerOptions::default()).unwrap().config(), config);
        assert_eq!(*read(config.into()).unwrap().config(), config);
        let contradicts = |options: TokenizerOptions, words: &[&str]| {
            let error = read(options).unwrap_err().to_string();
            for word in words.iter().chain([&record]) {
                assert!(error.contains(word), "{word:?} is not in {error:?}");
            }
        };
        let none = TokenizerOptions::default();
        let case = TokenizerOptions { case: Some(Case::Uncased), ..none };
        contradicts(case, &["case = cased, but uncased"]);
        let accents = TokenizerOptions { accents: Some(Accents::Strip), ..none };
        contradicts(accents, &["accents = keep, but strip"]);
        let limit = TokenizerOptions { max_chars_per_word: Some(100), ..none };
        contradicts(limit, &["max_chars_per_word = 300, but 100"]);
        // In cased text, `auto` keeps accents too.
        read(TokenizerOptions { accents: Some(Accents::Auto), ..none }).unwrap();
    }
    // A vocabulary without a record has the settings that are given, or the defaults.
    let path = dir.path().join("other.txt");
    vocab(&TOKENS).write_vocab_txt(&path).unwrap();
    assert_eq!(TokenizerOptions::recorded(&path).unwrap(), TokenizerOptions::default());
    let default = WordPiece::from_file(&path, &TokenizerOptions::default()).unwrap();
    assert_eq!(*default.config(), TokenizerConfig::default());
    assert_eq!(*WordPiece::from_file(&path, &config.into()).unwrap().config(), config);
}

/// A text with its ids and offsets.
type Encoded = (&'static str, &'static [u32], &'static [(usize, usize)]);

/// Ids and offsets (in characters) by transformers 5.23, whose `[MASK]` in a text would be the special token.
#[track_caller]
fn encodes(dir: &Path, cases: &[Encoded]) {
    let tokenizer = WordPiece::from_pretrained_dir(dir).unwrap();
    for (text, ids, offsets) in cases {
        assert_eq!(tokenizer.encode(text).unwrap(), *ids, "{text:?}");
        let characters = |bytes: usize| text[..bytes].chars().count();
        let found = tokenizer.encode_with_offsets(text).unwrap().into_iter();
        let found: Vec<_> = found.map(|(_, r)| (characters(r.start), characters(r.end))).collect();
        assert_eq!(found, *offsets, "{text:?}");
    }
}

#[test]
fn added_tokens_are_those_of_transformers() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = [
        "the",
        "house",
        "was",
        "glad",
        "##s",
        "foo",
        "e",
        "##1",
        "[",
        "]",
        "1",
        "##bar",
        "unused",
        "[unused1]",
        "bar",
        "f",
    ];
    vocab(&tokens).write_vocab_txt(&dir.path().join("vocab.txt")).unwrap();
    let plain = |content: &str| {
        json!({
            "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true,
        })
    };
    let with = |content: &str, changes: &[(&str, bool)]| {
        let mut token = plain(content);
        changes.iter().for_each(|(key, value)| token[*key] = (*value).into());
        token
    };
    let config = json!({
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": true,
        "added_tokens_decoder": {
            "21": plain("[E1]"),
            "22": with("<L>", &[("lstrip", true)]),
            "23": with("<R>", &[("rstrip", true)]),
            "24": with("Word", &[("single_word", true), ("normalized", true), ("special", false)]),
            "25": with("Caf\u{c9}", &[("normalized", true), ("special", false)]),
            "18": plain("[unused1]"),
        },
    });
    fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    let cases: [Encoded; 8] = [
        (
            "[E1] the house [E1]was glad",
            &[21, 5, 6, 21, 7, 8],
            &[(0, 4), (5, 8), (9, 14), (15, 19), (19, 22), (23, 27)],
        ),
        (
            "the  <L>  house <R>  was",
            &[5, 22, 6, 23, 7],
            &[(0, 3), (3, 8), (10, 15), (16, 21), (21, 24)],
        ),
        (
            "word words aword WORD, Word.",
            &[24, 1, 1, 24, 1, 24, 1],
            &[(0, 4), (5, 10), (11, 16), (17, 21), (21, 22), (23, 27), (27, 28)],
        ),
        (
            "a cafe CAF\u{c9} cafe\u{301}s",
            &[1, 25, 25, 25, 1],
            &[(0, 1), (2, 6), (7, 11), (12, 16), (17, 18)],
        ),
        (
            "the[unused1]house [e1]",
            &[5, 18, 6, 13, 11, 12, 14],
            &[(0, 3), (3, 12), (12, 17), (18, 19), (19, 20), (20, 21), (21, 22)],
        ),
        ("[E1][E1]", &[21, 21], &[(0, 4), (4, 8)]),
        ("  <L><R>  ", &[22, 23], &[(0, 5), (5, 10)]),
        ("<L> <L>", &[22, 22], &[(0, 3), (3, 7)]),
    ];
    encodes(dir.path(), &cases);
    // They are kept when the tokenizer is written, and by either file.
    let written = WordPiece::from_pretrained_dir(dir.path()).unwrap();
    assert_eq!((written.vocab().len(), written.vocab().pieces().len()), (26, 21));
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    written.write_pretrained(&out, 64).unwrap();
    encodes(&out, &cases);
    fs::remove_file(out.join("tokenizer_config.json")).unwrap();
    encodes(&out, &cases);
    fs::remove_file(out.join("vocab.txt")).unwrap();
    encodes(&out, &cases);
    // The added tokens in vocab.txt, too.
    fs::write(out.join("vocab.txt"), written.vocab().tokens().join("\n")).unwrap();
    encodes(&out, &cases);
    // A word that is only an added token is not a piece of words.
    assert!(!written.vocab().pieces().contains(&"Word".to_owned()));
    assert_eq!(written.decode(&[5, 21, 9]), "the [E1]s");
}

/// Ids by transformers 5.23.
#[test]
fn added_tokens_of_older_files_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, value: serde_json::Value| {
        fs::write(dir.path().join(name), value.to_string()).unwrap();
    };
    let tokens = ["the", "house", "e", "##1", "[", "]", "1"];
    vocab(&tokens).write_vocab_txt(&dir.path().join("vocab.txt")).unwrap();
    write("tokenizer_config.json", json!({"do_lower_case": true}));
    write("added_tokens.json", json!({"[E1]": 12, "Xy": 13}));
    let map =
        json!({"cls_token": "[CLS]", "additional_special_tokens": ["[E1]", {"content": "[E2]"}]});
    write("special_tokens_map.json", map);
    encodes(
        dir.path(),
        &[(
            "[E1] the house [E2] XY",
            &[12, 5, 6, 14, 13],
            &[(0, 4), (5, 8), (9, 14), (15, 19), (20, 22)],
        )],
    );
    let read = WordPiece::from_pretrained_dir(dir.path()).unwrap();
    let found: Vec<_> =
        read.vocab().added().iter().map(|(id, t)| (*id, t.special, t.normalized)).collect();
    assert_eq!(found, [(12, true, false), (13, false, true), (14, true, false)]);

    fs::remove_file(dir.path().join("added_tokens.json")).unwrap();
    fs::remove_file(dir.path().join("special_tokens_map.json")).unwrap();
    write(
        "tokenizer_config.json",
        json!({"do_lower_case": true, "extra_special_tokens": ["[E2]"]}),
    );
    encodes(dir.path(), &[("[E2]the", &[12, 5], &[(0, 4), (4, 7)])]);
}

#[test]
fn contradicting_added_tokens_are_rejected() {
    let dir = tempfile::tempdir().unwrap();
    vocab(&["a", "b"]).write_vocab_txt(&dir.path().join("vocab.txt")).unwrap();
    let rejected = |ids: serde_json::Value, decoder: serde_json::Value, words: &[&str]| {
        fs::write(dir.path().join("added_tokens.json"), ids.to_string()).unwrap();
        let config = json!({"added_tokens_decoder": decoder}).to_string();
        fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
        let error = WordPiece::from_pretrained_dir(dir.path()).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
    };
    let (none, token) = (json!({}), json!({"content": "[E1]", "special": true}));
    rejected(
        json!({"[E1]": 9}),
        none.clone(),
        &["added_tokens.json", "\"[E1]\" has id 9", "gets 7"],
    );
    rejected(json!({"b": 5}), none.clone(), &["\"b\" has id 5", "gets 6"]);
    rejected(json!({"[SEP]": 7}), none.clone(), &["\"[SEP]\" has id 7", "gets 3"]);
    let both = ["added_tokens.json", "tokenizer_config.json", "id 8", "id 7"];
    rejected(json!({"[E1]": 8}), json!({"7": token}), &both);
    rejected(none.clone(), json!({"7": {"id": 7}}), &["added_tokens_decoder", "content"]);
    rejected(none, json!({"seven": token}), &["tokenizer_config.json", "\"seven\" is not an id"]);
}

/// A folder without a vocabulary, or of another kind, is an error that says what is missing or what to do.
#[test]
fn a_folder_without_a_vocabulary_is_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let fails = |name: &str, files: &[&str], words: &[&str]| {
        let folder = dir.path().join(name);
        for file in files {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(file), "{}").unwrap();
        }
        let message = WordPiece::from_pretrained_dir(&folder).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "{word:?} is not in {message:?}");
        }
    };
    let none = ["no vocabulary", "vocab.txt or tokenizer.json"];
    fails("model", &["config.json"], &none);
    fails("tokenizer", &["tokenizer_config.json"], &none);
    fails(
        "xlnet",
        &["config.json", "spiece.model"],
        &["spiece.model is the vocabulary of another"],
    );
    fails("run", &["config.toml", "manifest.json"], &["is a run folder", "electra export"]);
    fails("modle", &[], &["modle does not exist; did you mean", "/model?"]);
}
