//! Ids and offsets equal those of transformers' BERT tokenizer, recorded in tests/fixtures/tokens by
//! `tests/python/gen_tokens.py`.

use electra_tokenize::{Accents, Case, Tokenizer, TokenizerConfig, Vocab, WordPiece};
use serde::{Deserialize, de::DeserializeOwned};
use std::{fs, path::PathBuf};

#[derive(Deserialize)]
struct Cases {
    texts: Vec<String>,
    settings: Vec<Setting>,
}

#[derive(Deserialize)]
struct Setting {
    lower: bool,
    strip_accents: Option<bool>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    ids: Vec<u32>,
    /// In characters.
    offsets: Vec<(usize, usize)>,
}

#[derive(Deserialize)]
struct RealVocab {
    ids: Vec<Vec<u32>>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tokens")
}

fn json<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

#[test]
fn ids_and_offsets_equal_those_of_transformers() {
    let Cases { texts, settings } = json("cases.json");
    assert!(texts.len() >= 30 && settings.len() == 6, "the fixture is complete");
    for Setting { lower, strip_accents, rows } in settings {
        let config = TokenizerConfig {
            case: if lower { Case::Uncased } else { Case::Cased },
            accents: match strip_accents {
                None => Accents::Auto,
                Some(true) => Accents::Strip,
                Some(false) => Accents::Keep,
            },
            max_chars_per_word: 100,
        };
        let tokenizer = WordPiece::from_file(&folder().join("vocab.txt"), &config.into()).unwrap();
        assert_eq!(rows.len(), texts.len());
        for (text, row) in texts.iter().zip(&rows) {
            let found = tokenizer.encode_with_offsets(text).unwrap();
            let character = |byte: usize| text[..byte].chars().count();
            let ids: Vec<u32> = found.iter().map(|(id, _)| *id).collect();
            let offsets: Vec<_> =
                found.iter().map(|(_, r)| (character(r.start), character(r.end))).collect();
            assert_eq!(ids, row.ids, "{text:?} with {config:?}");
            assert_eq!(offsets, row.offsets, "{text:?} with {config:?}");
            assert_eq!(tokenizer.encode(text).unwrap(), row.ids, "{text:?} with {config:?}");
        }
    }
}

/// The vocabulary of BERT is not distributed with this repository: set `ELECTRA_BERT_VOCAB=/path/to/vocab.txt`.
#[test]
fn ids_with_the_bert_vocabulary_equal_those_of_transformers() {
    let Some(path) = std::env::var_os("ELECTRA_BERT_VOCAB") else {
        eprintln!("skipped: set ELECTRA_BERT_VOCAB to the vocab.txt of bert-base-uncased");
        return;
    };
    let Cases { texts, .. } = json("cases.json");
    let RealVocab { ids } = json("bert-uncased.json");
    let vocab = Vocab::from_file(path.as_ref()).unwrap();
    assert_eq!(vocab.len(), 30_522, "bert-base-uncased");
    let tokenizer = WordPiece::new(vocab, TokenizerConfig::default()).unwrap();
    assert_eq!(ids.len(), texts.len());
    for (text, ids) in texts.iter().zip(ids) {
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
    }
}
