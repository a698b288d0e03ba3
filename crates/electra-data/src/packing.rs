//! Packs sentences into examples `[CLS] a [SEP] b [SEP]`, without losing text.

use crate::rng::{CounterRng, Purpose};
use serde::{Deserialize, Serialize};

/// Settings of packing; each of the reference's choices can be disabled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackingConfig {
    /// Maximum tokens per example, including special tokens.
    pub sequence_length: usize,
    /// Probability that an example has only one segment.
    pub single_segment: f64,
    /// Probability that an example has a random shorter length.
    pub short: f64,
}

impl PackingConfig {
    /// The reference's settings: 10 % single segments, 5 % short.
    pub fn reference(sequence_length: usize) -> Self {
        Self { sequence_length, single_segment: 0.1, short: 0.05 }
    }
}

/// One example without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`.
    pub ids: Vec<u32>,
    /// Start of the second segment; the length if there is none.
    pub second: usize,
}

/// Minimum length of an example: `[CLS]`, one token, `[SEP]`.
pub const SHORTEST: usize = 3;

/// Packs the sentences of one document into examples.
///
/// As in the reference, sentences are collected until a target length is reached. The first segment gets sentences up to
/// about half of it (all of them with probability `single_segment`), the second segment the rest. The target is
/// `sequence_length`, or with probability `short` uniform in 5 to `sequence_length`.
///
/// Source: reference `build_pretraining_dataset.py`, `ExampleBuilder`. Differences: text that does not fit continues in
/// the next example instead of being truncated, so no token is lost (the reference also truncates lines longer than an
/// example); a short example has exactly its target length (in the reference its last sentence is kept whole if it
/// fits); sentences keep their order (in the reference a later short one may come first); randomness is keyed by
/// (seed, document).
///
/// `cls` and `sep` are the ids of `[CLS]` and `[SEP]`.
pub fn pack_document(
    sentences: &[Vec<u32>],
    config: &PackingConfig,
    seed: u64,
    document: u64,
    (cls, sep): (u32, u32),
    mut emit: impl FnMut(Example),
) {
    let mut rng = CounterRng::new(seed, Purpose::Packing, document, 0);
    let mut rest = Remaining { sentences, sentence: 0, token: 0 };
    while rest.has_tokens() {
        let length = config.sequence_length;
        let target = match rng.coin(config.short) {
            true => 5.min(length) + rng.below((length - 5.min(length) + 1) as u64) as usize,
            false => length,
        };
        let single = rng.coin(config.single_segment);
        let first_target = if single { usize::MAX } else { (target.saturating_sub(3)) / 2 };

        let mut ids = vec![cls];
        let room = target.saturating_sub(2).max(1); // without [CLS] and one [SEP]
        let mut first = 0;
        while first < room && rest.has_tokens() {
            let sentence = rest.sentence_left();
            let fits = first == 0 || first + sentence < first_target;
            let take = fits || (first < first_target && rng.coin(0.5));
            if !take {
                break;
            }
            first += rest.take(room - first, &mut ids);
        }
        ids.push(sep);
        let second = ids.len();
        let mut left = room.saturating_sub(first + 1); // the second segment needs another [SEP]
        if !single && left > 0 && rest.has_tokens() {
            while left > 0 && rest.has_tokens() {
                left -= rest.take(left, &mut ids);
            }
            ids.push(sep);
        }
        emit(Example { second, ids });
    }
}

/// The tokens of a document that have not been packed yet.
struct Remaining<'a> {
    sentences: &'a [Vec<u32>],
    sentence: usize,
    token: usize,
}

impl Remaining<'_> {
    /// Advances to the next token; false if there is none.
    fn has_tokens(&mut self) -> bool {
        while self.sentences.get(self.sentence).is_some_and(|s| self.token >= s.len()) {
            self.sentence += 1;
            self.token = 0;
        }
        self.sentence < self.sentences.len()
    }

    /// Number of tokens left in the current sentence.
    fn sentence_left(&self) -> usize {
        self.sentences[self.sentence].len() - self.token
    }

    /// Moves up to `max` tokens of the current sentence to `ids`; returns how many.
    fn take(&mut self, max: usize, ids: &mut Vec<u32>) -> usize {
        let sentence = &self.sentences[self.sentence][self.token..];
        let taken = sentence.len().min(max);
        ids.extend_from_slice(&sentence[..taken]);
        self.token += taken;
        taken
    }
}
