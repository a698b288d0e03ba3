//! The report on a task of questions: scores by type of answer and of question, and the worst answers.

use crate::{
    answer::SpanAnswer,
    details::{Details, HARDEST},
};
use electra_scores::squad::{SquadFile, Version, answer_1, answer_2};
use std::collections::BTreeMap;

/// First words of questions that have a row each; all others share one.
const QUESTION_WORDS: [&str; 8] = ["what", "who", "when", "where", "which", "why", "how", "whose"];

/// The answer to a question with its scores.
struct ScoredAnswer<'a> {
    id: &'a str,
    question: &'a str,
    gold: &'a str,
    predicted: &'a str,
    exact: f64,
    f1: f64,
}

/// The sections of a report. In version 2.0 the answer is empty if its null odds are above `threshold`.
pub(super) fn details(
    version: Version,
    gold: &SquadFile,
    answers: &[SpanAnswer],
    threshold: f64,
) -> Vec<Details> {
    let scored = gold.questions().zip(answers).filter_map(|((_, question), answered)| {
        let texts: Vec<&str> =
            question.answers.as_ref()?.iter().map(|answer| answer.text.as_str()).collect();
        let (predicted, (exact, f1)) = match version {
            Version::V1 => (&answered.text[..], answer_1(&answered.text, &texts)),
            Version::V2 => {
                let has_answer = answered.null_odds <= threshold;
                let text = if has_answer { &answered.text[..] } else { "" };
                (text, answer_2(text, &texts))
            }
        };
        let gold = texts.first().copied().unwrap_or_default();
        Some(ScoredAnswer {
            id: &question.id,
            question: &question.text,
            gold,
            predicted,
            exact,
            f1,
        })
    });
    let mut scored: Vec<_> = scored.collect();
    let by_answer = by_kind("the gold answer", &scored, |scored| kind(scored.gold));
    let by_question = by_kind("the question's first word", &scored, |s| first_word(s.question));
    scored.sort_by(|a, b| a.f1.total_cmp(&b.f1));
    vec![by_answer, by_question, worst(&scored)]
}

/// The type of a gold answer.
fn kind(gold: &str) -> &'static str {
    match gold.split_whitespace().count() {
        0 => "no answer",
        _ if gold.chars().any(char::is_numeric) => "with a digit (dates, numbers)",
        _ if gold.chars().next().is_some_and(char::is_uppercase) => "capitalized (names)",
        1..=3 => "other, up to 3 words",
        _ => "other, longer",
    }
}

fn first_word(question: &str) -> &'static str {
    let word = question.split_whitespace().next().unwrap_or_default().to_lowercase();
    QUESTION_WORDS.into_iter().find(|known| word.starts_with(known)).unwrap_or("other")
}

fn by_kind<'a>(
    of: &str,
    scored: &[ScoredAnswer<'a>],
    kind: impl Fn(&ScoredAnswer<'a>) -> &'static str,
) -> Details {
    let mut kinds: BTreeMap<&str, (usize, f64, f64)> = BTreeMap::new();
    for answer in scored {
        let (count, exact, f1) = kinds.entry(kind(answer)).or_default();
        *count += 1;
        *exact += answer.exact;
        *f1 += answer.f1;
    }
    let row = |(kind, (count, exact, f1)): (&str, (usize, f64, f64))| {
        let mean = |sum: f64| format!("{:.2}", 100.0 * sum / count as f64);
        vec![kind.to_owned(), count.to_string(), mean(exact), mean(f1)]
    };
    let columns = [of, "questions", "exact match", "F1"];
    Details::table(&format!("By {of}"), columns, kinds.into_iter().map(row))
}

/// The first of `scored`, which are sorted by F1.
fn worst(scored: &[ScoredAnswer<'_>]) -> Details {
    let row = |s: &ScoredAnswer<'_>| {
        let f1 = format!("{:.2}", 100.0 * s.f1);
        [s.id, &f1, s.question, s.gold, s.predicted].map(str::to_owned).to_vec()
    };
    let columns = ["id", "F1", "question", "gold", "predicted"];
    Details::table("Worst answers, by F1", columns, scored.iter().take(HARDEST).map(row))
}
