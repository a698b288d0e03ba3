//! From words to inputs: pieces, windows, and where each word's first piece is.

use super::window::windows;
use crate::{Result, batch::Feature};
use electra_tokenize::Tokenizer;
use rayon::prelude::*;
use std::sync::Arc;

/// What a window teaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagTarget {
    /// Where the first pieces of its own words are in the input, in order.
    pub places: Vec<usize>,
    /// The classes of these words; none where they are to be predicted.
    pub classes: Vec<usize>,
}

/// The inputs of sentences, in order; `classes` are those of the words of each, or none at all. The windows of a
/// sentence follow each other, so all their words together are all words in order.
///
/// A word without a piece (a control character) is `[UNK]`; one that is longer than an input is cut.
///
/// # Errors
/// If the tokenizer cannot read a word.
pub(super) fn encode<S: AsRef<str> + Sync>(
    tokenizer: &dyn Tokenizer,
    sentences: &[impl AsRef<[S]> + Sync],
    classes: &[Vec<usize>],
    max_length: usize,
) -> Result<Vec<Arc<Feature<TagTarget>>>> {
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
) -> Result<Vec<Arc<Feature<TagTarget>>>> {
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
    let feature = |window: super::window::Window| {
        let (mut ids, mut target) = (vec![special.cls], TagTarget::default());
        for word in window.words {
            if window.own.contains(&word) {
                target.places.push(ids.len());
                target.classes.extend(classes.get(word));
            }
            ids.extend(&pieces[word]);
        }
        ids.push(special.sep);
        Arc::new(Feature { segment_b_start: ids.len(), ids, target })
    };
    Ok(windows(&lengths, room).into_iter().map(feature).collect())
}
