//! Splits documents into sentences.

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

/// How sentences are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Sentences {
    /// One sentence per line, as in the reference.
    Line,
    /// Unicode sentence boundaries (UAX 29) within paragraphs. Paragraphs are separated by blank lines, so sentences may
    /// span hard-wrapped lines.
    Unicode,
}

/// Splits a document into non-empty sentences.
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

/// Splits a text at blank lines.
fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").flat_map(|part| part.split("\r\n\r\n"))
}

/// UAX 29 ends a sentence at every line break. This joins a piece that ends with a line break, but without sentence-final
/// punctuation, with the next one.
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
