//! `electra score`: what is printed where, and the errors of files that cannot be scored.

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
    let stderr = electra(dir, line).success().get_output().stderr.clone();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(stderr.contains("no prediction for 1 ids (b): they score 0"), "{stderr}");
    assert!(
        stderr.contains("ignored predictions without a question in")
            && stderr.contains(": 1 ids (c)"),
        "{stderr}"
    );
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

/// Of two questions one is answered, with an article and a full stop more; the other scores 0.
#[test]
fn files_of_mrqa_are_gold_too() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let detected = serde_json::json!([{"text": "bread", "char_spans": [[6, 10]]}]);
    let question = |id: &str| serde_json::json!({"qid": id, "question": "?", "answers": ["bread"], "detected_answers": detected});
    let line = serde_json::json!({"context": "baked bread", "qas": [question("a"), question("b")]});
    write(dir, "gold.jsonl", format!("{{\"header\": {{}}}}\n{line}\n"));
    write(dir, "preds.json", r#"{"a": "The bread."}"#);
    let line = "score squad --version 1.1 --gold {}/gold.jsonl --pred {}/preds.json";
    assert_eq!(output(dir, line), "{\"exact_match\": 50.0, \"f1\": 50.0}\n");
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
    let thresholds =
        "score squad --version 2.0 --gold g --pred p --null-odds o --na-prob-thresh nan";
    fails(dir, thresholds, 2, &["--na-prob-thresh", "must be a number"]);
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

/// Three of four are right. Classes 0 1 2 2 against 0 1 2 1: right 3, sum of products 1 * 1 + 1 * 2 + 2 * 1 = 5, so
/// (3 * 4 - 5) / sqrt((16 - 6) (16 - 6)).
#[test]
fn the_diagnostic_set_is_scored_where_there_is_gold() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let rows = "a\tb\tcontradiction\na\tb\tentailment\na\tb\tneutral\na\tb\tentailment\n";
    write(dir, "full.tsv", format!("Premise\tHypothesis\tLabel\n{rows}"));
    write(dir, "own.tsv", format!("sentence1\tsentence2\tlabel\n{rows}"));
    write(
        dir,
        "preds.tsv",
        "index\tprediction\n0\tcontradiction\n1\tentailment\n2\tneutral\n3\tneutral\n",
    );
    for gold in ["full.tsv", "own.tsv"] {
        let line = format!("score glue --task ax --gold {{}}/{gold} --pred {{}}/preds.tsv");
        assert_eq!(output(dir, &line), "{\n  \"matthews\": 0.7\n}\n");
    }
    write(dir, "none.tsv", "sentence1\tsentence2\na\tb\n");
    fails(
        dir,
        "score glue --task ax --gold {}/none.tsv --pred {}/preds.tsv",
        1,
        &["none.tsv:1", "\"label\""],
    );
}

/// Of two entities one is found, and one is found that is none; three of four tags are right.
#[test]
fn tags_are_scored_from_files_of_columns() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    write(dir, "gold.txt", "A B-X\nB I-X\nC O\n\nD B-Y\n");
    write(dir, "tagged.txt", "A B-X B-X\nB I-X O\nC O O\n\nD B-Y B-Y\n");
    let line = "score tagging --gold {}/gold.txt --pred {}/tagged.txt";
    let found: serde_json::Value = serde_json::from_str(&output(dir, line)).unwrap();
    let of_type = |right: f64, count: u64| serde_json::json!({"precision": right, "recall": right, "f1": right, "gold": 1, "predicted": 1, "right": count});
    let expected = serde_json::json!({
        "precision": 0.5, "recall": 0.5, "f1": 0.5, "gold": 2, "predicted": 2, "right": 1, "accuracy": 0.75,
        "types": {"X": of_type(0.0, 0), "Y": of_type(1.0, 1)},
    });
    assert_eq!(found, expected);
    let plain = output(dir, &format!("{line} --rule plain"));
    assert_eq!(plain, "{\n  \"accuracy\": 0.75\n}\n");
    // The gold file's own tags, which the tagged file has before its last column.
    let right = output(dir, &format!("{line} --rule plain --pred-column 2"));
    assert_eq!(right, "{\n  \"accuracy\": 1.0\n}\n");

    write(dir, "tagged.txt", "A O\nB O\nX O\n\nD O\n");
    fails(dir, line, 1, &["tagged.txt:3", "\"X\"", "gold.txt:3", "\"C\""]);
    write(dir, "tagged.txt", "A O\nB O\n\nD O\n");
    fails(dir, line, 1, &["tagged.txt:3", "the end of the sentence", "gold.txt:3", "\"C\""]);
    write(dir, "tagged.txt", "A O\nB O\nC O\n");
    fails(dir, line, 1, &["gold.txt:5", "tagged.txt ends after 1 sentences", "\"D\""]);
    write(dir, "tagged.txt", "A O\nB O O\nC O\n\nD O\n");
    fails(dir, line, 1, &["tagged.txt:2", "3 columns", "have 2"]);
    write(dir, "tagged.txt", b"A O\nB\xe9 O\nC O\n\nD O\n");
    fails(dir, line, 1, &["tagged.txt:2", "UTF-8", "0xe9"]);
    write(dir, "tagged.txt", "A NN\nB O\nC O\n\nD O\n");
    fails(dir, line, 1, &["tagged.txt:1", "\"NN\"", "B-PER"]);
    // Comments, and the same entities in BILOU.
    write(dir, "tagged.txt", "# id 1\nA B-X\nB L-X\nC O\n\nD U-Y\n");
    let found: serde_json::Value = serde_json::from_str(&output(dir, line)).unwrap();
    assert_eq!(found["f1"], 1.0);
    fails(dir, &format!("{line} --comments none"), 1, &["tagged.txt:2", "2 columns", "have 3"]);
}

