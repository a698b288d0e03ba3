//! Predictions of streams, by threads, and of what cannot be predicted.

use crate::{
    break_layer,
    e2e::{Fixture, config},
    says,
};
use electra_tasks::{
    Predictor,
    predict::{PredictOptions, Probabilities},
    table::{Format, Header, Rows},
};
use std::{
    fs,
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// A model of colours and animals.
fn tuned(fixture: &Fixture) -> Predictor {
    let (task, config) = (fixture.read_task(), config(&["train.epochs=1"]));
    fixture.finetune(&task, &config, "out").run(&AtomicBool::new(false), &mut |_| {}).unwrap();
    Predictor::open(&fixture.path("out/model"), "cpu").unwrap()
}

/// Lines that are handed out one a call; remembers how many were asked for before the answers to those before.
struct Drip {
    lines: std::vec::IntoIter<String>,
    asked: usize,
    answered: Arc<AtomicUsize>,
    held: Arc<AtomicUsize>,
}

impl Read for Drip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let held = self.asked.saturating_sub(self.answered.load(Ordering::Relaxed));
        self.held.fetch_max(held, Ordering::Relaxed);
        let Some(line) = self.lines.next() else { return Ok(0) };
        self.asked += 1;
        buffer[..line.len()].copy_from_slice(line.as_bytes());
        Ok(line.len())
    }
}

