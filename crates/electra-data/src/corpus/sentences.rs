//! What a sentence is.

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

/// What a sentence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sentences {
    /// One a line: the reference's rule, for corpora that are divided already.
    Line,
    /// Unicode's sentence boundaries (UAX 29) within paragraphs; paragraphs are divided by blank lines, so
    /// that sentences may run over hard-wrapped lines.
    Unicode,
}

/// The sentences of a document; none is empty.
pub fn split_sentences(text: &str, sentences: Sentences) -> Vec<&str> {
    let not_blank = |s: &&str| !s.trim().is_empty();
    match sentences {
        Sentences::Line => text.lines().filter(not_blank).collect(),
        Sentences::Unicode => paragraphs(text)
            .flat_map(|paragraph| joined_sentences(paragraph))
            .filter(not_blank)
            .collect(),
    }
}

/// Parts of a text between blank lines.
fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").flat_map(|part| part.split("\r\n\r\n"))
}

/// UAX 29 ends a sentence at every line break; a break in the middle of a sentence is joined again: a piece
/// that ends in a line break without a full stop before it goes on in the next one.
fn joined_sentences(paragraph: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut end = 0;
    for piece in paragraph.split_sentence_bounds() {
        end += piece.len();
        let trimmed = piece.trim_end();
        let closed = trimmed
            .trim_end_matches(['"', '\'', ')', ']', '”', '’', '»'])
            .ends_with(['.', '!', '?', '…', '。', '！', '？', ':']);
        if closed || piece.len() == trimmed.len() {
            sentences.push(&paragraph[start..end]);
            start = end;
        }
    }
    if start < end {
        sentences.push(&paragraph[start..end]);
    }
    sentences
}
