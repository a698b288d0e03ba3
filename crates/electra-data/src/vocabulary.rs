//! Trains a vocabulary on a corpus.

use crate::{Corpus, Error, Result, report::replaced};
use electra_tokenize::{Tokenizer, TokenizerConfig, TrainConfig, WordPiece, train_vocab};

/// A vocabulary with its settings.
#[derive(Debug)]
pub struct TrainedVocabulary {
    /// The tokenizer of the vocabulary; [`WordPiece::write_vocab`] writes both files.
    pub tokenizer: WordPiece,
    /// Bytes of invalid UTF-8 that were skipped.
    pub replaced_bytes: u64,
    /// Escapes of lone surrogates in JSON that were replaced.
    pub replaced_surrogates: u64,
}

impl TrainedVocabulary {
    /// What was skipped or ignored in the text.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = replaced(self.replaced_bytes, self.replaced_surrogates);
        warnings.extend_from_slice(self.tokenizer.vocab().notes());
        warnings
    }
}

/// Trains a vocabulary on the documents of a corpus. Calls `progress` with the bytes of text read.
///
/// # Errors
/// If the corpus cannot be read, or as [`train_vocab`].
pub fn train_vocabulary(
    corpus: &Corpus,
    tokenizer: &TokenizerConfig,
    train: &TrainConfig,
    progress: &mut dyn FnMut(u64),
) -> Result<TrainedVocabulary> {
    let (mut bytes, mut replaced_bytes, mut replaced_surrogates) = (0, 0, 0);
    let mut first = None;
    let texts = corpus.documents().map(|document| {
        let document = document?;
        first.get_or_insert_with(|| document.origin.clone());
        bytes += document.text.len() as u64;
        replaced_bytes += document.replaced_bytes;
        replaced_surrogates += document.replaced_surrogates;
        progress(bytes);
        Ok::<_, Error>(document.text)
    });
    let vocab = train_vocab(texts, tokenizer, train).map_err(|error| match (error, first) {
        // All words are too long, so the first line has one.
        (error @ electra_tokenize::Error::WordsTooLong { .. }, Some(origin)) => {
            let (path, line) = (origin.path.to_path_buf(), origin.line);
            Error::Record { path, line, message: error.to_string() }
        }
        (error, _) => error.into(),
    })?;
    let tokenizer = WordPiece::new(vocab, *tokenizer)?;
    Ok(TrainedVocabulary { tokenizer, replaced_bytes, replaced_surrogates })
}
