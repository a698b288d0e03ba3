//! SQuAD's files: their contents, and errors of files that cannot be used.

use crate::says;
use electra_scores::squad::{
    self, Answer, Predictions, SquadFile, read_null_odds, read_predictions, score_1, score_2,
};
use std::{fs, io::Cursor, path::Path};

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
    read_with(squad::read, bytes)
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
        let found: String =
            context.chars().skip(start.unwrap() as usize).take(text.chars().count()).collect();
        assert_eq!(&found, text, "starts count characters");
    }
    assert!(questions[1].1.is_impossible);
    assert_eq!(questions[1].1.answers, Some(Vec::new()));
    assert_eq!(questions[1].1.plausible_answers[0].start, Some(8));
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
            "the number of characters before the answer",
        ],
    );
    says(with("22", "NaN"), &["answers[0].answer_start", "NaN", "finite"]);
    says(with("22", "-Infinity"), &["answers[0].answer_start", "Infinity", "finite"]);
    says(with("\"context\"", "\"text\""), &["data[0].paragraphs[0]", "missing field `context`"]);
    says(with("\"data\"", "\"rows\""), &["missing field `data`"]);
    says(read(&FILE.as_bytes()[..200]), &["dev.json", "EOF"]);
    says(read(format!("{FILE} {{}}").as_bytes()), &["more after the end"]);
    says(read(b""), &["dev.json", "EOF"]);
    says(squad::read("nowhere.json".as_ref()), &["nowhere.json"]);
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
    says(with("\"v2.0\""), &["version", "sequence", "a string or a number"]);
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

/// The layouts of the file above: lists, `datasets`' rows, and the numbers that some files have instead of strings.
#[test]
fn questions_are_the_same_in_every_layout() {
    let context = "Bakers bake bread.";
    let row = |id: &str, question: &str, answers: &str| {
        format!(
            "{{\"id\": {id}, \"title\": \"Bread\", \"context\": \"{context}\", \"question\": \"{question}\", \"answers\": {answers}}}"
        )
    };
    let (first, second) = (
        row("\"a\"", "What?", "{\"text\": [\"bread\", \"bake\"], \"answer_start\": [12, 7]}"),
        row("7", "Where?", "{\"text\": [], \"answer_start\": []}"),
    );
    let articles = format!(
        "[{{\"title\": \"Bread\", \"paragraphs\": [{{\"context\": \"{context}\", \"qas\": [\n\
         {{\"id\": \"a\", \"question\": \"What?\", \"answers\": [{{\"text\": \"bread\", \"answer_start\": 12}}, {{\"answer_start\": 7.0, \"text\": \"bake\"}}]}},\n\
         {{\"id\": \"7\", \"question\": \"Where?\", \"answers\": []}}]}}]}}]"
    );
    let layouts = [
        ("x.json", format!("{{\"version\": 2.0, \"data\": {articles}}}"), Some("2.0")),
        ("x.json", format!("{{\"data\": {articles}, \"version\": \"v2\"}}"), Some("v2")),
        ("x.json", articles, None),
        ("x.json", format!("[{first},\n{second}]"), None),
        ("x.json", format!("{{\"data\": [{first}, {second}]}}"), None),
        // `datasets` writes lines into .json too.
        ("x.json", format!("{first}\n{second}\n"), None),
        ("x.JSONL", format!("{first}\n{second}\n\n"), None),
    ];
    let read =
        |name: &str, text: &str| squad::read_from(Cursor::new(text.to_owned()), name.as_ref());
    for (name, text, version) in layouts {
        let file = read(name, &text).unwrap();
        assert_eq!(file.version.as_deref(), version, "{text}");
        let [article] = &file.articles[..] else { panic!("{text}") };
        let [paragraph] = &article.paragraphs[..] else { panic!("{text}") };
        assert_eq!(
            (article.title.as_deref(), paragraph.context.as_str()),
            (Some("Bread"), context)
        );
        let [what, where_] = &paragraph.questions[..] else { panic!("{text}") };
        let answer = |text: &str, start| Answer { text: text.to_owned(), start: Some(start) };
        assert_eq!(what.answers, Some(vec![answer("bread", 12), answer("bake", 7)]));
        assert_eq!((where_.id.as_str(), &where_.answers), ("7", &Some(Vec::new())));
        assert!(!where_.is_impossible, "the flag is not in the file");
    }
    // One row alone, and rows about two texts.
    assert_eq!(read("x.json", &first).unwrap().questions().count(), 1);
    let other = second.replace("bread", "cake");
    assert_eq!(read("x.jsonl", &format!("{first}\n{other}")).unwrap().paragraphs().count(), 2);

    let fails = |name: &str, text: &str, words: &[&str]| says(read(name, text), words);
    let wrong = first.replace("[12, 7]", "[12]");
    fails(
        "x.jsonl",
        &format!("{second}\n{wrong}"),
        &["x.jsonl:2", "answers", "2 entries", "1 in \"answer_start\""],
    );
    fails("x.json", &format!("[{second}, {wrong}]"), &["x.json", "[1].answers", "2 entries"]);
    fails(
        "x.jsonl",
        &first.replace("\"question\"", "\"query\""),
        &["x.jsonl:1", "\"qas\"", "\"question\""],
    );
    fails("x.jsonl", &first.replace("\"id\"", "\"key\""), &["x.jsonl:1", "missing field `id`"]);
    fails("x.jsonl", &format!("{first}\n{first}"), &["x.jsonl:2", "\"a\"", "line 1"]);
    fails("x.json", &format!("[{first}, {first}]"), &["[1].id", "\"a\"", "[0]"]);
    fails("x.json", "[{\"title\": \"t\"}]", &["[0]", "\"paragraphs\"", "\"context\""]);
    fails("x.json", "[5]", &["[0]", "integer"]);
    fails("x.json", "5", &["an object with the key \"data\", or a list"]);
    fails(
        "x.jsonl",
        &first.replace("\"bread\"", "5"),
        &["x.jsonl:1", "answers.text[0]", "a string"],
    );
    for version in ["[]", "true"] {
        let text = format!("{{\"version\": {version}, \"data\": []}}");
        fails("x.json", &text, &["version", "a string or a number"]);
    }
}

