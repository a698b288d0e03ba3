//! Honest baselines: what the score is worth that a model reaches.

use crate::{
    batch::Feature,
    scores::Scores,
    task::{Answers, Target, classes, values},
};
use electra_tokenize::SpecialTokens;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Scores of one baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitScores {
    /// On the dev set.
    pub dev: Scores,
    /// On the test set, if there is one.
    pub test: Option<Scores>,
}

/// What the training set alone gives without any network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// Always the most frequent class (or tag, or set of labels) of the training set, or the mean of its numbers.
    pub majority: SplitScores,
    /// What words alone give: of classes, and of each label, naive Bayes over token counts; of tags, each word's most
    /// frequent one.
    pub bag_of_words: Option<SplitScores>,
}

/// The most frequent class (the first of equally frequent ones), or the mean.
pub fn majority(train: &[Target], answers: &Answers) -> Target {
    match answers {
        Answers::Classes(labels) => {
            let mut counts = vec![0u64; labels.len()];
            for class in classes(train) {
                counts[class] += 1;
            }
            let best = (0..counts.len()).rev().max_by_key(|&class| counts[class]);
            Target::Class(best.unwrap_or(0))
        }
        Answers::Range { .. } => {
            let values = values(train);
            Target::Value(values.iter().sum::<f64>() / values.len() as f64)
        }
    }
}

/// Multinomial naive Bayes with add-one counts over tokens; those of the second text are features of
/// their own. It sees which tokens there are, and not their order.
///
/// Source: McCallum & Nigam 1998, "A comparison of event models for naive Bayes text classification".
#[derive(Clone, Debug)]
pub struct BagOfWords {
    log_priors: Vec<f64>,
    /// By class, then token (first text) or vocabulary size + token (second).
    log_likelihoods: Vec<Vec<f64>>,
    special: SpecialTokens,
    vocab_size: usize,
}

impl BagOfWords {
    /// Learns the counts of a training set: features with their classes.
    pub fn train<'a, T: 'a>(
        train: impl Iterator<Item = (&'a Arc<Feature<T>>, usize)> + Clone,
        classes: usize,
        vocab_size: usize,
        special: &SpecialTokens,
    ) -> Self {
        let pairs = train.clone().any(|(feature, _)| feature.segment_b_start < feature.ids.len());
        let words = if pairs { 2 * vocab_size } else { vocab_size };
        let mut model = Self {
            log_priors: vec![0.0; classes],
            log_likelihoods: vec![vec![1.0; words]; classes],
            special: *special,
            vocab_size,
        };
        for (feature, class) in train {
            model.log_priors[class] += 1.0;
            let places: Vec<usize> = model.places(feature).collect();
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
    pub fn predict<T>(&self, feature: &Feature<T>) -> usize {
        let places: Vec<usize> = self.places(feature).collect();
        let score = |class: usize| {
            let likelihoods = &self.log_likelihoods[class];
            // A second text where training had none is not known.
            let known = places.iter().filter_map(|&place| likelihoods.get(place));
            self.log_priors[class] + known.sum::<f64>()
        };
        let classes = (0..self.log_priors.len()).rev();
        classes.max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap_or(0)
    }

    fn places<'a, T>(&'a self, feature: &'a Feature<T>) -> impl Iterator<Item = usize> + 'a {
        let words = feature.ids.iter().enumerate();
        words.filter(|(_, id)| ![self.special.cls, self.special.sep].contains(id)).map(
            |(i, &id)| {
                let second = i >= feature.segment_b_start;
                id as usize + if second { self.vocab_size } else { 0 }
            },
        )
    }
}
