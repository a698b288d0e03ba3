//! Adds words to a vocabulary.

use crate::{Error, Result, SpecialTokens, Tokenizer, Vocab, WordPiece};
use std::collections::BTreeSet;

/// The ids of new words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// After all others.
    Append,
    /// Those of `[unused0]`, `[unused1]`, .., in their order. The size of the vocabulary stays.
    Unused,
}

/// A word that a vocabulary got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWord {
    /// The normalized word.
    pub word: String,
    /// Its id.
    pub id: u32,
    /// The ids of its pieces in the old vocabulary; `[UNK]` if that has not all of its characters.
    pub pieces: Vec<u32>,
}

/// Whether a token is a placeholder of BERT's vocabularies: `[unused0]`, `[unused1]`, ..
pub fn is_unused(token: &str) -> bool {
    let number = token.strip_prefix("[unused").and_then(|rest| rest.strip_suffix(']'));
    number.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

impl WordPiece {
    /// The tokenizer with further words, and where they are. Other words get the same ids as before, unless they begin with
    /// a new word.
    ///
    /// # Errors
    /// [`Error::NewWords`] lists the words that the vocabulary has, that it cannot have (special tokens, words that are
    /// split at punctuation or white space, words over the limit), and duplicates; [`Error::FewUnused`].
    pub fn extend<S: AsRef<str>>(
        &self,
        words: &[S],
        placement: Placement,
    ) -> Result<(Self, Vec<NewWord>)> {
        let vocab = self.vocab();
        let (mut new, mut seen, mut problems) = (Vec::new(), BTreeSet::new(), Vec::new());
        for raw in words.iter().map(AsRef::as_ref) {
            match self.checked(raw) {
                Ok(word) if !seen.insert(word.clone()) => {
                    problems.push(format!("{raw:?} is a duplicate"));
                }
                Ok(word) => new.push(NewWord { pieces: self.encode(raw)?, word, id: 0 }),
                Err(NotNew::Problem(problem)) => problems.push(format!("{raw:?} {problem}")),
                Err(NotNew::Error(error)) => return Err(error),
            }
        }
        if !problems.is_empty() {
            return Err(Error::NewWords { problems });
        }
        let mut tokens = match placement {
            // Added tokens that are no pieces become pieces, so that they keep their ids.
            Placement::Append => vocab.tokens().to_vec(),
            Placement::Unused => vocab.pieces().to_vec(),
        };
        let ids: Vec<usize> = match placement {
            Placement::Append => (tokens.len()..).take(new.len()).collect(),
            Placement::Unused => {
                let added = |id: usize| vocab.added().iter().any(|(at, _)| *at as usize == id);
                (0..tokens.len()).filter(|&id| is_unused(&tokens[id]) && !added(id)).collect()
            }
        };
        if ids.len() < new.len() {
            return Err(Error::FewUnused { words: new.len(), unused: ids.len() });
        }
        tokens.resize(tokens.len().max(ids.last().map_or(0, |last| last + 1)), String::new());
        for (word, id) in new.iter_mut().zip(ids) {
            word.id = id as u32;
            tokens[id].clone_from(&word.word);
        }
        let added = vocab.added().iter().map(|(_, token)| token.clone());
        let extended = Vocab::from_tokens(tokens)?.with_added(added)?;
        Ok((Self::new(extended, *self.config())?, new))
    }

    /// The normalized word, if the vocabulary can have it and does not.
    fn checked(&self, raw: &str) -> std::result::Result<String, NotNew> {
        let problem = |text: String| Err(NotNew::Problem(text));
        let is_added = self.vocab().added().iter().any(|(_, token)| token.content == raw);
        if SpecialTokens::TEXTS.contains(&raw) || is_unused(raw) || is_added {
            return problem("is a special token".to_owned());
        }
        let words = self.normalized_words(raw).map_err(NotNew::Error)?;
        let [word] = words.as_slice() else {
            return problem(match words.as_slice() {
                [] => "has no text".to_owned(),
                words => format!(
                    "is split into {words:?}: a word of the vocabulary has no punctuation and no white space"
                ),
            });
        };
        let (characters, limit) = (word.chars().count(), self.config().max_chars_per_word);
        if characters > limit {
            return problem(format!(
                "has {characters} characters, more than the word limit of {limit}"
            ));
        }
        match self.vocab().id(word) {
            Some(id) => problem(format!("is in the vocabulary: {word:?} has id {id}")),
            None => Ok(word.clone()),
        }
    }
}

/// Why a word is not added.
enum NotNew {
    Problem(String),
    Error(Error),
}
