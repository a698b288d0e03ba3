//! Chooses the held-out text: a share of the tokens, as whole documents drawn by the seed.
//!
//! In each chunk of the corpus, documents are drawn in a random order and held out if the share of all text so far allows
//! it. So the share is met up to one document, no document dominates the held-out text, and memory is bounded. Only if this
//! finds less than half of the share, the last chunk gives a longer document, or a part of one.

use crate::{
    Result, Split,
    corpus::{Document, Sentences, split_sentences},
    report::largest,
    rng::{CounterRng, Purpose},
};
use electra_tokenize::{Tokenizer, WordPiece};
use rayon::prelude::*;
use std::{cmp::Reverse, ops::Range};

/// A document of a chunk, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Number of the document in the corpus.
    pub(crate) document: u64,
    pub(crate) tokens: u64,
    /// Whether the rest of a long document is elsewhere. Such a document is never held out.
    pub(crate) is_part: bool,
}

/// The choice for the text so far.
#[derive(Debug)]
pub(crate) struct HeldOut {
    share: f64,
    seed: u64,
    /// Tokens so far.
    all: u64,
    /// How many of these are held out.
    held_out: u64,
}

impl HeldOut {
    pub(crate) fn new(share: f64, seed: u64) -> Self {
        Self { share, seed, all: 0, held_out: 0 }
    }

    /// The split of each document of the next chunk.
    pub(crate) fn choose(&mut self, chunk: &[Candidate]) -> Vec<Split> {
        self.all += chunk.iter().map(|c| c.tokens).sum::<u64>();
        let mut splits = vec![Split::Train; chunk.len()];
        for at in self.order(chunk) {
            if (self.held_out + chunk[at].tokens) as f64 <= self.wanted() {
                splits[at] = Split::HeldOut;
                self.held_out += chunk[at].tokens;
            }
        }
        splits
    }

    /// Tokens that are still missing, if the documents so far have less than half of the share.
    pub(crate) fn missing(&self) -> Option<u64> {
        let wanted = self.wanted();
        let enough =
            self.share == 0.0 || (self.held_out > 0 && self.held_out as f64 >= wanted / 2.0);
        (!enough).then(|| (wanted as u64).saturating_sub(self.held_out).max(1))
    }

    /// A document of the last chunk that exceeds the share, but not [`largest`], and leaves text for training.
    pub(crate) fn longer(&self, chunk: &[Candidate], splits: &[Split]) -> Option<usize> {
        let most = self.all as f64 * largest(self.share);
        let fits = |at: &usize| {
            let held_out = self.held_out + chunk[*at].tokens;
            held_out as f64 <= most && held_out < self.all
        };
        self.order(chunk).into_iter().find(|at| splits[*at] == Split::Train && fits(at))
    }

    /// The shortest document, if another one remains for training.
    pub(crate) fn shortest(&self, chunk: &[Candidate]) -> Option<usize> {
        let shortest = self.order(chunk).into_iter().min_by_key(|at| chunk[*at].tokens);
        shortest.filter(|at| chunk[*at].tokens < self.all)
    }

    /// Documents that a part may be taken from: one that a random token belongs to, and then the others, the longest first.
    pub(crate) fn by_length(&self, chunk: &[Candidate], splits: &[Split]) -> Vec<usize> {
        let mut places: Vec<usize> =
            (0..chunk.len()).filter(|at| splits[*at] == Split::Train).collect();
        places.sort_by_key(|at| Reverse(chunk[*at].tokens));
        let all: u64 = places.iter().map(|at| chunk[*at].tokens).sum();
        let mut rng = CounterRng::new(self.seed, Purpose::HeldOut, u64::MAX, 1);
        let mut token = rng.below(all.max(1));
        let drawn = places.iter().position(|at| {
            let within = token < chunk[*at].tokens;
            token = token.saturating_sub(chunk[*at].tokens);
            within
        });
        if let Some(drawn) = drawn {
            places[..=drawn].rotate_right(1);
        }
        places
    }

