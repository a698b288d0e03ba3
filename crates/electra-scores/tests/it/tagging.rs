//! Scores of tags against those of seqeval and conlleval, from `cargo xtask fixtures`, and errors.

use crate::{root, says};
use approx::assert_relative_eq;
use electra_scores::{
    MatchCounts,
    tagging::{Entity, Rule, entities, score},
};
use serde::Deserialize;
use std::{collections::BTreeMap, fs};

#[derive(Deserialize)]
struct Case {
    scheme: String,
    gold: Vec<Vec<String>>,
    predicted: Vec<Vec<String>>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    default: Rates,
    strict: Rates,
    conlleval: [usize; 3],
    accuracy: f64,
}

/// Precision, recall, F1, gold entities.
#[derive(Deserialize)]
struct Rates {
    overall: [f64; 4],
    by_type: BTreeMap<String, [f64; 4]>,
}

#[track_caller]
fn check(found: &MatchCounts, expected: &[f64; 4]) {
    let found = [found.precision(), found.recall(), found.f1(), found.gold as f64];
    for (found, expected) in found.iter().zip(expected) {
        assert_relative_eq!(found, expected, epsilon = 1e-12);
    }
}

#[test]
fn entities_are_those_of_seqeval_and_conlleval() {
    let path = root().join("tests/fixtures/scores/tagging.json");
    let cases: Vec<Case> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.len() >= 20);
    let mut differ = 0;
    for Case { scheme, gold, predicted, expected } in cases {
        let strict = if scheme == "BI" { Rule::StrictIob2 } else { Rule::StrictIobes };
        for (rule, rates) in [(Rule::Conll, &expected.default), (strict, &expected.strict)] {
            let found = score(&predicted, &gold, rule).unwrap();
            check(&found.overall, &rates.overall);
            assert!(found.by_type.keys().eq(rates.by_type.keys()), "{:?}", found.by_type);
            for (kind, expected) in &rates.by_type {
                check(&found.by_type[kind], expected);
            }
            assert_relative_eq!(found.accuracy, expected.accuracy, epsilon = 1e-12);
        }
        let MatchCounts { gold, predicted, right } =
            score(&predicted, &gold, Rule::Conll).unwrap().overall;
        assert_eq!([gold, predicted, right], expected.conlleval);
        differ += usize::from(expected.default.overall != expected.strict.overall);
    }
    assert!(differ >= 10, "the two modes differ in {differ} cases");
}

/// conlleval's rules: I after O or of another type begins an entity; E and S end one.
#[test]
fn entities_of_broken_sequences() {
    let tags = ["I-a", "I-b", "B-b", "E-b", "I-b", "S-b", "O", "E-a", "B", "I"];
    let found: Vec<_> = entities(&tags, Rule::Conll).unwrap();
    let expected =
        [("a", 0, 1), ("b", 1, 2), ("b", 2, 4), ("b", 4, 5), ("b", 5, 6), ("a", 7, 8), ("", 8, 10)];
    assert_eq!(found, expected.map(|(kind, start, end)| Entity { kind, start, end }));
    let strict: Vec<_> = entities(&tags, Rule::StrictIobes).unwrap();
    assert_eq!(
        strict,
        [("b", 2, 4), ("b", 5, 6)].map(|(kind, start, end)| Entity { kind, start, end })
    );
    assert!(entities(&[""; 0], Rule::Conll).unwrap().is_empty());
}

#[test]
fn tags_that_cannot_be_scored() {
    let tags = |words: &[&[&str]]| -> Vec<Vec<String>> {
        words.iter().map(|tags| tags.iter().map(|&tag| tag.to_owned()).collect()).collect()
    };
    let gold = tags(&[&["B-a", "O"], &["O"]]);
    says(score(&gold[..1], &gold, Rule::Conll), &["predicted sentences = 1", "2"]);
    let short = tags(&[&["B-a", "O"], &[]]);
    says(score(&short, &gold, Rule::Conll), &["sentence 2", "= 0", "1"]);
    for (wrong, rule) in
        [("X-a", Rule::Conll), ("", Rule::Conll), ("O-a", Rule::Conll), ("E-a", Rule::StrictIob2)]
    {
        says(
            score(&tags(&[&["B-a", wrong], &["O"]]), &gold, rule),
            &["tag", &format!("{wrong:?}"), "B-PER"],
        );
    }
    says(score(&[], &[], Rule::Conll), &["words = 0"]);
}
