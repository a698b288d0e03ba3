//! SQuAD's scores, equal to those of the official scripts (`evaluate-v1.1.py`, `evaluate-v2.0.py`) in every digit.
//!
//! Sums run from the first question to the last in double precision, as the scripts' do in Python up to 3.11
//! (from 3.12 on Python's `sum` compensates its rounding, which can change the last digit of version 2.0).

use super::file::{Question, SquadFile};
use crate::{
    error::{Error, Result},
    figure::Figure,
    json::{self, Members},
};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// Predicted answers by question id; an empty text predicts no answer.
pub type Predictions = HashMap<String, String>;

/// Scores of "no answer" by question id, higher for no answer. The file's order breaks ties.
pub type NullOdds = Vec<(String, f64)>;

/// Ids in only one of the two files. The official scripts ignore predictions for ids that are not in the gold file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unmatched {
    /// Questions without a prediction, in the gold file's order.
    pub missing: Vec<String>,
    /// Ids of predictions that are not in the gold file, sorted.
    pub unknown: Vec<String>,
}

/// Scores of version 1.1, in percent.
#[derive(Clone, Debug, PartialEq)]
pub struct SquadV1Scores {
    /// The fraction of questions whose answer equals a gold answer, after [`normalize`].
    pub exact_match: f64,
    /// The mean over questions of the best F1 with a gold answer.
    pub f1: f64,
    /// Questions without a prediction score 0.
    pub unmatched: Unmatched,
}

/// Scores of version 2.0, in percent.
#[derive(Clone, Debug, PartialEq)]
pub struct SquadV2Scores {
    /// Over all questions with a prediction.
    pub all: SubsetScores,
    /// Over those with a gold answer, if there are any.
    pub has_answer: Option<SubsetScores>,
    /// Over those without a gold answer, if there are any.
    pub no_answer: Option<SubsetScores>,
    /// The best threshold of the null odds for exact matches; needs null odds.
    pub best_exact: Option<BestThreshold>,
    /// The best threshold of the null odds for F1; needs null odds.
    pub best_f1: Option<BestThreshold>,
    /// Areas under precision-recall curves; need null odds and a question with an answer.
    pub average_precision: Option<AveragePrecision>,
    /// Questions without a prediction are left out of all scores.
    pub unmatched: Unmatched,
}

/// Scores over some of the questions, in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SubsetScores {
    /// Exact match.
    pub exact: f64,
    /// F1.
    pub f1: f64,
    /// The number of questions.
    pub total: usize,
}

/// The highest score over thresholds of the null odds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestThreshold {
    /// The score, in percent.
    pub score: f64,
    /// Answers with null odds above it are replaced by "no answer".
    pub threshold: f64,
}

/// Areas under precision-recall curves over the threshold, in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AveragePrecision {
    /// With exact matches as true positives.
    pub exact: f64,
    /// With F1 as true positives.
    pub f1: f64,
    /// With every question that has an answer as a true positive.
    pub oracle: f64,
}

/// Reads predictions: `{id: text}`.
///
/// # Errors
/// Naming the file and the id, if it is not such JSON or an id is a duplicate.
pub fn read_predictions(path: &Path) -> Result<Predictions> {
    Ok(json::read::<Members<String>>(path)?.0.into_iter().collect())
}

/// Reads null odds: `{id: number}`.
///
/// # Errors
/// As [`read_predictions`], and for a number that is not finite.
pub fn read_null_odds(path: &Path) -> Result<NullOdds> {
    Ok(json::read::<Members<f64>>(path)?.0)
}

