//! Decoding: from the outputs for windows to answers with their best spans and null odds.

use super::{
    encode::{Passage, QuestionWindows},
    head::WindowPrediction,
    window::{Context, most_context},
};
use crate::{
    answer::{Candidate, SpanAnswer},
    config::{HeadKind, SpanConfig},
};

/// The answer to a question from the outputs for its windows.
///
/// A span is used only from the window that has the most context for its start; of spans with equal texts, the one with
/// the highest score is kept.
///
/// Source: reference `finetune/qa/qa_metrics.py`, `SpanBasedQAScorer.get_results`. Departures: the text is cut from the
/// context by the offsets of tokens, where the reference joins word pieces and searches for them; the answer to a
/// question without a span is the empty text, not the word "empty".
pub fn decode(
    context: &Context,
    question: &QuestionWindows,
    predictions: &[WindowPrediction],
    config: &SpanConfig,
    kind: HeadKind,
) -> SpanAnswer {
    let mut spans = Vec::new();
    for (number, (window, prediction)) in question.windows.iter().zip(predictions).enumerate() {
        for span in &prediction.spans {
            let (Some(start), Some(end)) =
                (span.start.checked_sub(question.first), span.end.checked_sub(question.first))
            else {
                continue;
            };
            let tokens = window.start + start..window.start + end + 1;
            if tokens.end <= window.end
                && most_context(&question.windows, tokens.start) == Some(number)
            {
                spans.push((tokens, span.score));
            }
        }
    }
    // The sort is stable: equal scores stay in the order of windows and beams.
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
    // `f64::min` ignores NaN.
    let broken = nulls().any(|null| !null.is_finite());
    let null = nulls().fold(f64::INFINITY, f64::min);
    SpanAnswer {
        text: n_best.first().map(|best| best.text.clone()).unwrap_or_default(),
        null_odds: match kind {
            _ if broken => f64::INFINITY,
            HeadKind::Reference => null,
            HeadKind::Hf => null - highest,
        },
        n_best,
    }
}

/// The answers to all questions of passages, in order, from the outputs for all their windows.
pub(super) fn decode_all(
    passages: &[Passage],
    predictions: &[WindowPrediction],
    config: &SpanConfig,
    kind: HeadKind,
) -> Vec<SpanAnswer> {
    let (mut rest, mut answers) = (predictions, Vec::new());
    for Passage { context, questions } in passages {
        for question in questions {
            let (own, after) = rest.split_at(question.windows.len());
            answers.push(decode(context, question, own, config, kind));
            rest = after;
        }
    }
    answers
}
