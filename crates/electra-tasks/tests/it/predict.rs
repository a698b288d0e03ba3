//! Prediction of streams and by threads, and bad input.

use crate::{
    break_layer, device_name,
    e2e::{Fixture, config},
    says,
};
use electra_model::{LayerContext, Parts, SelfAttention, SoftmaxAttention};
use electra_scores::table::{Format, Rows};
use electra_tasks::{
    Answer, Kinds, Predictor, Request,
    predictor::{Probabilities, StreamInput, StreamOptions},
};
use std::{
    fs,
    io::{self, Read, Write},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tch::Tensor;

/// A model of colors and animals.
fn tuned(fixture: &Fixture) -> Predictor {
    let (task, config) = (fixture.read_task(), config(&["train.epochs=1"]));
    fixture.finetune(&task, &config, "out").run(&AtomicBool::new(false), &mut |_| {}).unwrap();
    Predictor::open(&fixture.path("out/model"), device_name()).unwrap()
}

/// A reader that returns one line per call and records how far it is ahead of the answers.
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

/// Counts the lines written.
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

/// Memory is constant: at most a window of rows is held, and answers are written before the input ends.
#[test]
fn a_stream_is_answered_window_by_window_in_every_format() {
    let fixture = Fixture::new();
    let predictor = tuned(&fixture);
    let texts = words();
    let requests: Vec<_> = texts.iter().map(|text| Request::text(text)).collect();
    let expected = predictor.answer(&requests).unwrap();
    let options = StreamOptions {
        batch_size: 2,
        window: 4,
        probabilities: Probabilities::Write,
        ..StreamOptions::default()
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
        let rows = StreamInput::new(drip, "rows", format);
        let mut out = Lines(Vec::new(), answered);
        let mut told = Vec::new();
        let report = predictor
            .stream(rows, &mut out, "out".as_ref(), &options, &mut |n| told.push(n))
            .unwrap();
        assert_eq!((report.done, told), (23, vec![4, 8, 12, 16, 20, 23]), "{format:?}");
        let held = held.load(Ordering::Relaxed);
        assert!(held <= 4, "{held} rows of {format:?} were held");
        String::from_utf8(out.0).unwrap()
    };

    let tsv = stream(true, &|text| format!("{text}\n"), Format::Tsv);
    let csv = stream(true, &|text| format!("\"{}\"\n", text.replace('"', "\"\"")), Format::Csv);
    let json = |text: &str| serde_json::json!({ "other": [1], "text": text }).to_string() + "\n";
    let jsonl = stream(false, &json, Format::JsonLines);
    assert_eq!(tsv.replace('\t', ","), csv);
    assert_eq!(tsv.lines().next(), Some("index\tprediction\tanimal\tcolor"));
    for ((i, answer), (row, object)) in
        expected.iter().enumerate().zip(tsv.lines().skip(1).zip(jsonl.lines()))
    {
        let fields: Vec<&str> = row.split('\t').collect();
        assert_eq!((fields[0], fields[1]), (&i.to_string()[..], &answer.text()[..]));
        let object: serde_json::Value = serde_json::from_str(object).unwrap();
        assert_eq!((&object["index"], &object["prediction"]), (&i.into(), &fields[1].into()));
        for (place, class) in ["animal", "color"].into_iter().enumerate() {
            // The other texts in the batch change the rounding.
            let p = f64::from(answer.probabilities()[place]);
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
    let pairs: Vec<_> = texts.iter().map(|text| Request::text(text)).collect();
    let answers = |part: &[Request]| predictor.answer(part).unwrap();
    let (pairs, alone) = (&pairs, pairs.chunks(5).map(answers).collect::<Vec<_>>());
    std::thread::scope(|scope| {
        let ask = |_| scope.spawn(|| pairs.chunks(5).map(answers).collect::<Vec<_>>());
        for thread in (0..4).map(ask).collect::<Vec<_>>() {
            assert_eq!(thread.join().unwrap(), alone);
        }
    });
}

/// An attention in which two threads wait for each other.
#[derive(Debug)]
struct Meeting {
    attention: SoftmaxAttention,
    barrier: Arc<Barrier>,
    waits: Arc<AtomicBool>,
}

impl SelfAttention for Meeting {
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor {
        if self.waits.load(Ordering::Relaxed) {
            self.barrier.wait();
        }
        self.attention.forward_t(x_bsh, context, train)
    }
}

/// With a lock around the network the second thread would never arrive; answers are those of one thread.
#[test]
fn threads_are_in_the_network_at_the_same_time() {
    let fixture = Fixture::new();
    let (barrier, waits) = (Arc::new(Barrier::new(2)), Arc::new(AtomicBool::new(false)));
    let meets = Arc::clone(&waits);
    let parts = Parts::shipped().with_attention("meeting", move |site| {
        let (barrier, waits) = (Arc::clone(&barrier), Arc::clone(&meets));
        Ok(Meeting { attention: SoftmaxAttention::new(site)?, barrier, waits })
    });
    let (task, config) = (fixture.read_task(), config(&["train.epochs=1"]));
    let mut finetune = fixture.finetune(&task, &config, "out");
    finetune.parts = Some(parts.clone());
    finetune.run(&AtomicBool::new(false), &mut |_| {}).unwrap();
    let predictor =
        Predictor::open_with(&fixture.path("out"), device_name(), &Kinds::default(), &parts)
            .unwrap();
    let requests = [Request::text("red fox")];
    let expected = predictor.answer(&requests).unwrap();
    waits.store(true, Ordering::Relaxed);
    std::thread::scope(|scope| {
        let ask = |_| scope.spawn(|| predictor.answer(&requests).unwrap());
        for thread in [0, 1].map(ask) {
            assert_eq!(thread.join().unwrap(), expected);
        }
    });
}

/// Streams without files, as in a server.
#[test]
fn requests_and_answers_are_json() {
    let request = |json: &str| serde_json::from_str::<Request>(json).unwrap();
    assert_eq!(request(r#"{"text_a": "red"}"#), Request::text("red"));
    assert_eq!(request(r#"{"text_a": "a", "text_b": "b"}"#), Request::pair("a", "b"));
    assert_eq!(request(r#"{"texts": ["a", "b", "c"]}"#), Request::row(&["a", "b", "c"]));
    assert_eq!(Request::row(&["a", "b"]), Request::pair("a", "b"));
    let wrong = serde_json::from_str::<Request>(r#"{"text": "red"}"#).unwrap_err().to_string();
    assert!(wrong.starts_with("a request has the keys text_a"), "{wrong}");
    assert_eq!(request(r#"{"words": ["red", "fox"]}"#), Request::words(&["red", "fox"]));
    let question = r#"{"question": "who", "context": "a fox"}"#;
    assert_eq!(request(question), Request::question("who", "a fox"));
    let answer = Answer::Class { label: "color".to_owned(), probabilities: vec![0.25, 0.75] };
    let json = r#"{"label":"color","probabilities":[0.25,0.75]}"#;
    assert_eq!(serde_json::to_string(&answer).unwrap(), json);
}

#[test]
fn errors_of_predictions_name_the_line_and_lose_nothing_before_it() {
    let fixture = Fixture::new();
    let predictor = tuned(&fixture);
    let run = |predictor: &Predictor, text: &'static [u8], format| {
        let (rows, options) = (StreamInput::new(text, "rows", format), StreamOptions::default());
        let mut out = Vec::new();
        let done = predictor.stream(rows, &mut out, "out".as_ref(), &options, &mut |_| {});
        (done, String::from_utf8(out).unwrap().lines().count())
    };
    let (done, lines) = run(&predictor, b"text\nred\nfox\nred\tblue\nfish\n", Format::Tsv);
    says(done, &["rows:4", "2 columns", "1"]);
    assert_eq!(lines, 3);
    let (done, lines) =
        run(&predictor, b"{\"text\": \"red\"}\n{\"txt\": \"fox\"}\n", Format::JsonLines);
    says(done, &["rows:2", "\"text\"", "txt"]);
    // JSON lines have no header.
    assert_eq!(lines, 1);

    let (done, lines) = run(&predictor, b"text\nred\nfox\ncaf\xe9\nfish\n", Format::Tsv);
    says(done, &["rows:4", "UTF-8", "0xe9"]);
    assert_eq!(lines, 3);

    break_layer(&fixture.path("out/model"), "task_head.weight");
    let broken = Predictor::open(&fixture.path("out/model"), device_name()).unwrap();
    let (done, _) = run(&broken, b"text\nred\n", Format::Tsv);
    says(done, &["rows:2", "NaN or infinity"]);
    says(broken.answer(&[Request::text("red")]), &["number 0", "NaN or infinity"]);
}

/// In TSV a quotation mark is an ordinary character, in input and output; a field cannot contain a separator.
#[test]
fn names_of_classes_are_written_as_the_format_has_them() {
    let fixture = Fixture::new();
    tuned(&fixture);
    let info = fixture.path("out/model/task.json");
    let plain = fs::read_to_string(&info).unwrap();
    let predict = |class: &str, format| {
        let named = |name: &str| serde_json::to_string(&format!("{name}{class}")).unwrap();
        let text = plain.replace("\"animal\"", &named("a")).replace("\"color\"", &named("c"));
        fs::write(&info, text).unwrap();
        let predictor = Predictor::open(&fixture.path("out/model"), device_name()).unwrap();
        let text = "text\nred\n".as_bytes();
        let rows = StreamInput::new(text, "rows", Format::Tsv);
        let options = StreamOptions {
            probabilities: Probabilities::Write,
            format: Some(format),
            ..StreamOptions::default()
        };
        let mut out = Vec::new();
        let name = "out.tsv".as_ref();
        predictor.stream(rows, &mut out, name, &options, &mut |_| {})?;
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

/// An unclosed quotation mark, a line of a table, and a JSON string, each in a file without an end.
#[test]
fn a_row_without_end_is_an_error() {
    let check = |format, text: &'static str, words: &[&str]| {
        let text = text.as_bytes().chain(io::repeat(b'x'));
        let mut rows = Rows::from_reader(text, format, "rows", &["text"]).unwrap();
        assert_eq!(rows.next().unwrap().unwrap().fields, ["red"]);
        says(rows.next().unwrap(), words);
        assert!(rows.next().is_none());
    };
    check(Format::Csv, "text\nred\n\"fox", &["rows:3", "longer than", "quotation mark"]);
    check(Format::Tsv, "text\nred\nfox", &["rows:3", "longer than"]);
    check(Format::JsonLines, "{\"text\":\"red\"}\n{\"text\":\"", &["rows:2", "longer than"]);
}

#[test]
fn predictions_are_written_atomically() {
    let fixture = Fixture::new();
    let predictor = tuned(&fixture);
    let output = fixture.path("answers.csv");
    let rows = |text: &'static str| StreamInput::new(text.as_bytes(), "rows", Format::Tsv);
    let options = StreamOptions { format: Some(Format::Csv), ..StreamOptions::default() };
    let to = |text| predictor.stream_to_file(rows(text), &output, &options, &mut |_| {});
    says(to("text\nred\nred\tfox\n"), &["rows:3"]);
    assert!(!output.exists() && !fixture.path(".answers.csv.tmp").exists());
    assert_eq!(to("text\nred\nfox\n").unwrap().done, 2);
    assert!(fs::read_to_string(&output).unwrap().starts_with("index,prediction\n0,"));
}

/// There are as many answers as lines.
#[test]
fn empty_lines_of_a_file_of_texts_are_answered() {
    let fixture = Fixture::new();
    let predictor = tuned(&fixture);
    let text = "text\n\nred\n\n\n".as_bytes();
    let rows = StreamInput::new(text, "rows", Format::Tsv);
    let mut out = Vec::new();
    let options = StreamOptions::default();
    let done = predictor.stream(rows, &mut out, "out".as_ref(), &options, &mut |_| {});
    assert_eq!(done.unwrap().done, 4);
    let answer = |text| predictor.answer(&[Request::text(text)]).unwrap()[0].text();
    let (empty, red) = (answer(""), answer("red"));
    let expected = format!("index\tprediction\n0\t{empty}\n1\t{red}\n2\t{empty}\n3\t{empty}\n");
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