/// Counts lines as they come.
struct Lines(Vec<u8>, Arc<AtomicUsize>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        self.1.store(self.0.iter().filter(|&&b| b == b'\n').count(), Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn words() -> Vec<String> {
    let word = |i: usize| ["red", "fox", "blue bird", "bear, \"black\"", "fish"][i % 5];
    (0..23).map(|i| format!("{} {}", word(i), word(i / 5))).collect()
}

/// Memory is flat by construction: no more rows are held than a window has, however many there are, and answers are
/// there before the input ends.
#[test]
fn a_stream_is_answered_window_by_window_in_every_format() {
    let fixture = Fixture::new();
    let predictor = tuned(&fixture);
    let texts = words();
    let pairs: Vec<_> = texts.iter().map(|text| (text.as_str(), None)).collect();
    let expected = predictor.predict(&pairs).unwrap();
    let options = |format| PredictOptions {
        batch_size: 2,
        window: 4,
        probabilities: Probabilities::Write,
        format,
    };
    let stream = |header: bool, line: &dyn Fn(&str) -> String, format| {
        let head = header.then(|| "text\n".to_owned());
        let lines: Vec<_> = head.into_iter().chain(texts.iter().map(|text| line(text))).collect();
        let (answered, held) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let drip = Drip {
            lines: lines.into_iter(),
            asked: 0,
            answered: Arc::clone(&answered),
            held: Arc::clone(&held),
        };
        let rows = Rows::from_reader(drip, format, "rows", &["text"], Header::FirstLine).unwrap();
        let mut out = Lines(Vec::new(), answered);
        let mut told = Vec::new();
        let report = predictor
            .predict_rows(rows, &mut out, "out".as_ref(), &options(format), &mut |n| told.push(n))
            .unwrap();
        assert_eq!((report.rows, told), (23, vec![4, 8, 12, 16, 20, 23]), "{format:?}");
        let held = held.load(Ordering::Relaxed);
        assert!(held <= 4, "{held} rows of {format:?} were held");
        String::from_utf8(out.0).unwrap()
    };

    let tsv = stream(true, &|text| format!("{text}\n"), Format::Tsv);
    let csv = stream(true, &|text| format!("\"{}\"\n", text.replace('"', "\"\"")), Format::Csv);
    let json = |text: &str| serde_json::json!({ "other": [1], "text": text }).to_string() + "\n";
    let jsonl = stream(false, &json, Format::JsonLines);
    assert_eq!(tsv.replace('\t', ","), csv);
    assert_eq!(tsv.lines().next(), Some("index\tprediction\tanimal\tcolour"));
    for ((i, answer), (row, object)) in
        expected.iter().enumerate().zip(tsv.lines().skip(1).zip(jsonl.lines()))
    {
        let fields: Vec<&str> = row.split('\t').collect();
        assert_eq!((fields[0], fields[1]), (&i.to_string()[..], &answer.label[..]));
        let object: serde_json::Value = serde_json::from_str(object).unwrap();
        assert_eq!((&object["index"], &object["prediction"]), (&i.into(), &fields[1].into()));
        for (place, class) in ["animal", "colour"].into_iter().enumerate() {
            // Other texts in the batch, other rounding.
            let p = f64::from(answer.probabilities[place]);
            approx::assert_abs_diff_eq!(
                fields[2 + place].parse::<f64>().unwrap(),
                p,
                epsilon = 1e-5
            );
            let found = object["probabilities"][class].as_f64().unwrap();
            approx::assert_abs_diff_eq!(found, p, epsilon = 1e-5);
        }
    }
    assert_eq!(jsonl.lines().count(), 23);
}

fn shared<T: Send + Sync>(value: &T) -> &T {
    value
}

#[test]
fn threads_share_a_predictor() {
    let fixture = Fixture::new();
    let predictor = tuned(&fixture);
    let predictor = shared(&predictor);
    let texts = words();
    let pairs: Vec<_> = texts.iter().map(|text| (text.as_str(), None)).collect();
    let answers = |part: &[(&str, Option<&str>)]| predictor.predict(part).unwrap();
    let (pairs, alone) = (&pairs, pairs.chunks(5).map(answers).collect::<Vec<_>>());
    std::thread::scope(|scope| {
        let ask = |_| scope.spawn(|| pairs.chunks(5).map(answers).collect::<Vec<_>>());
        for thread in (0..4).map(ask).collect::<Vec<_>>() {
            assert_eq!(thread.join().unwrap(), alone);
        }
    });
}

#[test]
fn errors_of_predictions_name_the_line_and_lose_nothing_before_it() {
    let fixture = Fixture::new();
    let predictor = tuned(&fixture);
    let run = |predictor: &Predictor, text: &'static [u8], format| {
        let rows = Rows::from_reader(text, format, "rows", &["text"], Header::FirstLine);
        let mut out = Vec::new();
        let done = predictor.predict_rows(
            rows.unwrap(),
            &mut out,
            "out".as_ref(),
            &PredictOptions::default(),
            &mut |_| {},
        );
        (done, String::from_utf8(out).unwrap().lines().count())
    };
    let (done, lines) = run(&predictor, b"text\nred\nfox\nred\tblue\nfish\n", Format::Tsv);
    says(done, &["rows:4", "2 columns", "1"]);
    assert_eq!(lines, 3);
    let (done, lines) =
        run(&predictor, b"{\"text\": \"red\"}\n{\"txt\": \"fox\"}\n", Format::JsonLines);
    says(done, &["rows:2", "\"text\"", "txt"]);
    assert_eq!(lines, 2);

    let (done, lines) = run(&predictor, b"text\nred\nfox\ncaf\xe9\nfish\n", Format::Tsv);
    says(done, &["rows:4", "UTF-8", "0xe9"]);
    assert_eq!(lines, 3);

    break_layer(&fixture.path("out/model"), "task_head.weight");
    let broken = Predictor::open(&fixture.path("out/model"), "cpu").unwrap();
    let (done, _) = run(&broken, b"text\nred\n", Format::Tsv);
    says(done, &["rows:2", "no finite number"]);
    says(broken.predict(&[("red", None)]), &["number 0", "no finite number"]);
}

/// In TSV a quotation mark is a character, here as in what is read; what divides fields cannot stand in one.
#[test]
fn names_of_classes_are_written_as_the_format_has_them() {
    let fixture = Fixture::new();
    tuned(&fixture);
    let info = fixture.path("out/model/task.json");
    let plain = fs::read_to_string(&info).unwrap();
    let predict = |class: &str, format| {
        let named = |name: &str| serde_json::to_string(&format!("{name}{class}")).unwrap();
        let text = plain.replace("\"animal\"", &named("a")).replace("\"colour\"", &named("c"));
        fs::write(&info, text).unwrap();
        let predictor = Predictor::open(&fixture.path("out/model"), "cpu").unwrap();
        let text = "text\nred\n".as_bytes();
        let rows = Rows::from_reader(text, Format::Tsv, "rows", &["text"], Header::FirstLine);
        let options = PredictOptions {
            probabilities: Probabilities::Write,
            format,
            ..PredictOptions::default()
        };
        let mut out = Vec::new();
        let name = "out.tsv".as_ref();
        predictor.predict_rows(rows.unwrap(), &mut out, name, &options, &mut |_| {})?;
        Ok(String::from_utf8(out).unwrap())
    };
    let header =
        |text: electra_tasks::Result<String>| text.unwrap().lines().next().unwrap().to_owned();
    let quoted = " \"b\"";
    assert_eq!(header(predict(quoted, Format::Tsv)), "index\tprediction\ta \"b\"\tc \"b\"");
    assert_eq!(
        header(predict(quoted, Format::Csv)),
        "index,prediction,\"a \"\"b\"\"\",\"c \"\"b\"\"\""
    );
    says(predict("\tb", Format::Tsv), &["out.tsv", "\"a\\tb\"", ".csv"]);
    assert_eq!(header(predict("\tb", Format::Csv)), "index,prediction,a\tb,c\tb");
}

/// A quotation mark that is never closed, a line of a table, a string of JSON, each in a file without an end.
#[test]
fn a_row_that_never_ends_is_given_up() {
    let check = |format, text: &'static str, words: &[&str]| {
        let text = text.as_bytes().chain(io::repeat(b'x'));
        let mut rows =
            Rows::from_reader(text, format, "rows", &["text"], Header::FirstLine).unwrap();
        assert_eq!(rows.next().unwrap().unwrap().fields, ["red"]);
        says(rows.next().unwrap(), words);
        assert!(rows.next().is_none());
    };
    check(Format::Csv, "text\nred\n\"fox", &["rows:3", "longer than", "quotation mark"]);
    check(Format::Tsv, "text\nred\nfox", &["rows:3", "longer than"]);
    check(Format::JsonLines, "{\"text\":\"red\"}\n{\"text\":\"", &["rows:2", "longer than"]);
}

