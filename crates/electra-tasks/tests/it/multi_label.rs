//! Multi-label tasks: three layouts of files, fine-tuning, prediction, bad input.

use crate::{
    described, device_name,
    e2e::{Fixture, config, phrase},
    says, texts,
};
use electra_model::hf::{self, Labels};
use electra_scores::{Metric, Scores, multi_label::MultiLabelTask, table::Format};
use electra_tasks::{
    Completion, Finetune, Kinds, Predictor,
    answer::RequestForm,
    details::Details,
    predictor::{Probabilities, StreamInput, StreamOptions},
    texts::data::load,
};
use std::{fs, path::Path, sync::atomic::AtomicBool};

const TASK: &str = r#"
name = "kinds"
kind = "multi-label"
text_a = "text"
label = "kinds"
metric = "micro-f1"
[files]
train = "train.tsv"
dev = "dev.tsv"
"#;

/// Colors, animals, both or neither, in turn.
fn row(i: usize) -> (String, &'static str) {
    match i % 4 {
        0 => (phrase(i, 0), "color"),
        1 => (phrase(i, 1), "animal"),
        2 => (format!("{} {}", phrase(i, 0), phrase(i + 1, 1)), "color, animal"),
        _ => (".".to_owned(), ""),
    }
}

fn table(from: usize, count: usize) -> String {
    let row = |i: usize| {
        let (text, labels) = row(i);
        format!("{text}\t{labels}\n")
    };
    "text\tkinds\n".to_owned() + &(from..from + count).map(row).collect::<String>()
}

fn read(toml: &str) -> electra_tasks::Result<MultiLabelTask> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("task.toml"), toml).unwrap();
    Kinds::default().read(dir.path(), &[])?;
    Ok(described(dir.path()))
}