/// They are read as they are: what is made of them is a question of training.
#[test]
fn starts_that_are_no_place_in_the_context() {
    let starts = |text: &str| -> Vec<Option<i64>> {
        let file = read(FILE.replacen("22", text, 1).as_bytes()).unwrap();
        let (_, question) = file.questions().next().unwrap();
        question.answers.iter().flatten().map(|answer| answer.start).collect()
    };
    assert_eq!(starts("-1"), [Some(-1), Some(15)]);
    assert_eq!(starts("null"), [None, Some(15)]);
    assert_eq!(starts("18446744073709551615"), [Some(i64::MAX), Some(15)]);
    let missing = FILE.replacen(", \"answer_start\": 22", "", 1);
    let file = read(missing.as_bytes()).unwrap();
    assert_eq!(file.questions().next().unwrap().1.answers.as_ref().unwrap()[0].start, None);
    let fraction = FILE.replacen("22", "2.5", 1);
    says(read(fraction.as_bytes()), &["answer_start", "2.5", "the number of characters"]);
}

/// A flag is enough, and an answer without text is not an answer to learn. The official script scores it as one: its
/// `qid_to_has_ans` is `bool(qa['answers'])`, and the empty prediction is right, since no other text remains.
#[test]
fn questions_without_an_answer() {
    let question = |keys: &str| {
        let row = format!("{{\"id\": 1, \"context\": \"c\", \"question\": \"?\"{keys}}}");
        let file = squad::read_from(Cursor::new(row), "x.jsonl".as_ref()).unwrap();
        file.questions().next().unwrap().1.clone()
    };
    let flagged = question(", \"is_impossible\": true");
    assert_eq!((flagged.answers.as_deref(), flagged.has_no_answer()), (Some(&[][..]), true));
    assert!(question(", \"answers\": []").has_no_answer());
    assert!(question(", \"answers\": [{\"text\": \" \", \"answer_start\": -1}]").has_no_answer());
    let mixed = ", \"answers\": [{\"text\": \"\", \"answer_start\": 0}, {\"text\": \"c\"}]";
    assert!(!question(mixed).has_no_answer());
    let unknown = question(", \"is_impossible\": false");
    assert_eq!((unknown.answers.is_none(), unknown.has_no_answer()), (true, false));

    let named = question(", \"answer\": \"Ohio\", \"topic\": 1");
    assert_eq!(named.similar_key.as_deref(), Some("answer"));
    let message = named.missing_answers();
    assert!(message.contains("unknown key \"answer\": did you mean \"answers\""), "{message}");
    assert_eq!(unknown.missing_answers(), "there is no key \"answers\"");
    assert_eq!(question(", \"answers\": [], \"answer\": \"Ohio\"").similar_key, None);

    let text = FILE.replace(
        "\"id\": \"c\", ",
        "\"id\": \"c\", \"answers\": [{\"text\": \"\", \"answer_start\": -1}], ",
    );
    let gold = read(text.as_bytes()).unwrap();
    let ids = ["a", "b", "c"].map(|id| (id.to_owned(), String::new()));
    let scores = score_2(&gold, &ids.into(), None, 1.0).unwrap();
    let (none, some) = (scores.no_answer.unwrap(), scores.has_answer.unwrap());
    assert_eq!((none.total, none.exact, some.total, some.exact), (1, 100.0, 2, 50.0));
}

/// An escape of half of a surrogate pair, as some exports have it.
#[test]
fn lone_surrogates_are_named() {
    let lone = FILE.replacen("Who ate", "Who \\ud83d ate", 1);
    let words = ["dev.json", "qas[1].question", "line 6", "lone surrogates", "correct the file"];
    says(read(lone.as_bytes()), &words);
    let pair = FILE.replacen("Who ate", "Who \\ud83c\\udf5e ate", 1);
    assert!(read(pair.as_bytes()).unwrap().questions().any(|(_, q)| q.text == "Who 🍞 ate it?"));
    let row = r#"{"id": "\udc00", "context": "c", "question": "?"}"#;
    let lines = squad::read_from(Cursor::new(row), "x.jsonl".as_ref());
    says(lines, &["x.jsonl:1", "lone surrogates"]);
}
