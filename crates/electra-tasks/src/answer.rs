//! Requests and answers of models of every kind.

use crate::{
    error::{Error, Result},
    summary::Truncated,
};
use electra_scores::tagging::Columns;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// One request to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a request has the keys text_a (and text_b), texts, words, or question and context, and no others"
)]
#[non_exhaustive]
pub enum Request {
    /// A text or a pair of texts.
    Text {
        /// The (first) text.
        text_a: String,
        /// The second text of a pair.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text_b: Option<String>,
    },
    /// Three or more texts, in the order of [`RequestForm::Rows`].
    Texts {
        /// The texts.
        texts: Vec<String>,
    },
    /// The words of a sentence.
    Words {
        /// The words.
        words: Vec<String>,
    },
    /// A question about a text.
    Question {
        /// The question.
        question: String,
        /// The text that contains the answer.
        context: String,
    },
}

impl Request {
    /// A single text.
    pub fn text(text: &str) -> Self {
        Self::Text { text_a: text.to_owned(), text_b: None }
    }

    /// A pair of texts.
    pub fn pair(text_a: &str, text_b: &str) -> Self {
        Self::Text { text_a: text_a.to_owned(), text_b: Some(text_b.to_owned()) }
    }

    /// A text, a pair of texts, or more texts.
    pub fn row<S: AsRef<str>>(texts: &[S]) -> Self {
        match texts {
            [] => Self::text(""),
            [text] => Self::text(text.as_ref()),
            [text_a, text_b] => Self::pair(text_a.as_ref(), text_b.as_ref()),
            _ => Self::Texts { texts: texts.iter().map(|text| text.as_ref().to_owned()).collect() },
        }
    }

    /// The words of a sentence.
    pub fn words<S: AsRef<str>>(words: &[S]) -> Self {
        Self::Words { words: words.iter().map(|word| word.as_ref().to_owned()).collect() }
    }

    /// A question about a text.
    pub fn question(question: &str, context: &str) -> Self {
        Self::Question { question: question.to_owned(), context: context.to_owned() }
    }

    /// `requests` as single texts, or as pairs of texts if `pairs`.
    ///
    /// # Errors
    /// Naming the number of the first request of another form.
    pub fn texts(requests: &[Self], pairs: bool) -> Result<Vec<(&str, Option<&str>)>> {
        let expected = match pairs {
            true => "must be a pair of texts: the second text is missing",
            false => "must be a single text: the model does not take pairs",
        };
        Self::all(requests, expected, |request| match request {
            Self::Text { text_a, text_b } if text_b.is_some() == pairs => {
                Some((text_a.as_str(), text_b.as_deref()))
            }
            _ => None,
        })
    }

    /// `part` of each request.
    ///
    /// # Errors
    /// Naming the number of the first request for which `part` is `None`, and what is expected.
    pub fn all<'a, T>(
        requests: &'a [Self],
        expected: &str,
        part: impl Fn(&'a Self) -> Option<T>,
    ) -> Result<Vec<T>> {
        let number = |(i, request)| {
            part(request).ok_or_else(|| Error::value("request", format!("number {i}"), expected))
        };
        requests.iter().enumerate().map(number).collect()
    }
}

/// The answer to one request; as JSON, an object with these keys.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Answer {
    /// One of several classes.
    Class {
        /// The most probable class.
        label: String,
        /// Probabilities of the classes, in the order of [`RequestForm::Rows`].
        probabilities: Vec<f32>,
    },
    /// A number, in the units of the training labels.
    Number(f64),
    /// A set of labels.
    Labels {
        /// The predicted labels; may be empty.
        labels: Vec<String>,
        /// The probability of each label, in the order of [`RequestForm::Rows`].
        probabilities: Vec<f32>,
    },
    /// A tag for each word.
    Tags(Vec<TaggedWord>),
    /// A span of the text.
    Span(SpanAnswer),
    /// Whether the candidate in the place of a pronoun is its antecedent.
    Antecedent(CandidateScores),
}

