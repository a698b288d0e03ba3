//! What was read for each split: labels, texts that were truncated, and examples that are also in the training set.

use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

/// The number of labels in a log line.
const LOGGED: usize = 20;

/// What was read for a split: an entry of `data` in `results.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitSummary {
    /// `train`, or the name of a split that is scored; for several tasks, after the name of the task and a slash.
    pub split: String,
    /// The file.
    pub file: PathBuf,
    /// The number of examples.
    pub examples: usize,
    /// The labels, in the order of their numbers; none for numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<LabelCount>,
    /// The texts that were truncated.
    #[serde(default)]
    pub truncated: Truncated,
    /// The number of examples whose texts are also in the training set; 0 for the training set itself.
    #[serde(default)]
    pub in_train: usize,
}

/// How often a label occurs in a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelCount {
    /// The class, label, type of entity, or tag.
    pub label: String,
    /// The number of examples (for tags, of words or entities).
    pub count: usize,
    /// The weight of its examples in the loss, if it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
}

impl LabelCount {
    /// A label without a weight.
    pub fn new(label: &str, count: usize) -> Self {
        Self { label: label.to_owned(), count, weight: None }
    }

    /// The number of occurrences of each of `labels` among `found`, which are their numbers.
    pub fn of(labels: &[String], found: impl IntoIterator<Item = usize>) -> Vec<Self> {
        let mut counts: Vec<Self> = labels.iter().map(|label| Self::new(label, 0)).collect();
        found.into_iter().for_each(|label| counts[label].count += 1);
        counts
    }
}

/// How many texts are longer than an input and were truncated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truncated {
    /// What is counted.
    pub unit: TextUnit,
    /// The number of truncated texts.
    pub count: usize,
    /// The number of all texts.
    pub texts: usize,
    /// The length of the longest text in tokens, with the special tokens that it would need.
    pub longest: usize,
    /// The number of tokens that it may have.
    pub limit: usize,
}

/// The texts that may be truncated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextUnit {
    /// Texts and pairs of texts.
    #[default]
    Texts,
    /// The words of sentences; a long sentence becomes several inputs.
    Words,
    /// Questions; a long context becomes several inputs.
    Questions,
}

impl Truncated {
    /// Of texts with these lengths in tokens, which may have `limit` tokens.
    pub fn of(unit: TextUnit, lengths: impl IntoIterator<Item = usize>, limit: usize) -> Self {
        let none = Self { unit, limit, ..Self::default() };
        lengths.into_iter().fold(none, |all, length| Self {
            count: all.count + usize::from(length > limit),
            texts: all.texts + 1,
            longest: all.longest.max(length),
            ..all
        })
    }

    /// Those of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            unit: other.unit,
            count: self.count + other.count,
            texts: self.texts + other.texts,
            longest: self.longest.max(other.longest),
            limit: self.limit.max(other.limit),
        }
    }

    /// A sentence about them; `None` if no text was truncated.
    pub fn message(&self) -> Option<String> {
        let Self { unit, count, texts, longest, limit } = self;
        let unit = match unit {
            TextUnit::Texts => "texts",
            TextUnit::Words => "words",
            TextUnit::Questions => "questions",
        };
        let share = 100.0 * *count as f64 / (*texts).max(1) as f64;
        (*count > 0).then(|| {
            format!(
                "{count} of {texts} {unit} ({share:.1} %) are truncated to {limit} tokens; the longest has {longest}"
            )
        })
    }
}

/// The texts of examples, as a number for each; equal texts have equal numbers.
pub fn text_key(texts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    texts.hash(&mut hasher);
    hasher.finish()
}

/// The summaries of a task's splits, of which the training set comes first.
#[derive(Debug, Default)]
pub(crate) struct Summaries {
    all: Vec<SplitSummary>,
    train: HashSet<u64>,
}

impl Summaries {
    /// Adds a split without truncated texts; `keys` has a number for the texts of each example ([`text_key`]).
    pub(crate) fn add(
        &mut self,
        split: &str,
        file: &Path,
        labels: Vec<LabelCount>,
        keys: impl IntoIterator<Item = u64>,
    ) {
        let (mut examples, mut in_train) = (0, 0);
        let is_train = self.all.is_empty();
        for key in keys {
            examples += 1;
            match is_train {
                true => drop(self.train.insert(key)),
                false => in_train += usize::from(self.train.contains(&key)),
            }
        }
        let (split, file, truncated) = (split.to_owned(), file.to_owned(), Truncated::default());
        self.all.push(SplitSummary { split, file, examples, labels, truncated, in_train });
    }

    /// Sets the truncated texts of the split that was added last.
    pub(crate) fn truncated(&mut self, truncated: Truncated) {
        if let Some(last) = self.all.last_mut() {
            last.truncated = truncated;
        }
    }

    pub(crate) fn finish(self) -> Vec<SplitSummary> {
        self.all
    }
}

impl SplitSummary {
    /// Logs the numbers of examples and labels, and warnings about what is legal and probably not meant.
    pub(crate) fn log(&self) {
        let Self { split, examples, labels, truncated, in_train, .. } = self;
        let file = self.file.display();
        let labels = logged(labels);
        let labels = if labels.is_empty() { labels } else { format!("; {labels}") };
        tracing::info!("{split} ({file}): {examples} examples{labels}");
        if let Some(message) = truncated.message() {
            let key = match truncated.unit {
                TextUnit::Texts | TextUnit::Words => "train.max_length",
                TextUnit::Questions => "squad.max_query_length",
            };
            tracing::warn!("{file}: {message} (set by {key})");
        }
        let single: Vec<&str> =
            self.labels.iter().filter(|l| l.count == 1).map(|l| &*l.label).collect();
        if self.is_train() && !single.is_empty() {
            let shown = single.iter().take(LOGGED).map(|label| format!("{label:?}"));
            let shown = shown.collect::<Vec<_>>().join(", ");
            tracing::warn!(
                "{file}: labels with a single training example ({}): {shown}",
                single.len()
            );
        }
        match *in_train {
            0 => {}
            all if all == *examples => tracing::warn!(
                "{file}: the texts of all {all} examples are also in the training set: the scores of {split} say nothing about new texts"
            ),
            some => tracing::info!(
                "{file}: the texts of {some} of {examples} examples are also in the training set"
            ),
        }
    }

    /// Whether it is the training set, of a task or of one of several.
    pub(crate) fn is_train(&self) -> bool {
        self.split == TRAIN || self.split.ends_with(&format!("/{TRAIN}"))
    }
}

/// The name of the training set.
pub(crate) const TRAIN: &str = "train";

/// Labels with their numbers, the most frequent ones if there are many.
fn logged(labels: &[LabelCount]) -> String {
    let mut shown: Vec<&LabelCount> = labels.iter().collect();
    if shown.len() > LOGGED {
        shown.sort_by_key(|label| usize::MAX - label.count);
    }
    let named = shown.iter().take(LOGGED).map(|LabelCount { label, count, weight }| {
        let weight = weight.map_or_else(String::new, |weight| format!(" (weight {weight:.3})"));
        format!("{label:?} {count}{weight}")
    });
    let more = match labels.len().saturating_sub(LOGGED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    named.collect::<Vec<_>>().join(", ") + &more
}