/// A text as the official scripts compare it: in lower case, without ASCII punctuation and the words "a", "an" and
/// "the", with single spaces. White space, letters and digits are those of Python.
pub fn normalize(text: &str) -> String {
    let lower = text.to_lowercase();
    let kept = lower.chars().filter(|c| !c.is_ascii_punctuation());
    let (mut rest, mut word) = (String::with_capacity(lower.len()), String::new());
    let end_word = |rest: &mut String, word: &mut String| {
        rest.push_str(if matches!(word.as_str(), "a" | "an" | "the") { " " } else { word });
        word.clear();
    };
    for c in kept {
        if is_word(c) {
            word.push(c);
        } else {
            end_word(&mut rest, &mut word);
            rest.push(c);
        }
    }
    end_word(&mut rest, &mut word);
    rest.split(is_space).filter(|token| !token.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What `\w` matches in Python, except the underscore, which is punctuation.
fn is_word(c: char) -> bool {
    let group = c.general_category_group();
    matches!(group, GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number)
}

/// What `str.split` splits at in Python: white space, and the separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// F1 of the words that two normalized texts share; `None` if they share none.
fn overlap(predicted: &[&str], gold: &[&str]) -> Option<f64> {
    let mut left: HashMap<&str, usize> = HashMap::new();
    for &word in gold {
        *left.entry(word).or_default() += 1;
    }
    let mut same = 0;
    for word in predicted {
        if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            same += 1;
        }
    }
    let precision = f64::from(same) / predicted.len() as f64;
    let recall = f64::from(same) / gold.len() as f64;
    (same > 0).then(|| 2.0 * precision * recall / (precision + recall))
}

fn words(normalized: &str) -> Vec<&str> {
    normalized.split(' ').filter(|word| !word.is_empty()).collect()
}

/// Exact match and F1 of an answer by the rules of version 1.1: the maximum over the gold answers.
pub fn answer_1(prediction: &str, gold: &[&str]) -> (f64, f64) {
    best(prediction, gold, |predicted, gold| overlap(predicted, gold).unwrap_or(0.0))
}

/// Exact match and F1 of an answer by the rules of version 2.0: gold answers that are empty after [`normalize`] are
/// ignored; if there are no others, only an answer that is empty after [`normalize`] is correct.
pub fn answer_2(prediction: &str, gold: &[&str]) -> (f64, f64) {
    let mut gold: Vec<&str> =
        gold.iter().copied().filter(|text| !normalize(text).is_empty()).collect();
    if gold.is_empty() {
        gold.push("");
    }
    best(prediction, &gold, |predicted, gold| match (predicted, gold) {
        ([], _) | (_, []) => f64::from(u8::from(predicted == gold)),
        _ => overlap(predicted, gold).unwrap_or(0.0),
    })
}

fn best(prediction: &str, gold: &[&str], f1: impl Fn(&[&str], &[&str]) -> f64) -> (f64, f64) {
    let predicted = normalize(prediction);
    let (mut exact, mut highest) = (0.0, 0.0f64);
    for gold in gold.iter().map(|text| normalize(text)) {
        if gold == predicted {
            exact = 1.0;
        }
        highest = highest.max(f1(&words(&predicted), &words(&gold)));
    }
    (exact, highest)
}

/// Scores of version 1.1.
///
/// # Errors
/// If the gold file has no questions, or a question without an answer.
pub fn score_1(gold: &SquadFile, predictions: &Predictions) -> Result<SquadV1Scores> {
    let (mut exact, mut f1, mut total) = (0.0, 0.0, 0usize);
    for (_, question) in gold.questions() {
        let answers = texts(question)?;
        if answers.is_empty() {
            let expected =
                "version 1.1 has an answer for each question: is it a file of version 2.0?";
            return Err(Error::value(&format!("answers of {:?}", question.id), "[]", expected));
        }
        total += 1;
        if let Some(prediction) = predictions.get(&question.id) {
            let score = answer_1(prediction, &answers);
            exact += score.0;
            f1 += score.1;
        }
    }
    if total == 0 {
        return Err(no_questions());
    }
    Ok(SquadV1Scores {
        exact_match: 100.0 * exact / total as f64,
        f1: 100.0 * f1 / total as f64,
        unmatched: Unmatched::of(gold, predictions),
    })
}

/// A question with a prediction.
struct Answered<'a> {
    id: &'a str,
    has_answer: bool,
    /// Whether the prediction is not empty.
    predicted: bool,
    exact: f64,
    f1: f64,
    odds: f64,
}

