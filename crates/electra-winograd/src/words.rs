//! The words of a text, with their byte offsets.

use std::ops::Range;

/// A word of a text: letters and digits, or an apostrophe and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) range: Range<usize>,
    /// In lower case.
    pub(crate) key: String,
}

/// The words of a text.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        let apostrophe = matches!(c, '\'' | '\u{2019}');
        let in_word = chars.peek().is_some_and(|(_, next)| next.is_alphanumeric());
        if !(c.is_alphanumeric() || apostrophe && in_word) {
            continue;
        }
        let mut end = start + c.len_utf8();
        while let Some(&(at, next)) = chars.peek().filter(|(_, next)| next.is_alphanumeric()) {
            end = at + next.len_utf8();
            chars.next();
        }
        let key = text[start..end].to_lowercase().replace('\u{2019}', "'");
        words.push(Word { range: start..end, key });
    }
    words
}

/// The text from the first to the last of `words`.
pub(crate) fn text<'a>(text: &'a str, words: &[Word]) -> &'a str {
    match (words.first(), words.last()) {
        (Some(first), Some(last)) => &text[first.range.start..last.range.end],
        _ => "",
    }
}
