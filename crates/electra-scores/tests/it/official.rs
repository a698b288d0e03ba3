//! Scores against those of the official scripts, scikit-learn and SciPy, from `cargo xtask fixtures`.

use crate::root;
use electra_scores::{
    figure::{Figure, Layout, json},
    metrics, multi_label,
    squad::{
        NullOdds, Predictions, SquadFile, normalize, read_from, read_null_odds, score_1, score_2,
    },
};
use serde::Deserialize;
use std::{collections::BTreeMap, fs, io::Cursor};

fn fixture<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let path = root().join("tests/fixtures/scores").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct Squad {
    normalize: Vec<(String, String)>,
    v1: Version<Case1>,
    v2: Version<Case2>,
}

#[derive(Deserialize)]
struct Version<Case> {
    gold: serde_json::Value,
    cases: Vec<Case>,
}

fn gold(json: &serde_json::Value) -> SquadFile {
    read_from(Cursor::new(json.to_string()), "gold.json".as_ref()).unwrap()
}

#[derive(Deserialize)]
struct Case1 {
    predictions: Predictions,
    expected: String,
}

#[derive(Deserialize)]
struct Case2 {
    predictions: Predictions,
    null_odds: Option<NullOdds>,
    threshold: f64,
    expected: String,
}

/// Letters, marks, digits, spaces and punctuation of many scripts, with articles next to them.
#[test]
fn texts_are_normalized_as_the_official_script_does() {
    let texts = fixture::<Squad>("squad.json").normalize;
    assert!(texts.len() > 200);
    for (text, expected) in texts {
        assert_eq!(normalize(&text), expected, "{text:?}");
    }
}

/// The output equals that of the script, byte for byte.
#[test]
fn scores_of_squad_1_are_the_official_scripts() {
    let Version { gold, cases } = fixture::<Squad>("squad.json").v1;
    let gold = self::gold(&gold);
    assert!(cases.len() >= 20);
    let (mut missing, mut unknown) = (0, 0);
    for Case1 { predictions, expected } in cases {
        let scores = score_1(&gold, &predictions).unwrap();
        assert_eq!(json(&scores.figures(), Layout::Line), expected);
        assert_eq!(
            predictions.len() + scores.unmatched.missing.len(),
            gold.questions().count() + scores.unmatched.unknown.len()
        );
        missing += scores.unmatched.missing.len();
        unknown += scores.unmatched.unknown.len();
    }
    assert!(missing > 20 && unknown > 20, "{missing} missing, {unknown} unknown");
}

/// With and without null odds (ties, all equal, tiny, huge) and thresholds.
#[test]
fn scores_of_squad_2_are_the_official_scripts() {
    let Version { gold, cases } = fixture::<Squad>("squad.json").v2;
    let gold = self::gold(&gold);
    assert!(cases.len() >= 20);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("null_odds.json");
    let mut with_curves = 0;
    for Case2 { predictions, null_odds, threshold, expected } in cases {
        let odds = null_odds.map(|odds| {
            let members: Vec<_> = odds.iter().map(|(id, x)| format!("{id:?}: {x:?}")).collect();
            fs::write(&path, format!("{{{}}}", members.join(", "))).unwrap();
            let read = read_null_odds(&path).unwrap();
            assert_eq!(read, odds, "the file's order and every bit are kept");
            read
        });
        let scores = score_2(&gold, &predictions, odds.as_ref(), threshold).unwrap();
        assert_eq!(json(&scores.figures(), Layout::Indented), expected);
        with_curves += usize::from(scores.average_precision.is_some());
    }
    assert!(with_curves >= 15, "{with_curves} cases with curves");
}

/// Python's `repr` of numbers, from its documentation: the fewest digits that identify the number.
#[test]
fn numbers_are_written_as_python_writes_them() {
    let cases = [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (100.0, "100.0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-4, "0.0001"),
        (1.5e-5, "1.5e-05"),
        (-1e-10, "-1e-10"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e+16"),
        (1.25e123, "1.25e+123"),
    ];
    for (value, text) in cases {
        assert_eq!(Figure::Value(value).to_string(), text);
    }
    assert_eq!(Figure::Count(100).to_string(), "100");
}

#[derive(Deserialize)]
struct Sets {
    gold: Vec<Vec<u8>>,
    predicted: Vec<Vec<u8>>,
    expected: BTreeMap<String, f64>,
}

/// Also for empty sets, labels that never occur, and a single example.
#[test]
fn scores_of_sets_of_labels_are_scikit_learns() {
    let cases: Vec<Sets> = fixture("multi_label.json");
    assert!(cases.len() >= 20);
    for Sets { gold, predicted, expected } in cases {
        let sets = |rows: &[Vec<u8>]| -> Vec<Vec<bool>> {
            rows.iter().map(|row| row.iter().map(|&flag| flag == 1).collect()).collect()
        };
        let found = multi_label::scores(&sets(&predicted), &sets(&gold));
        assert_eq!(found.len(), expected.len());
        for (metric, found) in found {
            let (found, expected) = (found.unwrap(), expected[metric.name()]);
            assert!((found - expected).abs() <= 1e-12, "{metric}: {found}, not {expected}");
        }
    }
}

#[derive(Deserialize)]
struct Glue {
    classes: usize,
    gold: Vec<f64>,
    predicted: Vec<f64>,
    expected: BTreeMap<String, Option<f64>>,
}

/// Also for a single class, constants, ties, a single example, values far from 0.
#[test]
fn scores_of_sentence_tasks_are_scikit_learns_and_scipys() {
    const TOLERANCE: f64 = 1e-12;
    let cases: Vec<Glue> = fixture("glue.json");
    assert!(cases.len() >= 20);
    for Glue { classes, gold, predicted, expected } in cases {
        let class = |values: &[f64]| values.iter().map(|&x| x as usize).collect::<Vec<_>>();
        let found = match classes {
            1 => metrics::regression(&predicted, &gold),
            _ => metrics::classification(&class(&predicted), &class(&gold), classes),
        };
        for (name, expected) in expected {
            let (_, found) = found.iter().find(|(metric, _)| metric.name() == name).unwrap();
            let close = match (*found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() <= TOLERANCE,
                (found, expected) => found == expected,
            };
            assert!(close, "{name}: {found:?}, not {expected:?}, for {predicted:?} and {gold:?}");
        }
    }
}
