//! The crate's error type.

use electra_files::final_path;
use std::path::PathBuf;

/// Errors of vocabularies and tokenizers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written, or a path has something else.
    #[error(transparent)]
    Files(#[from] electra_files::Error),
    /// A file does not have the expected format.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and what is expected.
        message: String,
    },
    /// A vocabulary lacks special tokens.
    #[error("{origin}: missing special tokens {}; a vocabulary needs [PAD], [UNK], [CLS], [SEP] and [MASK]", missing.join(", "))]
    MissingSpecial {
        /// The file, or "the vocabulary".
        origin: String,
        /// The missing tokens.
        missing: Vec<String>,
    },
    /// An added token that a vocabulary cannot have.
    #[error("added token {token:?} {message}")]
    Added {
        /// The token.
        token: String,
        /// What is wrong.
        message: &'static str,
    },
    /// A setting that a caller requires is not that of the vocabulary.
    #[error(
        "{}: the vocabulary has {key} = {recorded}, but {given} is required: remove the option, or train a vocabulary with it",
        path.display()
    )]
    Contradiction {
        /// The file with the setting.
        path: PathBuf,
        /// The setting, a field of [`crate::TokenizerConfig`].
        key: &'static str,
        /// Its value in the file.
        recorded: String,
        /// The value that is required.
        given: String,
    },
    /// Words that a vocabulary has or cannot have.
    #[error("{} words cannot be added to the vocabulary:\n  {}", problems.len(), problems.join("\n  "))]
    NewWords {
        /// Each word with the reason.
        problems: Vec<String>,
    },
    /// A vocabulary has fewer placeholders than there are new words.
    #[error(
        "the vocabulary has {unused} tokens such as [unused0], too few for {words} words: add fewer, or leave out --unused"
    )]
    FewUnused {
        /// Number of new words.
        words: usize,
        /// Number of placeholders.
        unused: usize,
    },
    /// The vocabulary size is too small for the alphabet.
    #[error("vocabulary size {size} is too small for the 5 special tokens and the {alphabet} characters of the corpus; use at least {}", alphabet + 5)]
    TooSmall {
        /// The requested size.
        size: usize,
        /// Number of characters, counting those that start a word and those that continue one separately.
        alphabet: usize,
    },
    /// The corpus has no words.
    #[error("the corpus is empty: there is no text to train a vocabulary on")]
    NoText,
    /// All words of the corpus are longer than the limit.
    #[error(
        "all {words} words of the corpus are longer than {limit} characters, such as {example:?} of {characters}: set \
         --max-chars-per-word to the longest word, or separate the words with spaces"
    )]
    WordsTooLong {
        /// Number of words.
        words: u64,
        /// [`crate::TokenizerConfig::max_chars_per_word`].
        limit: usize,
        /// The start of one of the words.
        example: String,
        /// Its length.
        characters: usize,
    },
    /// The corpus could not be read.
    #[error("{0}")]
    Corpus(Box<dyn std::error::Error + Send + Sync>),
    /// The `tokenizers` crate returned an error.
    #[error("tokenizers: {0}")]
    Tokenizers(Box<dyn std::error::Error + Send + Sync>),
}

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn format(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::Format { path: final_path(path), message: message.to_string() }
    }
}
