//! Encoding of words: pieces, windows, and the position of each word's first piece.

use super::window::{Window, windows};
use crate::{batch::Input, error::Result};
use electra_tokenize::Tokenizer;
use rayon::prelude::*;

/// The words that are trained on and predicted in a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WordPositions {
    /// The positions of their first pieces in the input, in order.
    pub positions: Vec<usize>,
    /// Their classes; empty if they are to be predicted.
    pub classes: Vec<usize>,
}

/// The inputs of sentences, in order; `classes` are those of the words of each sentence, or empty. The windows of a
/// sentence follow each other, so that the words of all inputs are all words in order.
///
/// A word without pieces (a control character) becomes `[UNK]`; one that is longer than an input is truncated.
///
/// # Errors
/// If the tokenizer fails on a word.
pub(super) fn encode<S: AsRef<str> + Sync>(
    tokenizer: &dyn Tokenizer,
    sentences: &[impl AsRef<[S]> + Sync],
    classes: &[Vec<usize>],
    max_length: usize,
) -> Result<Vec<(Input, WordPositions)>> {
    let encoded: Vec<Vec<_>> = sentences
        .par_iter()
        .enumerate()
        .map(|(i, words)| {
            let classes = classes.get(i).map_or(&[][..], Vec::as_slice);
            sentence(tokenizer, words.as_ref(), classes, max_length)
        })
        .collect::<Result<_>>()?;
    Ok(encoded.into_iter().flatten().collect())
}

fn sentence<S: AsRef<str>>(
    tokenizer: &dyn Tokenizer,
    words: &[S],
    classes: &[usize],
    max_length: usize,
) -> Result<Vec<(Input, WordPositions)>> {
    let special = tokenizer.vocab().special();
    let room = max_length - 2;
    let pieces = |word: &S| {
        let mut ids = tokenizer.encode(word.as_ref())?;
        if ids.is_empty() {
            ids.push(special.unk);
        }
        ids.truncate(room);
        Ok(ids)
    };
    let pieces: Vec<Vec<u32>> = words.iter().map(pieces).collect::<Result<_>>()?;
    let lengths: Vec<usize> = pieces.iter().map(Vec::len).collect();
    let input = |window: Window| {
        let (mut ids, mut words) = (vec![special.cls], WordPositions::default());
        for word in window.words {
            if window.own.contains(&word) {
                words.positions.push(ids.len());
                words.classes.extend(classes.get(word));
            }
            ids.extend(&pieces[word]);
        }
        ids.push(special.sep);
        (Input { segment_b_start: ids.len(), ids }, words)
    };
    Ok(windows(&lengths, room).into_iter().map(input).collect())
}