/// Three of four are right; neg has precision 1 and recall 2/3, pos 1/2 and 1.
#[test]
fn classes_of_any_task_are_scored() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let task = "name = 't'\nkind = 'classification'\ntext_a = 'a'\nlabel = 'b'\nmetric = 'macro-f1'\n\
                [files]\ntrain = 'gold.tsv'\ndev = 'gold.tsv'\n";
    write(dir, "task.toml", task);
    write(dir, "gold.tsv", "a\tb\nx\tpos\nx\tneg\nx\tneg\nx\tneg\n");
    write(
        dir,
        "preds.json",
        r#"[{"index": 0, "prediction": "pos"}, {"index": 1, "prediction": "neg"},
        {"index": 2, "prediction": "pos"}, {"index": 3, "prediction": "neg"}]"#,
    );
    let line = "score classification --task {}/task.toml --gold {}/gold.tsv --pred {}/preds.json";
    let found: serde_json::Value = serde_json::from_str(&output(dir, line)).unwrap();
    let is = |found: &serde_json::Value, expected: f64| {
        let found = found.as_f64().unwrap();
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    };
    is(&found["accuracy"], 0.75);
    is(&found["macro-f1"], (0.8 + 2.0 / 3.0) / 2.0);
    is(&found["classes"]["neg"]["recall"], 2.0 / 3.0);
    is(&found["classes"]["pos"]["precision"], 0.5);
    write(dir, "task.toml", task.replace("'classification'", "'tagging'"));
    fails(dir, line, 1, &["task.toml", "\"classification\""]);
}

/// Gold {a, b}, {}, {b}; predicted {a}, {}, {b, c}: two of three labels found, one is predicted that is not in the gold.
#[test]
fn sets_of_labels_are_scored_from_tables() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let task = "name = \"t\"\nkind = \"multi-label\"\ntext_a = \"text\"\nlabel = \"of\"\nmetric = \"accuracy\"\n";
    let files = "[files]\ntrain = \"gold.tsv\"\ndev = \"gold.tsv\"\n";
    write(dir, "task.toml", format!("{task}{files}"));
    write(dir, "gold.tsv", "text\tof\nx\ta, b\ny\t\nz\tb\n");
    write(dir, "preds.tsv", "index\tprediction\n0\ta\n1\t\n2\tb,c\n");
    let line = "score multi-label --task {}/task.toml --gold {}/gold.tsv --pred {}/preds.tsv";
    let scores: serde_json::Value = serde_json::from_str(&output(dir, line)).unwrap();
    let is = |metric: &str, expected: f64| {
        let found = scores[metric].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-12, "{metric}: {found}, not {expected}");
    };
    is("accuracy", 1.0 / 3.0);
    is("micro-f1", 4.0 / 6.0);
    // F1 of a is 1, of b 2 / 3, of c 0.
    is("macro-f1", 5.0 / 9.0);

    write(dir, "task.toml", format!("labels = [\"a\", \"b\"]\n{task}{files}"));
    fails(dir, line, 1, &["preds.tsv:4", "\"c\"", "a, b"]);
    write(dir, "preds.tsv", "index\tprediction\n0\ta,a\n");
    fails(dir, line, 1, &["preds.tsv:2", "\"a\" is a duplicate"]);
    write(dir, "preds.tsv", "index\tprediction\n0\ta\n0\tb\n");
    fails(dir, line, 1, &["preds.tsv:3", "duplicate index 0", "line 2"]);
    write(dir, "preds.tsv", "index\tprediction\n9\ta\n");
    fails(dir, line, 1, &["preds.tsv:2", "\"9\"", "0 to 2"]);
    write(dir, "preds.tsv", b"index\tprediction\n0\ta\xe9\n");
    fails(dir, line, 1, &["preds.tsv:2", "UTF-8", "0xe9"]);
    write(dir, "preds.tsv", "index\tprediction\n0\ta\n");
    fails(dir, line, 1, &["preds.tsv", "no prediction for index 1", "missing predictions: 2"]);
    write(dir, "task.toml", format!("{}{files}", task.replace("multi-label", "classification")));
    fails(dir, line, 1, &["task.toml", "multi-label"]);
}
