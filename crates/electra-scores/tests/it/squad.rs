//! SQuAD's files: their contents, and errors of files that cannot be used.

use crate::says;
use electra_scores::squad::{
    Answer, Predictions, SquadFile, read_null_odds, read_predictions, score_1, score_2,
};
use std::{fs, path::Path};

const FILE: &str = r#"{"version": "v2.0", "data": [
  {"title": "Bread", "paragraphs": [
    {"context": "“Naïve” bakers 🍞 bake bread.", "qas": [
      {"id": "a", "question": "What is baked?", "is_impossible": false,
       "answers": [{"text": "bread", "answer_start": 22}, {"text": "🍞", "answer_start": 15}]},
      {"id": "b", "question": "Who ate it?", "is_impossible": true, "answers": [],
       "plausible_answers": [{"text": "bakers", "answer_start": 8}]}]}]},
  {"split": "other keys are passed over", "paragraphs": [
    {"context": "c", "qas": [{"id": "c", "question": "?"}]}]}]}"#;

fn read(bytes: &[u8]) -> electra_scores::Result<SquadFile> {
    read_with(SquadFile::read, bytes)
}

/// The result of a reader for a file `dev.json` with these bytes.
fn read_with<T>(
    reader: impl Fn(&Path) -> electra_scores::Result<T>,
    bytes: &[u8],
) -> electra_scores::Result<T> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dev.json");
    fs::write(&path, bytes).unwrap();
    reader(&path)
}

#[test]
fn a_file_is_read_unchanged() {
    let file = read(FILE.as_bytes()).unwrap();
    assert_eq!(file.version.as_deref(), Some("v2.0"));
    assert_eq!(file.articles[0].title.as_deref(), Some("Bread"));
    let questions: Vec<_> = file.questions().collect();
    assert_eq!(questions.iter().map(|(_, q)| q.id.as_str()).collect::<String>(), "abc");
    let (context, question) = questions[0];
    for Answer { text, start } in question.answers.as_ref().unwrap() {
        let found: String = context.chars().skip(*start).take(text.chars().count()).collect();
        assert_eq!(&found, text, "starts count characters");
    }
    assert!(questions[1].1.is_impossible);
    assert_eq!(questions[1].1.answers, Some(Vec::new()));
    assert_eq!(questions[1].1.plausible_answers[0].start, 8);
    assert_eq!(questions[2].1.answers, None, "no gold is not the gold that there is no answer");
    let with = |version: &str| read(FILE.replacen("\"v2.0\"", version, 1).as_bytes()).unwrap();
    assert_eq!(with("1.1").version.as_deref(), Some("1.1"));
    assert_eq!(read(format!("\u{feff}{FILE}").as_bytes()).unwrap(), file, "a byte-order mark");
}

#[test]
fn files_that_cannot_be_used() {
    let with = |from: &str, to: &str| {
        assert!(FILE.contains(from));
        read(FILE.replacen(from, to, 1).as_bytes())
    };
    says(
        with("\"b\"", "\"a\""),
        &["dev.json", "qas[1].id", "\"a\"", "data[0].paragraphs[0].qas[0]"],
    );
    says(
        with("22", "\"22\""),
        &[
            "dev.json",
            "data[0].paragraphs[0].qas[0].answers[0].answer_start",
            "line 5 column",
            "string",
        ],
    );
    says(with("22", "-1"), &["answers[0].answer_start", "-1"]);
    says(with("22", "NaN"), &["answers[0].answer_start", "NaN", "finite"]);
    says(with("22", "-Infinity"), &["answers[0].answer_start", "Infinity", "finite"]);
    says(with("\"context\"", "\"text\""), &["data[0].paragraphs[0]", "missing field `context`"]);
    says(with("\"data\"", "\"rows\""), &["missing field `data`"]);
    says(read(&FILE.as_bytes()[..200]), &["dev.json", "EOF"]);
    says(read(format!("{FILE} {{}}").as_bytes()), &["more after the end"]);
    says(read(b""), &["dev.json", "EOF"]);
    says(SquadFile::read("nowhere.json".as_ref()), &["nowhere.json"]);
}

