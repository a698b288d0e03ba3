//! From what is said of windows to answers: spans of the text, best first, and the odds that there is none.

use super::{
    encode::{Asked, Passage},
    file::Paragraph,
    head::WindowPrediction,
    window::{Context, most_context},
};
use crate::{
    Result,
    config::{HeadKind, SpanConfig},
};
use electra_train::folder::write_file;
use serde::{Serialize, Serializer};
use std::path::Path;

/// The answer to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The best span's text, whatever the null odds; nothing where no span may be an answer.
    pub text: String,
    /// How much speaks for "no answer": the smallest logit over the windows (the reference's head), or the smallest
    /// sum of the logits of `[CLS]` less the best span's (Hugging Face's). Infinite where the network is broken: it says of
    /// a window what is no finite number.
    pub null_odds: f64,
    /// The best spans, best first, no two with the same text.
    pub n_best: Vec<Candidate>,
}

/// A span that may be the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Its text, exactly as the context has it.
    pub text: String,
    /// Unicode characters of the context before it.
    pub answer_start: usize,
    /// Its log-probability within its window, or Hugging Face's sum of two logits.
    pub score: f64,
    /// The softmax of the scores of these spans.
    pub probability: f64,
}

/// The answer to a question from what is said of its windows.
///
/// A span's start must be in the window that has the most context for it; equal texts are one span, with the higher
/// score.
///
/// Source: reference `finetune/qa/qa_metrics.py`, `SpanBasedQAScorer.get_results`. Departures: the text is cut from the
/// context by the tokens' places, where the reference puts pieces together and looks for them; a question without a
/// span has the empty answer, not the word "empty".
pub fn decode(
    context: &Context,
    asked: &Asked,
    predictions: &[WindowPrediction],
    config: &SpanConfig,
    kind: HeadKind,
) -> Answered {
    let mut spans = Vec::new();
    for (number, (window, prediction)) in asked.windows.iter().zip(predictions).enumerate() {
        for span in &prediction.spans {
            let (Some(start), Some(end)) =
                (span.start.checked_sub(asked.first), span.end.checked_sub(asked.first))
            else {
                continue;
            };
            let tokens = window.start + start..window.start + end + 1;
            if tokens.end <= window.end
                && most_context(&asked.windows, tokens.start) == Some(number)
            {
                spans.push((tokens, span.score));
            }
        }
    }
    // Stable: equals stay in the order of the windows and their beams.
    spans.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut n_best: Vec<Candidate> = Vec::new();
    for (tokens, score) in spans {
        if n_best.len() == config.n_best {
            break;
        }
        let text = context.text(tokens.clone());
        if n_best.iter().all(|known| known.text != text) {
            let answer_start = context.characters_before(tokens.start);
            let text = text.to_owned();
            n_best.push(Candidate { text, answer_start, score, probability: 0.0 });
        }
    }
    let highest = n_best.first().map_or(0.0, |best| best.score);
    let total: f64 = n_best.iter().map(|candidate| (candidate.score - highest).exp()).sum();
    for candidate in &mut n_best {
        candidate.probability = (candidate.score - highest).exp() / total;
    }
    let nulls = || predictions.iter().map(|prediction| prediction.null);
    // `min` would pass over a window of which no number is said.
    let broken = nulls().any(|null| !null.is_finite());
    let null = nulls().fold(f64::INFINITY, f64::min);
    Answered {
        text: n_best.first().map(|best| best.text.clone()).unwrap_or_default(),
        null_odds: match kind {
            _ if broken => f64::INFINITY,
            HeadKind::Reference => null,
            HeadKind::Hf => null - highest,
        },
        n_best,
    }
}

/// Paragraphs whose windows are sorted by length and answered together.
pub(super) const PARAGRAPHS: usize = 64;

/// The answers to the questions of paragraphs with their ids, in their order, from what is said of the windows of all of
/// them.
pub(super) fn decode_all(
    paragraphs: &[&Paragraph],
    passages: &[Passage],
    predictions: &[WindowPrediction],
    config: &SpanConfig,
    kind: HeadKind,
) -> Vec<(String, Answered)> {
    let (mut rest, mut answers) = (predictions, Vec::new());
    for (paragraph, passage) in paragraphs.iter().zip(passages) {
        for (question, asked) in paragraph.questions.iter().zip(&passage.questions) {
            let (own, after) = rest.split_at(asked.windows.len());
            answers.push((question.id.clone(), decode(&passage.context, asked, own, config, kind)));
            rest = after;
        }
    }
    answers
}

/// A JSON object whose keys are in the order of the questions.
#[derive(Clone, Debug)]
pub struct ById<'a, T>(pub Vec<(&'a str, T)>);

impl<T: Serialize> Serialize for ById<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(id, value)| (id, value)))
    }
}

impl<'a, T: Serialize> ById<'a, T> {
    /// `figure` of every answer.
    pub fn of(
        answers: &'a [(String, Answered)],
        figure: impl Fn(&'a Answered) -> T,
    ) -> ById<'a, T> {
        ById(answers.iter().map(|(id, answer)| (id.as_str(), figure(answer))).collect())
    }

    /// Writes the object.
    ///
    /// # Errors
    /// Naming the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self).expect("plain values serialise");
        Ok(write_file(path, &(json + "\n"))?)
    }
}
