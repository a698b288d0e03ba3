//! `tokenizer.json`, as Hugging Face's `tokenizers` writes it for BERT.

use crate::{Error, Result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// What is read of a `tokenizer.json`.
#[derive(Deserialize)]
pub(crate) struct TokenizerJson {
    pub(crate) model: Model,
    pub(crate) normalizer: Option<Normalizer>,
}

/// BERT's normalizer; others have no `lowercase`.
#[derive(Deserialize)]
pub(crate) struct Normalizer {
    pub(crate) lowercase: Option<bool>,
    #[serde(default)]
    pub(crate) strip_accents: Option<bool>,
}

/// Its vocabulary.
#[derive(Deserialize)]
pub(crate) struct Model {
    vocab: BTreeMap<String, u32>,
    pub(crate) max_input_chars_per_word: Option<usize>,
}

/// What BERT's tokenizer has, where a `tokenizer.json` says it; another value is another tokenizer.
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
    /// Reads the text of the file `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self> {
        parsed(text, path, &TOKENIZER_JSON)
    }

    /// The tokens by their ids, which must be 0, 1, 2, …
    pub(crate) fn tokens(&self, path: &Path) -> Result<Vec<String>> {
        let mut by_id: Vec<_> = self.model.vocab.iter().map(|(token, id)| (*id, token)).collect();
        by_id.sort();
        if let Some(((id, token), place)) =
            by_id.iter().zip(0..).find(|((id, _), place)| id != place)
        {
            let message = format!(
                "token {token:?} has id {id} where {place} was expected: ids must be 0, 1, 2, … without gaps"
            );
            return Err(Error::format(path, message));
        }
        Ok(by_id.into_iter().map(|(_, token)| token.clone()).collect())
    }
}

/// Reads a file of another tokenizer's settings, if they are all ones that are known here.
pub(crate) fn parsed<T: DeserializeOwned>(
    text: &str,
    path: &Path,
    known: &[(&str, &str)],
) -> Result<T> {
    let value: Value = serde_json::from_str(text).map_err(|e| Error::format(path, e))?;
    for (key, expected) in known {
        let found = value.pointer(key).filter(|found| !found.is_null()).map(Value::to_string);
        if let Some(found) = found.filter(|found| found != expected) {
            let key = key.trim_start_matches('/').replace('/', ".");
            let message =
                format!("{key} is {found}; BERT's tokenizer alone is read, which has {expected}");
            return Err(Error::format(path, message));
        }
    }
    serde_json::from_value(value).map_err(|e| Error::format(path, e))
}