/// The four sets take turns, so the empty set is as frequent as the others and the first of them: it is right for a
/// quarter of the rows, and predicts no label.
#[test]
fn sets_of_labels_are_learned_and_predicted() {
    let fixture = Fixture::new();
    fixture.write("task/train.tsv", table(0, 96));
    fixture.write("task/dev.tsv", table(96, 32));
    let task = read(TASK).unwrap();
    let config = config(&["head.kind=hf", "head.pooling=first", "train.epochs=6"]);
    let (data, model) = (fixture.path("task"), fixture.path("model"));
    let finetune = Finetune::new(&task, data, model, &config, fixture.path("out"));
    let Completion::Finished(report) = finetune.run(&AtomicBool::new(false), &mut |_| {}).unwrap()
    else {
        panic!("the run was not stopped");
    };
    let score = |scores: &Scores, metric: Metric| scores[&metric].unwrap();
    let majority = &report.baselines.majority.dev;
    assert_eq!(score(majority, Metric::Accuracy), 0.25);
    assert_eq!((score(majority, Metric::MicroF1), score(majority, Metric::MacroF1)), (0.0, 0.0));
    // No word of a class is in a text without its label.
    let words = report.baselines.bag_of_words.as_ref().unwrap();
    assert!(score(&words.dev, Metric::MicroF1) > 0.6, "{words:?}");
    let dev = &report.seeds[0].dev;
    assert!(score(dev, Metric::MicroF1) > 0.7, "{dev:?}");

    let model = fixture.path("out/model");
    let labels = ["animal", "color"].map(str::to_owned).to_vec();
    assert_eq!(hf::read_config(&model).unwrap().labels, Some(Labels::Set(labels.clone())));
    let predictor = Predictor::open(&model, device_name()).unwrap();
    let RequestForm::Rows { classes, .. } = predictor.form() else { panic!("it is of rows") };
    assert_eq!(classes, labels);
    let answers = predictor.answer(&texts(&["red green blue", "fox bird fish"])).unwrap();
    for (answer, name) in answers.iter().zip(["color", "animal"]) {
        assert_eq!(answer.text(), name);
        assert!(answer.probabilities().iter().all(|p| (0.0..=1.0).contains(p)), "{answer:?}");
    }

    // The report: the scores of labels.tsv, and the examples whose set is wrong.
    let dir = fixture.path("out/seed-1/dev");
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let details: Vec<Details> = serde_json::from_str(&read("details.json")).unwrap();
    let [Details::Table { rows: by_label, .. }, Details::Table { rows: wrong, .. }] = &details[..]
    else {
        panic!("{details:?}")
    };
    let (labels_tsv, predictions) = (read("labels.tsv"), read("predictions.tsv"));
    for (row, line) in by_label.iter().zip(labels_tsv.lines().skip(1)) {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!((&row[0][..], row[4..].join("\t")), (fields[0], fields[4..].join("\t")));
    }
    assert_eq!(by_label.len(), 2);
    let differs = |&i: &usize| {
        let line = predictions.lines().nth(i + 1).unwrap();
        let mut gold: Vec<&str> = row(96 + i).1.split(", ").collect();
        gold.sort_unstable();
        line.split('\t').nth(1).unwrap() != gold.join(",")
    };
    let mut found: Vec<usize> = wrong.iter().map(|row| row[0].parse().unwrap()).collect();
    assert!(wrong.iter().map(|row| row[1].parse::<usize>().unwrap()).rev().is_sorted());
    found.sort_unstable();
    assert_eq!(found, (0..32).filter(differs).collect::<Vec<_>>());

    // The predictions for a file as a table, as JSON lines and in the seed's folder.
    let write = |name: &str, format: Format| {
        let options = StreamOptions {
            probabilities: Probabilities::Write,
            format: Some(format),
            ..StreamOptions::default()
        };
        let rows = StreamInput::open(&fixture.path("task/dev.tsv")).unwrap();
        let output = fixture.path(name);
        predictor.stream_to_file(rows, &output, &options, &mut |_| {}).unwrap();
        fs::read_to_string(output).unwrap()
    };
    let (tsv, jsonl) = (write("p.tsv", Format::Tsv), write("p.jsonl", Format::JsonLines));
    assert_eq!(tsv.lines().next(), Some("index\tprediction\tanimal\tcolor"));
    let kept = fs::read_to_string(fixture.path("out/seed-1/dev/predictions.tsv")).unwrap();
    let mut right = 0;
    for (i, (line, json)) in tsv.lines().skip(1).zip(jsonl.lines()).enumerate() {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(kept.lines().nth(i + 1).unwrap(), fields[..2].join("\t"));
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        let names: Vec<&str> =
            json["prediction"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        assert_eq!(names.join(","), fields[1]);
        for (place, label) in labels.iter().enumerate() {
            let probability: f64 = fields[2 + place].parse().unwrap();
            assert_eq!(names.contains(&label.as_str()), probability >= 0.5);
            assert!((json["probabilities"][label].as_f64().unwrap() - probability).abs() < 1e-6);
        }
        let mut gold: Vec<&str> =
            row(96 + i).1.split(", ").filter(|name| !name.is_empty()).collect();
        gold.sort_unstable();
        right += usize::from(gold == names);
    }
    assert_eq!(score(dev, Metric::Accuracy), right as f64 / 32.0);
    let by_label = fs::read_to_string(fixture.path("out/seed-1/dev/labels.tsv")).unwrap();
    assert_eq!(
        by_label.lines().next(),
        Some("label\tprecision\trecall\tf1\tgold\tpredicted\tright")
    );
    assert!(by_label.lines().nth(1).unwrap().starts_with("animal\t"), "{by_label}");
    assert_eq!(by_label.lines().nth(2).unwrap().split('\t').nth(4), Some("16"));
}

/// One column with a separator, a column for each label, lists of JSON: the same examples.
#[test]
fn labels_are_read_from_a_column_from_columns_and_from_lists() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("one.tsv", "kinds\ttext\nb | a\tx\n\ty\na\tz\n");
    write("many.csv", "text,a,b\nx,1,1\ny,0,0\nz,true,0\n");
    write(
        "lists.jsonl",
        "{\"text\":\"x\",\"kinds\":[\"b\",\"a\"]}\n{\"text\":\"y\",\"kinds\":[]}\n{\"text\":\"z\",\"kinds\":\"a\"}\n",
    );
    let load_from = |keys: &str, file: &str| {
        let keys = TASK.replace("label = \"kinds\"", keys);
        let toml = keys.replace("train.tsv", file).replace("dev.tsv", file);
        let mut found = load(&read(&toml).unwrap(), dir.path()).unwrap();
        // They name the file.
        found.summaries.clear();
        found
    };
    let column = load_from("label = \"kinds\"\nseparator = \"|\"", "one.tsv");
    assert_eq!(column.space, ["a", "b"]);
    let held: Vec<&[bool]> = column.scored.dev.iter().map(|example| &example.label[..]).collect();
    assert_eq!(held, [&[true, true], &[false, false], &[true, false]]);
    assert_eq!(load_from("labels = [\"a\", \"b\"]", "many.csv"), column);
    assert_eq!(load_from("label = \"kinds\"\nseparator = \"|\"", "lists.jsonl"), column);
    let turned = load_from(
        "labels = [\"b\", \"a\", \"c\"]\nlabel = \"kinds\"\nseparator = \"|\"",
        "one.tsv",
    );
    assert_eq!(turned.scored.dev[2].label, [false, true, false]);
}

