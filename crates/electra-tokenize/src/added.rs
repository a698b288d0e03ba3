//! Reads added tokens, which `transformers` has written to several files over time.
//!
//! Source: transformers 5.23, `PreTrainedTokenizerBase._from_pretrained` and `TokenizersBackend.__init__`. There, the
//! tokens of tokenizer_config.json hide those of the other files; here, files that contradict each other are errors.

use crate::{Error, Result, Vocab};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use tokenizers::AddedToken;

/// A token as a file has it, with `transformers`' defaults.
#[derive(Deserialize)]
struct Written {
    id: Option<u32>,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    normalized: Option<bool>,
    #[serde(default)]
    special: bool,
}

/// The added tokens of several files.
#[derive(Default)]
pub(crate) struct Added {
    /// With the file and the id.
    tokens: Vec<(PathBuf, u32, AddedToken)>,
    /// Special tokens that are only named, with their ids in the vocabulary or the next ones.
    named: BTreeMap<String, (PathBuf, AddedToken)>,
}

impl Added {
    /// Reads `added_tokens` of tokenizer.json.
    pub(crate) fn list(&mut self, path: &Path, tokens: &[Value]) -> Result<()> {
        tokens.iter().try_for_each(|token| {
            let (id, token) = parse(path, "added_tokens", token, false)?;
            let id = id.ok_or_else(|| lacks_id(path, &token))?;
            self.add(path, id, token)
        })
    }

    /// Reads `added_tokens_decoder` of tokenizer_config.json, `{"ID": {"content": "TOKEN", ..}}`.
    pub(crate) fn decoder(&mut self, path: &Path, decoder: &BTreeMap<String, Value>) -> Result<()> {
        const KEY: &str = "added_tokens_decoder";
        decoder.iter().try_for_each(|(id, token)| {
            let invalid = |_| Error::format(path, format!("{KEY}: {id:?} is not an id"));
            let number: u32 = id.parse().map_err(invalid)?;
            self.add(path, number, parse(path, KEY, token, false)?.1)
        })
    }

    /// Reads a special token or a list of them: `"TOKEN"` or `{"content": "TOKEN", ..}`.
    pub(crate) fn names(&mut self, path: &Path, key: &str, value: &Value) -> Result<()> {
        let tokens: Vec<&Value> = match value {
            Value::Null => Vec::new(),
            Value::Array(tokens) => tokens.iter().collect(),
            Value::Object(names) if !names.contains_key("content") => names.values().collect(),
            token => vec![token],
        };
        for token in tokens {
            let (_, token) = parse(path, key, token, true)?;
            self.named.entry(token.content.clone()).or_insert((path.to_owned(), token));
        }
        Ok(())
    }

    /// Reads added_tokens.json, `{"TOKEN": ID}`, after the names of special tokens.
    pub(crate) fn ids(&mut self, path: &Path, ids: BTreeMap<String, u32>) -> Result<()> {
        ids.into_iter().try_for_each(|(content, id)| {
            let known = self.tokens.iter().find(|(_, _, token)| token.content == content);
            let token = match (known, self.named.get(&content)) {
                (Some((_, _, token)), _) | (None, Some((_, token))) => token.clone(),
                (None, None) => AddedToken::from(content, false),
            };
            self.add(path, id, token)
        })
    }

    fn add(&mut self, path: &Path, id: u32, token: AddedToken) -> Result<()> {
        let same = |(_, _, other): &&(PathBuf, u32, AddedToken)| other.content == token.content;
        match self.tokens.iter().find(same) {
            Some((_, other_id, other)) if (*other_id, other) == (id, &token) => Ok(()),
            Some((other_path, other_id, other)) => {
                let message = format!(
                    "added token {:?} differs from that of {}: correct one of the files\n  id {id}, {token:?}\n  id {other_id}, \
                     {other:?}",
                    token.content,
                    other_path.display()
                );
                Err(Error::format(path, message))
            }
            None => {
                self.tokens.push((path.to_owned(), id, token));
                Ok(())
            }
        }
    }

    /// The vocabulary with these tokens.
    ///
    /// # Errors
    /// An id that is not the token's: that of another token, or not the next one.
    pub(crate) fn apply(mut self, vocab: Vocab) -> Result<Vocab> {
        self.tokens.sort_by_key(|(_, id, _)| *id);
        let listed: Vec<_> = self.tokens.iter().map(|(_, _, token)| token.clone()).collect();
        self.named.retain(|content, _| listed.iter().all(|token| token.content != *content));
        let named = self.named.into_values().map(|(_, token)| token);
        let vocab = vocab.with_added(listed.into_iter().chain(named))?;
        for (path, id, token) in self.tokens {
            let own = vocab.id(&token.content);
            if own != Some(id) {
                let own = own.map_or("none".to_owned(), |own| own.to_string());
                let message = format!(
                    "added token {:?} has id {id}, but gets {own} in the vocabulary: a token of the vocabulary keeps its id, \
                     and the others follow without gaps",
                    token.content
                );
                return Err(Error::format(path, message));
            }
        }
        Ok(vocab)
    }
}

fn lacks_id(path: &Path, token: &AddedToken) -> Error {
    Error::format(path, format!("added token {:?} has no id", token.content))
}

fn parse(
    path: &Path,
    key: &str,
    value: &Value,
    special: bool,
) -> Result<(Option<u32>, AddedToken)> {
    if let Value::String(content) = value {
        return Ok((None, AddedToken::from(content.as_str(), special)));
    }
    let written = Written::deserialize(value);
    let written = written.map_err(|e| Error::format(path, format!("{key}: {e}")))?;
    let Written { id, content, single_word, lstrip, rstrip, normalized, special: own } = written;
    let special = special || own;
    let normalized = normalized.unwrap_or(!special);
    Ok((id, AddedToken { content, single_word, lstrip, rstrip, normalized, special }))
}
