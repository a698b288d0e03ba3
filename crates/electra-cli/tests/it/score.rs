//! `electra score`: what is printed where, and what is said of files that cannot be scored.

use crate::{electra, errors::fails, output};
use std::{fs, path::Path};

const GOLD: &str = r#"{"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": "one two three", "qas": [
  {"id": "a", "question": "?", "answers": [{"text": "one two", "answer_start": 0}, {"text": "one", "answer_start": 0}]},
  {"id": "b", "question": "?", "answers": [{"text": "three", "answer_start": 8}]}]}]}]}"#;

fn write(dir: &Path, name: &str, text: impl AsRef<[u8]>) {
    fs::write(dir.join(name), text).unwrap();
}

fn with_gold() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "gold.json", GOLD);
    folder
}

/// Of "one four five six" a quarter is "one", and that is all of it: F1 2 * 0.25 * 1 / 1.25.
#[test]
fn squad_1_scores_0_for_what_is_missing() {
    let folder = with_gold();
    let dir = folder.path();
    write(dir, "preds.json", r#"{"c": "of nobody", "a": "One four, five six."}"#);
    let line = "score squad --version 1.1 --gold {}/gold.json --pred {}/preds.json";
    assert_eq!(output(dir, line), "{\"exact_match\": 0.0, \"f1\": 20.0}\n");
    let said = electra(dir, line).success().get_output().stderr.clone();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("no prediction for 1 ids (b): they score 0"), "{said}");
    assert!(said.contains("passed over: 1 ids (c)"), "{said}");
}

/// The right answer has the lower null odds, so that a threshold between the two is best: 100 %.
#[test]
fn squad_2_has_null_odds_and_a_threshold() {
    let folder = with_gold();
    let dir = folder.path();
    let none = r#""answers": [], "is_impossible": true"#;
    let gold = GOLD.replace(r#""answers": [{"text": "three", "answer_start": 8}]"#, none);
    write(dir, "gold.json", gold);
    write(dir, "preds.json", r#"{"a": "one", "b": "two"}"#);
    write(dir, "odds.json", r#"{"a": -3, "b": 1e-05}"#);
    let line = "score squad --version 2.0 --gold {}/gold.json --pred {}/preds.json --null-odds {}/odds.json";
    let parts = |exact: &str, no_answer: &str| {
        format!(
            "{{\n  \"exact\": {exact},\n  \"f1\": {exact},\n  \"total\": 2,\n  \"HasAns_exact\": 100.0,\n  \"HasAns_f1\": 100.0,\n  \"HasAns_total\": 1,\n  \"NoAns_exact\": {no_answer},\n  \"NoAns_f1\": {no_answer},\n  \"NoAns_total\": 1"
        )
    };
    let curves = ",\n  \"best_exact\": 100.0,\n  \"best_exact_thresh\": -3.0,\n  \"best_f1\": 100.0,\n  \"best_f1_thresh\": -3.0,\n  \"pr_exact_ap\": 100.0,\n  \"pr_f1_ap\": 100.0,\n  \"pr_oracle_ap\": 100.0\n}\n";
    assert_eq!(output(dir, line), parts("50.0", "0.0") + curves);
    assert_eq!(
        output(dir, &format!("{line} --na-prob-thresh -2.75")),
        parts("100.0", "100.0") + curves
    );
}

#[test]
fn squad_files_that_cannot_be_scored() {
    let folder = with_gold();
    let dir = folder.path();
    write(dir, "preds.json", "{\"a\": NaN}");
    let line = "score squad --version 1.1 --gold {}/gold.json --pred {}/preds.json";
    fails(dir, line, 1, &["preds.json", "a: NaN", "line 1"]);
}

#[test]
fn options_of_squad_that_do_not_go_together() {
    let dir = Path::new(".");
    fails(
        dir,
        "score squad --version 2.0 --gold g --pred p --na-prob-thresh 0",
        2,
        &["--null-odds"],
    );
    fails(dir, "score squad --version 1.1 --gold g --pred p --null-odds o", 2, &["--version 2.0"]);
}

#[test]
fn glue_is_scored_and_averaged() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    write(dir, "dev.tsv", "sentence\tlabel\nA .\t1\nB .\t0\n");
    write(dir, "preds.tsv", "index\tprediction\n0\t1\n1\t1\n");
    let line = "score glue --task sst2 --gold {}/dev.tsv --pred {}/preds.tsv";
    let printed = output(dir, line);
    assert_eq!(printed, "{\n  \"accuracy\": 0.5\n}\n");
    write(dir, "sst2.json", printed);
    fails(dir, "score average --of sst2={}/sst2.json", 1, &["0 files", "cola"]);
    fails(dir, "score average --of sst3=x", 2, &["sst3", "did you mean \"sst2\""]);
}
