//! Contexts as tokens with offsets, answers as spans of tokens, and windows over long contexts.

use crate::error::Result;
use electra_scores::squad::Answer;
use electra_tokenize::WordPiece;
use std::ops::Range;

/// A context with its tokens and their byte offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    text: String,
    ids: Vec<u32>,
    bytes: Vec<Range<usize>>,
}

/// Why an answer is not a span of its context's tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misaligned {
    /// The answer has no start.
    #[error("the answer {answer:?} has no answer_start")]
    NoStart {
        /// The answer.
        answer: String,
    },
    /// The start is not in the context.
    #[error(
        "answer_start {start} is not a place in the context, which has {characters} characters"
    )]
    Outside {
        /// The answer's start.
        start: i64,
        /// The number of characters in the context.
        characters: usize,
    },
    /// The context has another text there.
    #[error(
        "the context has {found:?} at answer_start {start}, not the answer {answer:?}{elsewhere}"
    )]
    Other {
        /// The answer's start.
        start: usize,
        /// The text of the context there.
        found: String,
        /// The answer.
        answer: String,
        /// Where the answer occurs, for the message.
        elsewhere: String,
    },
    /// None of its characters belongs to a token.
    #[error("the answer {answer:?} at answer_start {start} has no tokens")]
    NoToken {
        /// The answer's start.
        start: usize,
        /// The answer.
        answer: String,
    },
}

impl Context {
    /// The tokens of `text`, without special tokens.
    ///
    /// # Errors
    /// If the tokenizer fails on the text.
    pub fn new(tokenizer: &WordPiece, text: &str) -> Result<Self> {
        let (ids, bytes) = tokenizer.encode_with_offsets(text)?.into_iter().unzip();
        Ok(Self { text: text.to_owned(), ids, bytes })
    }

    /// The ids of the tokens.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The original text from the first to the last of `tokens`; empty for no tokens.
    pub fn text(&self, tokens: Range<usize>) -> &str {
        match self.bytes.get(tokens) {
            Some([first, .., last]) => &self.text[first.start..last.end],
            Some([only]) => &self.text[only.clone()],
            _ => "",
        }
    }

    /// The number of characters before a token.
    pub fn characters_before(&self, token: usize) -> usize {
        let end = self.bytes.get(token).map_or(self.text.len(), |bytes| bytes.start);
        self.text[..end].chars().count()
    }

    /// The tokens of an answer: all that overlap with its characters.
    ///
    /// # Errors
    /// If the answer is not at its `answer_start`, or has no token.
    ///
    /// Departs from the reference, which searches for the answer's tokens among those of the words around it, and
    /// accepts an answer with different case or white space.
    pub fn align(&self, answer: &Answer) -> std::result::Result<Range<usize>, Misaligned> {
        let Answer { text, start } = answer;
        let start = start.ok_or_else(|| Misaligned::NoStart { answer: text.clone() })?;
        let mut places = self.text.char_indices().map(|(byte, _)| byte);
        let place = usize::try_from(start).ok();
        let Some((start, begin)) = place.and_then(|place| Some((place, places.nth(place)?))) else {
            let characters = self.text.chars().count();
            return Err(Misaligned::Outside { start, characters });
        };
        let rest = &self.text[begin..];
        if !rest.starts_with(text.as_str()) {
            let found: String = rest.chars().take(text.chars().count()).collect();
            let elsewhere = match self.text.find(text.as_str()) {
                Some(byte) => {
                    format!(", which starts at {}", self.text[..byte].chars().count())
                }
                None => ", which does not occur in the context".to_owned(),
            };
            let answer = text.clone();
            return Err(Misaligned::Other { start, found, answer, elsewhere });
        }
        let end = begin + text.len();
        let covers = |bytes: &Range<usize>| bytes.start < end && bytes.end > begin;
        match (self.bytes.iter().position(covers), self.bytes.iter().rposition(covers)) {
            // An empty answer can be within a token, but has no character.
            (Some(first), Some(last)) if !text.is_empty() => Ok(first..last + 1),
            _ => Err(Misaligned::NoToken { start, answer: text.clone() }),
        }
    }
}

/// Windows of at most `room` tokens over `tokens`, each starting at most `stride` after the one before, until a window
/// has the last token; one empty window for no tokens.
///
/// Source: reference `finetune/qa/qa_tasks.py`, `featurize`; there a context without tokens has no window, and its
/// question no prediction.
pub fn windows(tokens: usize, room: usize, stride: usize) -> Vec<Range<usize>> {
    let mut windows = Vec::new();
    let mut start = 0;
    loop {
        let end = tokens.min(start + room);
        windows.push(start..end);
        if end == tokens {
            return windows;
        }
        start += stride.min(end - start);
    }
}

/// The window in which `token` has the most context: the smaller number of tokens left or right of it, plus a hundredth
/// of the window's length; the first one if there is a tie.
///
/// Source: reference `finetune/qa/qa_tasks.py`, `_check_is_max_context`.
pub fn most_context(windows: &[Range<usize>], token: usize) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (number, window) in windows.iter().enumerate().filter(|(_, w)| w.contains(&token)) {
        let around = (token - window.start).min(window.end - 1 - token);
        let score = around as f64 + 0.01 * window.len() as f64;
        if best.is_none_or(|(_, highest)| score > highest) {
            best = Some((number, score));
        }
    }
    best.map(|(number, _)| number)
}
