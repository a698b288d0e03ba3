//! Encoding of words: pieces, windows, and the position of each word's first piece.

use super::window::{Window, windows};
use crate::{
    batch::Input,
    error::Result,
    summary::{TextUnit, Truncated},
};
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

/// The encoded sentences.
#[derive(Debug)]
pub(super) struct EncodedSentences {
    /// Their windows; those of a sentence follow each other, so that the words of all inputs are all words in order.
    pub(super) inputs: Vec<Input>,
    pub(super) positions: Vec<WordPositions>,
    /// The words that are longer than an input.
    pub(super) truncated: Truncated,
}

/// The inputs of sentences, in order; `classes` are those of the words of each sentence, or empty.
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
) -> Result<EncodedSentences> {
    let encoded: Vec<(Vec<_>, Truncated)> = sentences
        .par_iter()
        .enumerate()
        .map(|(i, words)| {
            let classes = classes.get(i).map_or(&[][..], Vec::as_slice);
            sentence(tokenizer, words.as_ref(), classes, max_length)
        })
        .collect::<Result<_>>()?;
    let truncated =
        encoded.iter().map(|(_, truncated)| *truncated).reduce(Truncated::with).unwrap_or_default();
    let (inputs, positions) = encoded.into_iter().flat_map(|(windows, _)| windows).unzip();
    Ok(EncodedSentences { inputs, positions, truncated })
}

fn sentence<S: AsRef<str>>(
    tokenizer: &dyn Tokenizer,
    words: &[S],
    classes: &[usize],
    max_length: usize,
) -> Result<(Vec<(Input, WordPositions)>, Truncated)> {
    let special = tokenizer.vocab().special();
    let room = max_length - 2;
    let pieces = |word: &S| {
        let mut ids = tokenizer.encode(word.as_ref())?;
        if ids.is_empty() {
            ids.push(special.unk);
        }
        Ok(ids)
    };
    let mut pieces: Vec<Vec<u32>> = words.iter().map(pieces).collect::<Result<_>>()?;
    let lengths = pieces.iter().map(|word| word.len() + 2);
    let truncated = Truncated::of(TextUnit::Words, lengths, max_length);
    pieces.iter_mut().for_each(|word| word.truncate(room));
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
    Ok((windows(&lengths, room).into_iter().map(input).collect(), truncated))
}