    /// Documents of a chunk that may be held out, in the order of random numbers.
    fn order(&self, chunk: &[Candidate]) -> Vec<usize> {
        let key = |at: &usize| {
            CounterRng::new(self.seed, Purpose::HeldOut, chunk[*at].document, 0).next_u64()
        };
        let mut order: Vec<usize> =
            (0..chunk.len()).filter(|at| !chunk[*at].is_part && chunk[*at].tokens > 0).collect();
        order.sort_by_key(key);
        order
    }

    fn wanted(&self) -> f64 {
        self.share * self.all as f64
    }
}

/// The bytes of a part of a document with about `tokens` tokens, at a place drawn by the seed. It has whole sentences, or
/// whole lines if the document has only one sentence. None if it has only one line.
pub(crate) fn part(
    document: &Document,
    sentences: Sentences,
    tokenizer: &WordPiece,
    tokens: u64,
    seed: u64,
) -> Result<Option<Range<usize>>> {
    let text = document.text.as_str();
    let lengths = |sentences| -> Result<Vec<(usize, u64)>> {
        let pieces = split_sentences(text, sentences);
        let length = |piece: &&str| {
            let start = piece.as_ptr() as usize - text.as_ptr() as usize;
            Ok((start, tokenizer.encode(piece)?.len() as u64))
        };
        let lengths: Vec<_> = pieces.par_iter().map(length).collect::<Result<_>>()?;
        Ok(lengths.into_iter().filter(|(_, tokens)| *tokens > 0).collect())
    };
    let mut pieces = lengths(sentences)?;
    if pieces.len() < 2 {
        pieces = lengths(Sentences::Line)?;
    }
    if pieces.len() < 2 {
        return Ok(None);
    }
    let all: u64 = pieces.iter().map(|(_, tokens)| tokens).sum();
    let wanted = tokens.min(all / 2).max(1);
    // For each first piece, the shortest run of pieces with enough tokens.
    let (mut runs, mut end, mut sum) = (Vec::new(), 0, 0);
    for (first, (_, tokens)) in pieces.iter().enumerate() {
        while sum < wanted && end < pieces.len() {
            sum += pieces[end].1;
            end += 1;
        }
        if sum < wanted {
            break;
        }
        runs.push((first, end, sum));
        sum -= tokens;
    }
    let shortest = runs.iter().map(|(.., sum)| *sum).min().unwrap_or(all);
    runs.retain(|(.., sum)| *sum <= shortest.max(2 * wanted));
    let mut rng = CounterRng::new(seed, Purpose::HeldOut, u64::MAX, 0);
    let (first, end, _) = runs[rng.below(runs.len() as u64) as usize];
    let end = pieces.get(end).map_or(text.len(), |(start, _)| *start);
    Ok(Some(pieces[first].0..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks of documents of 1 to 100 tokens: after each chunk, the share is met up to one document.
    #[test]
    fn the_share_is_met_after_each_chunk() {
        let mut held_out = HeldOut::new(0.05, 3);
        let (mut all, mut found, mut document) = (0, 0, 0);
        for _ in 0..20 {
            let chunk: Vec<Candidate> = (0..500)
                .map(|i| {
                    document += 1;
                    Candidate { document, tokens: 1 + (document * 37 + i) % 100, is_part: false }
                })
                .collect();
            let splits = held_out.choose(&chunk);
            for (candidate, split) in chunk.iter().zip(splits) {
                all += candidate.tokens;
                found += if split == Split::HeldOut { candidate.tokens } else { 0 };
            }
            let wanted = 0.05 * all as f64;
            assert!(found as f64 <= wanted && found as f64 > wanted - 100.0, "{found} of {all}");
        }
        assert_eq!(held_out.missing(), None);
    }

    /// A document that exceeds the share so far is held out once the text before it is long enough; parts never are.
    #[test]
    fn long_documents_need_a_long_text() {
        let mut held_out = HeldOut::new(0.1, 1);
        let chunk = |is_part| [Candidate { document: 0, tokens: 100, is_part }; 1];
        for _ in 0..9 {
            assert_eq!(held_out.choose(&chunk(false)), [Split::Train]);
        }
        assert_eq!(held_out.choose(&chunk(true)), [Split::Train]);
        assert_eq!(held_out.missing(), Some(100));
        assert_eq!(held_out.choose(&chunk(false)), [Split::HeldOut]);
        assert_eq!(held_out.missing(), None);
    }
}
