//! Trains a vocabulary on a corpus.

use crate::{Corpus, Error, Result};
use electra_tokenize::{TokenizerConfig, TrainConfig, Vocab, train_vocab};

/// Trains a vocabulary on the documents of a corpus. Calls `progress` with the bytes of text read. Returns the vocabulary
/// and the number of bytes of invalid UTF-8 that were skipped.
///
/// # Errors
/// If the corpus cannot be read, or as [`train_vocab`].
pub fn train_vocabulary(
    corpus: &Corpus,
    tokenizer: &TokenizerConfig,
    train: &TrainConfig,
    progress: &mut dyn FnMut(u64),
) -> Result<(Vocab, u64)> {
    let (mut bytes, mut replaced) = (0, 0);
    let texts = corpus.documents().map(|document| {
        let document = document?;
        bytes += document.text.len() as u64;
        replaced += document.replaced_bytes;
        progress(bytes);
        Ok::<_, Error>(document.text)
    });
    let vocab = train_vocab(texts, tokenizer, train)?;
    Ok((vocab, replaced))
}
