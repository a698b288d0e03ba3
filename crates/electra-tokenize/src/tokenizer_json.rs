//! Reads the `tokenizer.json` of a BERT tokenizer.

use crate::{Error, Result, vocab::placeholder};
use electra_files::parse_json;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// The fields of `tokenizer.json` that are used.
#[derive(Deserialize)]
pub(crate) struct TokenizerJson {
    pub(crate) model: Model,
    pub(crate) normalizer: Option<Normalizer>,
    #[serde(default)]
    pub(crate) added_tokens: Vec<Value>,
}

/// BERT's normalizer. Other normalizers have no `lowercase`.
#[derive(Deserialize)]
pub(crate) struct Normalizer {
    pub(crate) lowercase: Option<bool>,
    #[serde(default)]
    pub(crate) strip_accents: Option<bool>,
}

/// The vocabulary and the word limit.
#[derive(Deserialize)]
pub(crate) struct Model {
    vocab: BTreeMap<String, u32>,
    pub(crate) max_input_chars_per_word: Option<usize>,
}

/// Values that a BERT `tokenizer.json` must have where the key is present.
const TOKENIZER_JSON: [(&str, &str); 7] = [
    ("/model/type", "\"WordPiece\""),
    ("/model/continuing_subword_prefix", "\"##\""),
    ("/model/unk_token", "\"[UNK]\""),
    ("/normalizer/type", "\"BertNormalizer\""),
    ("/normalizer/clean_text", "true"),
    ("/normalizer/handle_chinese_chars", "true"),
    ("/pre_tokenizer/type", "\"BertPreTokenizer\""),
];

impl TokenizerJson {
    /// Parses the text of the file `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self> {
        parse(text, path, &TOKENIZER_JSON)
    }

    /// The tokens in the order of their ids. Ids that the file does not have get an empty string: the table of a vocabulary
    /// with duplicate tokens or empty lines lacks some.
    ///
    /// # Errors
    /// An id of two tokens, or more ids missing than present.
    pub(crate) fn tokens(&self, path: &Path) -> Result<Vec<String>> {
        let mut by_id: Vec<_> = self.model.vocab.iter().map(|(token, id)| (*id, token)).collect();
        by_id.sort();
        if let Some(both) = by_id.windows(2).find(|both| both[0].0 == both[1].0) {
            let (id, first, second) = (both[0].0, both[0].1, both[1].1);
            return Err(Error::format(
                path,
                format!("tokens {first:?} and {second:?} have id {id}"),
            ));
        }
        let Some(&(last, token)) = by_id.last() else { return Ok(Vec::new()) };
        if last as usize >= 2 * by_id.len() + 1000 {
            let message = format!(
                "token {token:?} has id {last}, but the file has only {} tokens",
                by_id.len()
            );
            return Err(Error::format(path, message));
        }
        let mut tokens = vec![String::new(); last as usize + 1];
        for (id, token) in by_id.into_iter().filter(|(id, token)| **token != placeholder(*id)) {
            tokens[id as usize].clone_from(token);
        }
        Ok(tokens)
    }
}

/// Parses JSON, and checks that it has the `required` values of a BERT tokenizer.
pub(crate) fn parse<T: DeserializeOwned>(
    text: &str,
    path: &Path,
    required: &[(&str, &str)],
) -> Result<T> {
    let value: Value = parse_json(text, path)?;
    for (key, expected) in required {
        let found = value.pointer(key).filter(|found| !found.is_null()).map(Value::to_string);
        if let Some(found) = found.filter(|found| found != expected) {
            let key = key.trim_start_matches('/').replace('/', ".");
            let message = format!(
                "{key} is {found}, expected {expected}: only BERT tokenizers are supported"
            );
            return Err(Error::format(path, message));
        }
    }
    serde_json::from_value(value).map_err(|e| Error::format(path, e))
}
