//! Checks of the output folder: it may replace only shards, and no file of the corpus.

use crate::{
    Corpus, Error, Result,
    index::{COUNTS, INDEX, TOKENIZER},
};
use electra_files::{Kind, read_json};
use serde_json::Value;
use std::{fs, path::Path};

/// A folder that has only shards.
pub(crate) struct Shards;

impl Kind for Shards {
    fn differs(&self, folder: &Path) -> Option<String> {
        // Also accepts an index of another version of the format.
        let index: Option<Value> = read_json(&folder.join(INDEX)).ok();
        if index.is_none_or(|index| index.get("vocab_hash").is_none()) {
            return Some(format!("has no {INDEX} of shards"));
        }
        let names = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names
            .find(|name| {
                ![INDEX, COUNTS, TOKENIZER].contains(&&**name) && !name.ends_with(".shard")
            })
            .map(|name| format!("also contains {name}"))
    }
}

/// Checks that the output folder has no file of the corpus.
///
/// # Errors
/// [`Error::CorpusInOutput`].
pub(crate) fn check_corpus(out: &Path, corpus: &Corpus) -> Result<()> {
    // A folder that does not exist contains nothing.
    let Ok(real) = fs::canonicalize(out) else { return Ok(()) };
    let root = fs::canonicalize(corpus.path()).map_err(Error::io(corpus.path()))?;
    let real_path = |file: &Path| root.join(file.strip_prefix(corpus.path()).unwrap_or(file));
    match corpus.files().iter().find(|file| real_path(file).starts_with(&real)) {
        None => Ok(()),
        Some(file) => Err(Error::CorpusInOutput { out: out.to_owned(), file: file.to_owned() }),
    }
}
