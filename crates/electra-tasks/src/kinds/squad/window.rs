//! Contexts as tokens with their places in the text, answers as spans of tokens, and windows over long contexts.

use crate::error::Result;
use electra_scores::squad::Answer;
use electra_tokenize::WordPiece;
use std::ops::Range;

/// A context's tokens with the bytes that each stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    text: String,
    ids: Vec<u32>,
    bytes: Vec<Range<usize>>,
}

/// Why an answer is no span of its context's tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misaligned {
    /// The start is behind the context's end.
    #[error("answer_start {start} is beyond the {characters} characters of the context")]
    Outside {
        /// The answer's start.
        start: usize,
        /// Characters of the context.
        characters: usize,
    },
    /// Something else stands there.
    #[error("at answer_start {start} is {found:?}, not the answer {answer:?}{elsewhere}")]
    Other {
        /// The answer's start.
        start: usize,
        /// What stands there.
        found: String,
        /// The answer.
        answer: String,
        /// Where the answer does stand, or that it does not.
        elsewhere: String,
    },
    /// It has no character that a token stands for.
    #[error("the answer {answer:?} at answer_start {start} has no token")]
    NoToken {
        /// The answer's start.
        start: usize,
        /// The answer.
        answer: String,
    },
}

impl Context {
    /// The tokens of `text`, without special ones.
    ///
    /// # Errors
    /// If the tokenizer cannot read the text.
    pub fn new(tokenizer: &WordPiece, text: &str) -> Result<Self> {
        let (ids, bytes) = tokenizer.encode_with_offsets(text)?.into_iter().unzip();
        Ok(Self { text: text.to_owned(), ids, bytes })
    }

    /// Ids of the tokens.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The text from the first of `tokens` to the last, as it is written; nothing for no tokens.
    pub fn text(&self, tokens: Range<usize>) -> &str {
        match self.bytes.get(tokens) {
            Some([first, .., last]) => &self.text[first.start..last.end],
            Some([only]) => &self.text[only.clone()],
            _ => "",
        }
    }

    /// Characters of the text before a token.
    pub fn characters_before(&self, token: usize) -> usize {
        let end = self.bytes.get(token).map_or(self.text.len(), |bytes| bytes.start);
        self.text[..end].chars().count()
    }

    /// The fewest tokens that cover an answer: all that stand for one of its characters.
    ///
    /// # Errors
    /// If the answer does not stand where it says, or has no token.
    ///
    /// Departs from the reference, which looks for the answer's own tokens among those of the words around it, and
    /// lets an answer through whose case or white space is another.
    pub fn align(&self, answer: &Answer) -> std::result::Result<Range<usize>, Misaligned> {
        let Answer { text, start } = answer;
        let mut places = self.text.char_indices().map(|(byte, _)| byte);
        let Some(begin) = places.nth(*start) else {
            let characters = self.text.chars().count();
            return Err(Misaligned::Outside { start: *start, characters });
        };
        let rest = &self.text[begin..];
        if !rest.starts_with(text.as_str()) {
            let found: String = rest.chars().take(text.chars().count()).collect();
            let elsewhere = match self.text.find(text.as_str()) {
                Some(byte) => {
                    format!(", which is at {}", self.text[..byte].chars().count())
                }
                None => ", which the context does not have".to_owned(),
            };
            let answer = text.clone();
            return Err(Misaligned::Other { start: *start, found, answer, elsewhere });
        }
        let end = begin + text.len();
        let covers = |bytes: &Range<usize>| bytes.start < end && bytes.end > begin;
        match (self.bytes.iter().position(covers), self.bytes.iter().rposition(covers)) {
            // An empty answer has no character, though it may stand within a token.
            (Some(first), Some(last)) if !text.is_empty() => Ok(first..last + 1),
            _ => Err(Misaligned::NoToken { start: *start, answer: text.clone() }),
        }
    }
}

/// Windows of at most `room` tokens over `tokens`, each at most `stride` after the one before, until one has the
/// last token; one empty window for no tokens.
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

/// The window in which `token` has the most context: the smaller of those left and right of it, and a hundredth of
/// the window's length; the first of equals.
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
