//! Sentences to examples `[CLS] a [SEP] b [SEP]`, without losing text.

use crate::rng::{CounterRng, Purpose};
use serde::{Deserialize, Serialize};

/// The reference's choices, each switchable.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackingConfig {
    /// Tokens of an example at most, special ones included.
    pub sequence_length: usize,
    /// Probability that an example is one segment.
    pub single_segment: f64,
    /// Probability that an example is cut to a random shorter length.
    pub short: f64,
}

impl PackingConfig {
    /// The reference's: 10 % single segments, 5 % short.
    pub fn reference(sequence_length: usize) -> Self {
        Self { sequence_length, single_segment: 0.1, short: 0.05 }
    }
}

/// One example without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`.
    pub ids: Vec<u32>,
    /// Where the second segment starts; the length if there is none.
    pub second: usize,
}

/// Shortest example: `[CLS]`, one token, `[SEP]`.
pub const SHORTEST: usize = 3;

/// Packs one document's sentences into examples.
///
/// As the reference: sentences are gathered until a target length is reached; the first segment gets
/// sentences up to about half of it (all with probability `single_segment`), the second the rest; the next
/// target is `sequence_length`, or with probability `short` uniform in 5 to `sequence_length`.
///
/// Source: reference `build_pretraining_dataset.py`, `ExampleBuilder`. Departures: what does not fit is
/// carried over to the next example instead of cut off, so that no token is lost (the reference also loses
/// the tails of lines longer than an example); a short example has its target length exactly (there its last
/// sentence is kept whole where it fits); sentences keep their order (there a later short one may come
/// first); random choices are keyed by (seed, document).
///
/// `cls` and `sep` are the ids put around segments.
pub fn pack_document(
    sentences: &[Vec<u32>],
    config: &PackingConfig,
    seed: u64,
    document: u64,
    (cls, sep): (u32, u32),
    mut emit: impl FnMut(Example),
) {
    let mut rng = CounterRng::new(seed, Purpose::Packing, document, 0);
    let mut rest = Rest { sentences, sentence: 0, token: 0 };
    while rest.has_tokens() {
        let length = config.sequence_length;
        let target = match rng.coin(config.short) {
            true => 5.min(length) + rng.below((length - 5.min(length) + 1) as u64) as usize,
            false => length,
        };
        let single = rng.coin(config.single_segment);
        let first_target = if single { usize::MAX } else { (target.saturating_sub(3)) / 2 };

        let mut ids = vec![cls];
        let room = target.saturating_sub(2).max(1); // beside [CLS] and one [SEP]
        let mut first = 0;
        while first < room && rest.has_tokens() {
            let sentence = rest.sentence_left();
            let fits = first == 0 || first + sentence < first_target;
            let may = fits || (first < first_target && rng.coin(0.5));
            if !may {
                break;
            }
            first += rest.take(room - first, &mut ids);
        }
        ids.push(sep);
        let second = ids.len();
        let mut left = room.saturating_sub(first + 1); // the second segment costs one more [SEP]
        if !single && left > 0 && rest.has_tokens() {
            while left > 0 && rest.has_tokens() {
                left -= rest.take(left, &mut ids);
            }
            ids.push(sep);
        }
        emit(Example { second, ids });
    }
}

/// The tokens of a document that are not packed yet.
struct Rest<'a> {
    sentences: &'a [Vec<u32>],
    sentence: usize,
    token: usize,
}

impl Rest<'_> {
    /// Skips to the next token, if there is one.
    fn has_tokens(&mut self) -> bool {
        while self.sentences.get(self.sentence).is_some_and(|s| self.token >= s.len()) {
            self.sentence += 1;
            self.token = 0;
        }
        self.sentence < self.sentences.len()
    }

    /// Tokens left in the current sentence.
    fn sentence_left(&self) -> usize {
        self.sentences[self.sentence].len() - self.token
    }

    /// Moves at most `most` tokens of the current sentence to `ids`.
    fn take(&mut self, most: usize, ids: &mut Vec<u32>) -> usize {
        let sentence = &self.sentences[self.sentence][self.token..];
        let taken = sentence.len().min(most);
        ids.extend_from_slice(&sentence[..taken]);
        self.token += taken;
        taken
    }
}