/// Scores of version 2.0. Answers with null odds above `threshold` count as "no answer" in the scores, but not in the
/// best thresholds and the curves; the official script's default is 1.
///
/// The official script reports a question without a prediction and fails; here the question is left out.
///
/// # Errors
/// If the gold file has no questions or lacks `answers`, if no question has a prediction, or if a question with a
/// prediction lacks null odds while others have them.
pub fn score_2(
    gold: &SquadFile,
    predictions: &Predictions,
    null_odds: Option<&NullOdds>,
    threshold: f64,
) -> Result<SquadV2Scores> {
    let by_id: Option<HashMap<&str, f64>> =
        null_odds.map(|odds| odds.iter().map(|(id, odds)| (id.as_str(), *odds)).collect());
    let mut answered = Vec::new();
    for (_, question) in gold.questions() {
        let answers = texts(question)?;
        let Some(prediction) = predictions.get(&question.id) else { continue };
        let odds = match &by_id {
            None => 0.0,
            Some(odds) => *odds.get(question.id.as_str()).ok_or_else(|| {
                let expected = "every question with a prediction needs null odds";
                Error::value("null odds", format!("nothing for {:?}", question.id), expected)
            })?,
        };
        let (exact, f1) = answer_2(prediction, &answers);
        // As the official script: an answer without text counts as one.
        let (has_answer, predicted) = (!answers.is_empty(), !prediction.is_empty());
        answered.push(Answered { id: &question.id, has_answer, predicted, exact, f1, odds });
    }
    if gold.questions().next().is_none() {
        return Err(no_questions());
    }
    let subset = |of: &dyn Fn(&Answered<'_>) -> bool| subset(&answered, threshold, of);
    let all = subset(&|_| true).ok_or_else(|| {
        let expected = "at least one id must be that of a question: do the files belong together?";
        Error::value("predictions", format!("{} ids", predictions.len()), expected)
    })?;
    let mut scores = SquadV2Scores {
        all,
        has_answer: subset(&|question| question.has_answer),
        no_answer: subset(&|question| !question.has_answer),
        best_exact: None,
        best_f1: None,
        average_precision: None,
        unmatched: Unmatched::of(gold, predictions),
    };
    if let Some(odds) = null_odds {
        let known: HashMap<&str, &Answered<'_>> = answered.iter().map(|q| (q.id, q)).collect();
        let mut order: Vec<&Answered<'_>> =
            odds.iter().filter_map(|(id, _)| known.get(id.as_str()).copied()).collect();
        // Stable, and 0 equals -0, as in Python: ties keep the file's order.
        order.sort_by(|a, b| a.odds.partial_cmp(&b.odds).unwrap_or(std::cmp::Ordering::Equal));
        scores.best_exact = Some(best_threshold(&order, |question| question.exact));
        scores.best_f1 = Some(best_threshold(&order, |question| question.f1));
        scores.average_precision = scores.has_answer.map(|has_answer| AveragePrecision {
            exact: average_precision(&order, has_answer.total, |question| question.exact),
            f1: average_precision(&order, has_answer.total, |question| question.f1),
            oracle: average_precision(&order, has_answer.total, |q| f64::from(q.has_answer)),
        });
    }
    Ok(scores)
}

/// Scores over the questions for which `of` is true, if there are any.
fn subset(
    answered: &[Answered<'_>],
    threshold: f64,
    of: impl Fn(&Answered<'_>) -> bool,
) -> Option<SubsetScores> {
    let (mut exact, mut f1, mut total) = (0.0, 0.0, 0);
    for question in answered.iter().filter(|question| of(question)) {
        let withdrawn = question.odds > threshold;
        let none = f64::from(!question.has_answer);
        exact += if withdrawn { none } else { question.exact };
        f1 += if withdrawn { none } else { question.f1 };
        total += 1;
    }
    let mean = |sum: f64| 100.0 * sum / total as f64;
    (total > 0).then(|| SubsetScores { exact: mean(exact), f1: mean(f1), total })
}

/// The highest score while the threshold rises from below all null odds to above all; `order` is sorted by null odds.
fn best_threshold(order: &[&Answered<'_>], score: impl Fn(&Answered<'_>) -> f64) -> BestThreshold {
    let mut current = order.iter().filter(|question| !question.has_answer).count() as f64;
    let (mut highest, mut threshold) = (current, 0.0);
    for question in order {
        current += match (question.has_answer, question.predicted) {
            (true, _) => score(question),
            (false, true) => -1.0,
            (false, false) => 0.0,
        };
        if current > highest {
            (highest, threshold) = (current, question.odds);
        }
    }
    BestThreshold { score: 100.0 * highest / order.len() as f64, threshold }
}

/// The area under the precision-recall curve; equal odds are one point of the curve.
fn average_precision(
    order: &[&Answered<'_>],
    have_answers: usize,
    score: impl Fn(&Answered<'_>) -> f64,
) -> f64 {
    let (mut true_positives, mut last_recall, mut area) = (0.0, 0.0, 0.0);
    for (place, question) in order.iter().enumerate() {
        if question.has_answer {
            true_positives += score(question);
        }
        let precision = true_positives / (place + 1) as f64;
        let recall = true_positives / have_answers as f64;
        if order.get(place + 1).is_none_or(|next| next.odds != question.odds) {
            area += precision * (recall - last_recall);
            last_recall = recall;
        }
    }
    100.0 * area
}

impl SquadV1Scores {
    /// The scores in the order and with the names of the official script.
    pub fn figures(&self) -> Vec<(&'static str, Figure)> {
        vec![("exact_match", Figure::Value(self.exact_match)), ("f1", Figure::Value(self.f1))]
    }
}

impl SquadV2Scores {
    /// The scores in the order and with the names of the official script, which has the `pr_` scores only if it
    /// also draws the curves.
    pub fn figures(&self) -> Vec<(&'static str, Figure)> {
        let exact = |scores: SubsetScores| Figure::Value(scores.exact);
        let f1 = |scores: SubsetScores| Figure::Value(scores.f1);
        let total = |scores: SubsetScores| Figure::Count(scores.total);
        let score = |best: BestThreshold| Figure::Value(best.score);
        let threshold = |best: BestThreshold| Figure::Value(best.threshold);
        let areas = self.average_precision;
        let figures = [
            ("exact", Some(exact(self.all))),
            ("f1", Some(f1(self.all))),
            ("total", Some(total(self.all))),
            ("HasAns_exact", self.has_answer.map(exact)),
            ("HasAns_f1", self.has_answer.map(f1)),
            ("HasAns_total", self.has_answer.map(total)),
            ("NoAns_exact", self.no_answer.map(exact)),
            ("NoAns_f1", self.no_answer.map(f1)),
            ("NoAns_total", self.no_answer.map(total)),
            ("best_exact", self.best_exact.map(score)),
            ("best_exact_thresh", self.best_exact.map(threshold)),
            ("best_f1", self.best_f1.map(score)),
            ("best_f1_thresh", self.best_f1.map(threshold)),
            ("pr_exact_ap", areas.map(|areas| Figure::Value(areas.exact))),
            ("pr_f1_ap", areas.map(|areas| Figure::Value(areas.f1))),
            ("pr_oracle_ap", areas.map(|areas| Figure::Value(areas.oracle))),
        ];
        figures.into_iter().filter_map(|(name, figure)| Some((name, figure?))).collect()
    }
}

impl Unmatched {
    fn of(gold: &SquadFile, predictions: &Predictions) -> Self {
        let asked: HashSet<&str> = gold.questions().map(|(_, q)| q.id.as_str()).collect();
        let missing = gold.questions().filter(|(_, q)| !predictions.contains_key(&q.id));
        let unknown = predictions.keys().filter(|id| !asked.contains(id.as_str()));
        let mut unknown: Vec<String> = unknown.cloned().collect();
        unknown.sort();
        Self { missing: missing.map(|(_, q)| q.id.clone()).collect(), unknown }
    }
}

/// The texts of the gold answers.
fn texts(question: &Question) -> Result<Vec<&str>> {
    let answers = question.answers.as_ref().ok_or_else(|| {
        let why = question.missing_answers();
        let expected =
            format!("{why}; the gold file needs it for each question, [] if it has no answer");
        Error::value(&format!("answers of {:?}", question.id), "(missing)", expected)
    })?;
    Ok(answers.iter().map(|answer| answer.text.as_str()).collect())
}

fn no_questions() -> Error {
    Error::value("data", "no question", "the gold file must have at least one")
}