#[test]
fn bytes_that_are_not_utf_8_are_named() {
    let mut bytes = FILE.as_bytes().to_vec();
    let place = FILE.find("bread").unwrap();
    bytes[place] = 0xe9;
    says(read(&bytes), &["dev.json", &format!("byte {place}"), "line 3", "0xe9", "UTF-8"]);
}

/// Neither the stack nor the memory is exhausted, wherever the nesting is.
#[test]
fn json_that_is_nested_too_deep() {
    let deep = "[".repeat(200_000);
    let with = |from: &str| read(FILE.replacen(from, &deep, 1).as_bytes());
    says(with("\"bread\""), &["answers[0].text", "sequence"]);
    says(with("\"v2.0\""), &["version", "recursion limit"]);
    says(with("\"other keys are passed over\""), &["split", "expected value"]);
}

#[test]
fn predictions_that_cannot_be_scored() {
    let predictions = |text: &[u8]| read_with(read_predictions, text);
    says(predictions(b"{\"a\": NaN}"), &["dev.json", "a: NaN", "line 1"]);
    says(predictions(b"{\"a\": null}"), &["a: ", "null", "string"]);
    says(predictions(b"{\"a\": \"x\",\n \"a\": \"y\"}"), &["duplicate key \"a\"", "line 2"]);
    says(predictions(b"[\"a\"]"), &["sequence", "{id: value}"]);
    says(predictions(b"{\"a\": \"caf\xe9\"}"), &["UTF-8", "byte 10", "0xe9"]);
    says(predictions(b"{\"a\": \"x"), &["EOF"]);
    let deep = "{\"a\": ".to_owned() + &"[".repeat(200_000);
    says(predictions(deep.as_bytes()), &["a: ", "sequence"]);
    let odds = |text: &str| read_with(read_null_odds, text.as_bytes());
    assert_eq!(odds("{\"b\": -3, \"a\": 0.5}").unwrap(), [("b".into(), -3.0), ("a".into(), 0.5)]);
    says(odds("{\"a\": NaN}"), &["a: NaN", "finite"]);
    says(odds("{\"a\": -Infinity}"), &["a: Infinity", "finite"]);
    says(odds("{\"a\": 1e999}"), &["a: ", "out of range"]);
    says(odds("{\"a\": 1,\n \"a\": 2}"), &["duplicate key \"a\"", "line 2"]);
    says(odds(&deep), &["a: ", "sequence"]);
    says(read_with(read_null_odds, b"{\"a\xe9\": 1}"), &["UTF-8", "byte 3", "0xe9"]);
    says(odds("{\"a\": \"1\"}"), &["a: ", "string"]);
}

#[test]
fn gold_and_predictions_that_do_not_fit() {
    let gold = read(FILE.as_bytes()).unwrap();
    let predictions = |id: &str| Predictions::from([(id.to_owned(), "bread".to_owned())]);
    let second = |gold: &SquadFile, id: &str| score_2(gold, &predictions(id), None, 1.0);
    says(second(&gold, "a"), &["answers of \"c\"", "[] if it has no answer"]);
    let whole = FILE.replace("\"question\": \"?\"", "\"question\": \"?\", \"answers\": []");
    let gold = read(whole.as_bytes()).unwrap();
    assert_eq!(second(&gold, "a").unwrap().unmatched.missing, ["b", "c"]);
    says(second(&gold, "z"), &["predictions = 1 ids", "at least one id"]);
    says(score_1(&gold, &predictions("a")), &["answers of \"b\"", "version 2.0"]);
    let odds = vec![("b".to_owned(), 0.0)];
    says(score_2(&gold, &predictions("a"), Some(&odds), 1.0), &["null odds", "\"a\""]);
    let empty = read(b"{\"data\": []}").unwrap();
    says(second(&empty, "a"), &["no question"]);
    says(score_1(&empty, &predictions("a")), &["no question"]);
}