/// The tag of a word.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaggedWord {
    /// The tag, in the scheme of the training file.
    pub tag: String,
    /// The probability of its class (for entities, of its tag in BIOES).
    pub probability: f32,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpanAnswer {
    /// The text of the best span, whatever the null odds; empty if no span is a possible answer.
    pub text: String,
    /// The score of "no answer": the smallest logit over the windows (the reference's head), or the smallest sum of the
    /// logits of `[CLS]` minus the best span's (Hugging Face's). Infinite if the network returned NaN or infinity.
    pub null_odds: f64,
    /// The best spans with distinct texts, best first.
    pub n_best: Vec<Candidate>,
}

/// A possible answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Its text, exactly as in the context.
    pub text: String,
    /// The number of Unicode characters before it in the context.
    pub answer_start: usize,
    /// Its log-probability within its window, or Hugging Face's sum of two logits.
    pub score: f64,
    /// The softmax of the scores of these spans.
    pub probability: f64,
}

/// The scores of the candidates for a pronoun's place: means over their tokens of the log-probability of being
/// original. Empty if the row is not a clause of its first text with a candidate in a pronoun's place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CandidateScores {
    /// The row's own candidate first, then the others.
    pub scores: Vec<f64>,
}

impl CandidateScores {
    /// `"1"` if the row's candidate is the antecedent: no other has a higher score; without others, its mean probability of
    /// being original must be at least 0.5. Else `"0"`.
    pub fn label(&self) -> &'static str {
        match self.scores.as_slice() {
            [own, others @ ..]
                if *own >= others.iter().copied().reduce(f64::max).unwrap_or(0.5f64.ln()) =>
            {
                "1"
            }
            _ => "0",
        }
    }
}

impl Answer {
    /// The answer as text: a label or number, labels separated by commas, tags by spaces, the text of a span.
    pub fn text(&self) -> String {
        match self {
            Self::Class { label, .. } => label.clone(),
            Self::Number(value) => value.to_string(),
            Self::Labels { labels, .. } => labels.join(","),
            Self::Tags(words) => {
                words.iter().map(|word| word.tag.as_str()).collect::<Vec<_>>().join(" ")
            }
            Self::Span(answer) => answer.text.clone(),
            Self::Antecedent(scores) => scores.label().to_owned(),
        }
    }

    /// The probabilities of the classes or labels.
    pub fn probabilities(&self) -> &[f32] {
        match self {
            Self::Class { probabilities, .. } | Self::Labels { probabilities, .. } => probabilities,
            _ => &[],
        }
    }

    /// Whether the network returned neither NaN nor infinity.
    pub(crate) fn is_finite(&self) -> bool {
        match self {
            Self::Number(value) => value.is_finite(),
            Self::Tags(words) => words.iter().all(|word| word.probability.is_finite()),
            Self::Span(answer) => answer.null_odds.is_finite(),
            Self::Antecedent(scores) => scores.scores.iter().all(|score| score.is_finite()),
            Self::Class { .. } | Self::Labels { .. } => {
                self.probabilities().iter().all(|p| p.is_finite())
            }
        }
    }
}

/// The requests that a model takes, and the files it reads them from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RequestForm {
    /// Texts, pairs of texts, or more texts, from tables.
    Rows {
        /// The columns of the texts, in order.
        columns: Vec<String>,
        /// The classes or labels of [`Answer::probabilities`]; empty for a number.
        classes: Vec<String>,
        /// The separator between the labels of a set in a table.
        separator: String,
    },
    /// Sentences, from CoNLL files.
    Words {
        /// The column of the words, and which lines are comments.
        columns: Columns,
    },
    /// Questions, from files of SQuAD or MRQA.
    Questions {
        /// The null odds above which a question has no answer; `None` if every question has one.
        null_threshold: Option<f64>,
    },
}

/// A fine-tuned model of some kind.
pub trait TaskModel: Debug + Send + Sync {
    /// The form of its requests.
    fn form(&self) -> RequestForm;

    /// The answers to requests of its form, in order, with `batch_size` inputs in a forward pass. They may be NaN or
    /// infinite if the weights are corrupt.
    ///
    /// # Errors
    /// Naming the request that is of another form, or that the tokenizer fails on.
    fn answer(&self, requests: &[Request], batch_size: usize) -> Result<Answered>;
}

/// The answers to requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// An answer for each request, in order.
    pub answers: Vec<Answer>,
    /// The texts of the requests that were truncated.
    pub truncated: Truncated,
}
