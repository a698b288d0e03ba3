//! Windows over sentences that are longer than an input.

use std::ops::Range;

#[cfg(test)]
mod tests;

/// A part of a sentence that fits into an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Its words.
    pub(super) words: Range<usize>,
    /// The words that are trained on and predicted in this window; every word belongs to one window.
    pub(super) own: Range<usize>,
}

/// Windows of at most `room` pieces over words with these numbers of pieces, each from 1 to `room`.
///
/// Windows overlap by up to half of `room`; a word in two windows belongs to the one with more context around it.
pub(super) fn windows(pieces: &[usize], room: usize) -> Vec<Window> {
    let mut starts = vec![0];
    for count in pieces {
        starts.push(starts[starts.len() - 1] + count);
    }
    let between = |words: Range<usize>| starts[words.end] - starts[words.start];
    let mut windows: Vec<Window> = Vec::new();
    let (mut start, mut end) = (0, 0);
    while end < pieces.len() {
        let before = start..end;
        if end > 0 {
            let fits =
                |&first: &usize| between(first..end) <= room / 2 && between(first..end + 1) <= room;
            start = (start + 1..end).find(fits).unwrap_or(end);
        }
        while end < pieces.len() && between(start..end + 1) <= room {
            end += 1;
        }
        // The first word in both windows that has more pieces before it here than after it in the last window.
        let more_here = |&word: &usize| between(start..word) > between(word + 1..before.end);
        let own = (start..before.end).find(more_here).unwrap_or(before.end);
        if let Some(last) = windows.last_mut() {
            last.own.end = own;
        }
        windows.push(Window { words: start..end, own: own..end });
    }
    windows.retain(|window| !window.own.is_empty());
    windows
}