#[test]
fn predictions_go_to_the_file_whole_or_not_at_all() {
    let fixture = Fixture::new();
    let predictor = tuned(&fixture);
    let output = fixture.path("answers.csv");
    let rows = |text: &'static str| {
        Rows::from_reader(text.as_bytes(), Format::Tsv, "rows", &["text"], Header::FirstLine)
    };
    let options = PredictOptions { format: Format::Csv, ..PredictOptions::default() };
    let to = |text| predictor.predict_file(rows(text).unwrap(), &output, &options, &mut |_| {});
    says(to("text\nred\nred\tfox\n"), &["rows:3"]);
    assert!(!output.exists() && !fixture.path(".answers.csv.tmp").exists());
    assert_eq!(to("text\nred\nfox\n").unwrap().rows, 2);
    assert!(fs::read_to_string(&output).unwrap().starts_with("index,prediction\n0,"));
}

/// As many answers as lines, so that they can be put beside them.
#[test]
fn empty_lines_of_a_file_of_texts_are_answered() {
    let fixture = Fixture::new();
    let predictor = tuned(&fixture);
    let text = "text\n\nred\n\n\n".as_bytes();
    let rows = Rows::from_reader(text, Format::Tsv, "rows", &["text"], Header::FirstLine).unwrap();
    let mut out = Vec::new();
    let options = PredictOptions::default();
    let done = predictor.predict_rows(rows, &mut out, "out".as_ref(), &options, &mut |_| {});
    assert_eq!(done.unwrap().rows, 4);
    let empty = &predictor.predict(&[("", None)]).unwrap()[0].label;
    let red = &predictor.predict(&[("red", None)]).unwrap()[0].label;
    let expected = format!("index\tprediction\n0\t{empty}\n1\t{red}\n2\t{empty}\n3\t{empty}\n");
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
