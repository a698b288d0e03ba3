//! Baselines without a network, for comparison with a model's scores.

use crate::batch::Input;
use electra_scores::Scores;
use electra_tokenize::SpecialTokens;
use serde::{Deserialize, Serialize};

/// Scores of one baseline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitScores {
    /// On the dev set.
    pub dev: Scores,
    /// On the test set, if there is one.
    pub test: Option<Scores>,
}

/// Scores of predictions from the training set alone, without a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// The most frequent class (or tag, or set of labels) of the training set, or the mean of its numbers.
    pub majority: SplitScores,
    /// For classes, and for each label of a set, naive Bayes over token counts; for tags, each word's most frequent
    /// tag.
    pub bag_of_words: Option<SplitScores>,
}

/// Multinomial naive Bayes over token counts, with add-one smoothing; the tokens of the second text are features of
/// their own. The order of tokens is ignored.
///
/// Source: McCallum & Nigam 1998, "A comparison of event models for naive Bayes text classification".
#[derive(Clone, Debug)]
pub struct BagOfWords {
    log_priors: Vec<f64>,
    /// Indexed by class, then by token (first text) or vocabulary size + token (second text).
    log_likelihoods: Vec<Vec<f64>>,
    special: SpecialTokens,
    vocab_size: usize,
}

impl BagOfWords {
    /// Counts the tokens of a training set of inputs with their classes.
    pub fn train<'a>(
        train: impl Iterator<Item = (&'a Input, usize)> + Clone,
        classes: usize,
        vocab_size: usize,
        special: &SpecialTokens,
    ) -> Self {
        let pairs = train.clone().any(|(input, _)| input.segment_b_start < input.ids.len());
        let words = if pairs { 2 * vocab_size } else { vocab_size };
        let mut model = Self {
            log_priors: vec![0.0; classes],
            log_likelihoods: vec![vec![1.0; words]; classes],
            special: *special,
            vocab_size,
        };
        for (input, class) in train {
            model.log_priors[class] += 1.0;
            let places: Vec<usize> = model.places(input).collect();
            for place in places {
                model.log_likelihoods[class][place] += 1.0;
            }
        }
        let examples: f64 = model.log_priors.iter().sum();
        for prior in &mut model.log_priors {
            *prior = (*prior / examples).ln();
        }
        for counts in &mut model.log_likelihoods {
            let total: f64 = counts.iter().sum();
            for count in counts {
                *count = (*count / total).ln();
            }
        }
        model
    }

    /// The most probable class.
    pub fn predict(&self, input: &Input) -> usize {
        let places: Vec<usize> = self.places(input).collect();
        let score = |class: usize| {
            let likelihoods = &self.log_likelihoods[class];
            // Tokens of a second text are ignored if no training input had one.
            let known = places.iter().filter_map(|&place| likelihoods.get(place));
            self.log_priors[class] + known.sum::<f64>()
        };
        let classes = (0..self.log_priors.len()).rev();
        classes.max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap_or(0)
    }

    fn places<'a>(&'a self, input: &'a Input) -> impl Iterator<Item = usize> + 'a {
        let words = input.ids.iter().enumerate();
        words.filter(|(_, id)| ![self.special.cls, self.special.sep].contains(id)).map(
            |(i, &id)| {
                let second = i >= input.segment_b_start;
                id as usize + if second { self.vocab_size } else { 0 }
            },
        )
    }
}