#[test]
fn invalid_label_sets() {
    let dir = tempfile::tempdir().unwrap();
    let load_text = |keys: &str, name: &str, text: &str| {
        fs::write(dir.path().join(name), text).unwrap();
        let toml = TASK.replace("label = \"kinds\"", keys).replace("train.tsv", name);
        load(&read(&toml.replace("dev.tsv", name)).unwrap(), dir.path())
    };
    let column = "label = \"kinds\"";
    let tsv =
        |labels: &str| load_text(column, "t.tsv", &format!("text\tkinds\nx\ta\ny\t{labels}\n"));
    says(tsv("b,a,b"), &["t.tsv:3", "label \"b\" is a duplicate"]);
    says(tsv("a,,b"), &["t.tsv:3", "empty label"]);
    says(tsv("a,"), &["t.tsv:3", "empty label"]);
    let known = format!("labels = [\"a\", \"bee\"]\n{column}");
    let rows = "text\tkinds\nx\ta\ny\tbea\n";
    says(load_text(&known, "t.tsv", rows), &["t.tsv:3", "\"bea\"", "key labels", "\"bee\"?"]);
    says(load_text(column, "t.tsv", "text\tkinds\nx\t\n"), &["t.tsv", "no row has a label"]);
    let columns = "labels = [\"a\", \"b\"]";
    says(
        load_text(columns, "t.csv", "text,a,b\nx,1,0\ny,2,0\n"),
        &["t.csv:3", "\"2\"", "\"a\"", "1 or 0"],
    );
    says(load_text(columns, "t.csv", "text,a\nx,1\n"), &["t.csv:1", "\"b\""]);
    let json = |list: &str| {
        let text =
            format!("{{\"text\":\"x\",\"kinds\":[\"a\"]}}\n{{\"text\":\"y\",\"kinds\":{list}}}\n");
        load_text(column, "t.jsonl", &text)
    };
    says(json("[\"a\",\"a\"]"), &["t.jsonl:2", "label \"a\" is a duplicate"]);
    says(json("[\"a,b\"]"), &["t.jsonl:2", "\"a,b\"", "separator"]);
    says(json("[1]"), &["t.jsonl:2", "1 in the list", "string"]);
    says(json("[\"a\\tb\"]"), &["t.jsonl:2", "\"a\\tb\"", "a tab or a line break"]);
    says(json("[\" \"]"), &["t.jsonl:2", "empty string"]);
    says(json("null"), &["t.jsonl:2", "null", "list of strings"]);
    says(
        load_text(column, "t.jsonl", "{\"text\":[\"x\"],\"kinds\":[]}\n"),
        &["t.jsonl:1", "\"text\""],
    );

    // A label without a training row is allowed in the gold file: it is missed, and the scores show it.
    fs::write(dir.path().join("train.tsv"), "text\tkinds\nx\ta\n").unwrap();
    fs::write(dir.path().join("dev.tsv"), "text\tkinds\nx\ta,b\n").unwrap();
    let task = |keys: &str| read(&TASK.replace(column, keys)).unwrap();
    let known = load(&task(&format!("labels = [\"a\", \"b\"]\n{column}")), dir.path()).unwrap();
    assert_eq!(known.scored.dev[0].label, [true, true]);
    says(load(&task(column), dir.path()), &["dev.tsv:2", "\"b\"", "training file"]);
}

#[test]
fn tasks_of_sets_whose_keys_do_not_fit() {
    let with = |line: &str| read(&TASK.replace("[files]", &format!("{line}\n[files]")));
    says(read(&TASK.replace("micro-f1", "f1")), &["metric = f1", "micro-f1", "accuracy"]);
    says(read(&TASK.replace("label = \"kinds\"", "")), &["label", "if each label has a column"]);
    says(with("separator = \"\""), &["separator"]);
    says(with("threshold = 1.0"), &["threshold = 1", "between 0 and 1"]);
    says(with("labels = []"), &["labels", "at least one label"]);
    says(with("labels = [\"a\", \"a\"]"), &["labels", "duplicate label \"a\""]);
    says(with("labels = [\"a,b\"]"), &["labels", "separator"]);
    says(with("labels = [\" a\"]"), &["labels", "white space"]);
    says(with("pairs = \"unordered\""), &["pairs", "text_b"]);
    says(with("range = [0, 1]"), &["range"]);
    says(Predictor::open(Path::new("nowhere"), device_name()).map(drop), &["nowhere"]);
}
