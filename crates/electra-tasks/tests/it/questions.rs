//! Question answering from files to files, on a tiny scale: fine-tuning, its outputs, resuming, prediction.

use crate::{
    break_layer, described, device_name, e2e::Fixture, root, says, train_device, with_key,
};
use electra_model::hf::{self, Architecture, Pretrained};
use electra_scores::{
    Metric,
    squad::{self, Version},
};
use electra_tasks::{
    Answer, Completion, Finetune, FinetuneConfig, Kinds, Predictor, Report, Request,
    answer::{RequestForm, SpanAnswer},
    details::Details,
    kinds::squad::SquadTask,
    predictor::{StreamInput, StreamOptions, StreamReport},
};
use electra_train::StartFrom;
use serde_json::{Value, json};
use std::{fs, path::Path, sync::atomic::AtomicBool};

/// A question: which animal is among the colors; without one, it is impossible.
fn question(i: usize, version: Version) -> Value {
    let (colors, animals) = (["red", "green", "blue", "black"], ["fox", "bird", "bear", "fish"]);
    let impossible = version == Version::V2 && i % 2 == 1;
    let mut words: Vec<&str> = (0..5 + i % 7).map(|w| colors[(i * 3 + w * 7) % 4]).collect();
    if !impossible {
        let place = i * 5 % words.len();
        words[place] = animals[(i / 2) % 4];
    }
    // A two-byte space, so that offsets of characters and of bytes differ.
    let context = words.join("\u{a0}");
    let answers: Vec<Value> = animals
        .iter()
        .filter_map(|&animal| {
            let start = context[..context.find(animal)?].chars().count();
            Some(json!({"text": animal, "answer_start": start}))
        })
        .collect();
    let question = json!({"id": format!("q{i}"), "question": "red", "answers": answers, "is_impossible": impossible});
    json!({"context": context, "qas": [question]})
}

fn file(from: usize, n: usize, version: Version) -> Value {
    let paragraphs: Vec<Value> = (from..from + n).map(|i| question(i, version)).collect();
    json!({"version": "x", "data": [{"title": "t", "paragraphs": paragraphs}]})
}

/// Training and dev files in `squad`; the answers of three questions are elsewhere, not in the context, or empty.
fn write(fixture: &Fixture, version: Version) -> SquadTask {
    let mut train = file(0, 65, version);
    train["data"][0]["paragraphs"][64]["qas"][0]["answers"][0]["answer_start"] = json!(1);
    let mut without = question(66, version);
    without["qas"][0]["answers"][0]["text"] = json!("cake");
    let mut empty = question(68, version);
    empty["qas"][0]["answers"][0] = json!({"text": "", "answer_start": 1});
    train["data"][0]["paragraphs"].as_array_mut().unwrap().extend([without, empty]);
    fixture.write("squad/train.json", train.to_string());
    fixture.write("squad/dev.json", file(65, 30, version).to_string());
    let toml = format!(
        "name = \"animals\"\nkind = \"squad\"\nversion = \"{version}\"\nmetric = \"f1\"\n\
         [files]\ntrain = \"train.json\"\ndev = \"dev.json\"\n"
    );
    fixture.write("squad/task.toml", &toml);
    described(&fixture.path("squad"))
}

fn config(overrides: &[&str]) -> FinetuneConfig {
    let base = [
        train_device(),
        "train.batch_size=16",
        "train.max_length=14",
        "train.epochs=12",
        "train.loss=mean",
        "optimizer.learning_rate=1e-3",
        "optimizer.layer_decay=1.0",
        "squad.max_query_length=2",
        "squad.stride=4",
        "squad.null_threshold=0",
    ];
    let all: Vec<String> = base.iter().chain(overrides).map(|&s| s.to_owned()).collect();
    FinetuneConfig::read(&root().join("configs/finetune-squad-small.toml"), &all).unwrap()
}

fn finetune<'a>(
    fixture: &Fixture,
    task: &'a SquadTask,
    config: &'a FinetuneConfig,
    out: &str,
) -> Finetune<'a> {
    Finetune::new(task, fixture.path("squad"), fixture.path("model"), config, fixture.path(out))
}

fn finish(finetune: &Finetune<'_>) -> Report {
    match finetune.run(&AtomicBool::new(false), &mut |_| {}).unwrap() {
        Completion::Finished(report) => *report,
        Completion::Stopped => panic!("the run was not stopped"),
    }
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn questions_with_and_without_an_answer_are_learned_and_predicted() {
    let fixture = Fixture::new();
    let task = write(&fixture, Version::V2);
    let config = config(&[]);
    let report = finish(&finetune(&fixture, &task, &config, "out"));
    assert_eq!((report.examples.train, report.examples.dev, report.examples.test), (65, 30, 0));
    // An answer without text is none. The others are counted and listed in the folder and in both reports.
    let left_out = fs::read_to_string(fixture.path("out/left-out.txt")).unwrap();
    let lines: Vec<&str> = left_out.lines().collect();
    assert!(lines[0].contains("train.json: question \"q64\": the context has"), "{left_out}");
    assert!(lines[1].contains("\"q66\"") && lines[1].contains("does not occur in the context"));
    let named = json!({"file": fixture.path("squad/train.json"), "count": 2, "named": lines});
    assert_eq!(json_of(&fixture.path("out/results.json"))["left_out"], json!([named]));
    let html = fs::read_to_string(fixture.path("out/report.html")).unwrap();
    assert!(
        html.contains("train.json: 2</h3>") && html.contains(&lines[1].replace('"', "&quot;")),
        "{html}"
    );
    // 15 of the 30 have no answer.
    assert_eq!(report.baselines.majority.dev[&Metric::ExactMatch], Some(0.5));
    let scores = &report.seeds[0].dev;
    assert!(scores[&Metric::F1].unwrap() > 0.8, "{report:?}");

    let dev = fixture.path("out/seed-1/dev");
    let official = json_of(&dev.join("eval.json"));
    assert_eq!(official["exact"].as_f64().unwrap() / 100.0, scores[&Metric::ExactMatch].unwrap());
    assert_eq!(official["HasAns_total"], json!(15));
    assert!(official["best_f1"].as_f64() >= official["f1"].as_f64());
    let (preds, odds) = (json_of(&dev.join("preds.json")), json_of(&dev.join("null_odds.json")));
    let best = json_of(&dev.join("nbest.json"));
    let ids: Vec<String> = (65..95).map(|i| format!("q{i}")).collect();
    for id in &ids {
        assert_eq!(preds[id], best[id][0]["text"], "the best span, whatever the odds");
    }

    // Each table has every question once, and the same overall means.
    let details: Vec<Details> =
        serde_json::from_str(&fs::read_to_string(dev.join("details.json")).unwrap()).unwrap();
    let tables = details.iter().map(|part| match part {
        Details::Table { rows, .. } => rows,
        other => panic!("{other:?}"),
    });
    let [by_answer, by_question, worst] = tables.collect::<Vec<_>>()[..] else {
        panic!("{details:?}")
    };
    let number = |text: &String| text.parse::<f64>().unwrap();
    for (table, kinds) in
        [(by_answer, &["no answer", "other, up to 3 words"][..]), (by_question, &["other"])]
    {
        assert_eq!(table.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), kinds);
        assert_eq!(table.iter().map(|row| number(&row[1])).sum::<f64>(), 30.0);
        for (column, metric) in [(2, Metric::ExactMatch), (3, Metric::F1)] {
            let sum: f64 = table.iter().map(|row| number(&row[1]) * number(&row[column])).sum();
            let wanted = 100.0 * scores[&metric].unwrap();
            approx::assert_abs_diff_eq!(sum / 30.0, wanted, epsilon = 0.01);
        }
    }
    assert!(worst.len() == 30 && worst.iter().map(|row| number(&row[1])).is_sorted());
    assert!(fs::read_to_string(fixture.path("out/report.html")).unwrap().contains("Worst answers"));

    // The model folder gives the answers of the run, and "no answer" above its threshold.
    let predictor = Predictor::open(&fixture.path("out/model"), device_name()).unwrap();
    // The threshold of the config.
    assert_eq!(predictor.form(), RequestForm::Questions { null_threshold: Some(0.0) });
    let options = outputs(&fixture);
    let input = fixture.path("squad/dev.json");
    assert_eq!(predict(&predictor, &fixture, &options).unwrap().done, 30);
    let given = json_of(&fixture.path("p.json"));
    for id in &ids {
        let wanted = if odds[id].as_f64().unwrap() > 0.0 { &json!("") } else { &preds[id] };
        assert_eq!(&given[id], wanted);
        let found = json_of(&fixture.path("o.json"))[id].as_f64().unwrap();
        approx::assert_abs_diff_eq!(found, odds[id].as_f64().unwrap(), epsilon = 1e-4);
    }
    // Keys are in the file's order.
    let text = fs::read_to_string(fixture.path("p.json")).unwrap();
    let places: Vec<_> = ids.iter().map(|id| text.find(&format!("\"{id}\"")).unwrap()).collect();
    assert!(places.is_sorted());
    let all =
        StreamOptions { threshold: Some(f64::INFINITY), null_odds: None, n_best: None, ..options };
    predict(&predictor, &fixture, &all).unwrap();
    assert_eq!(json_of(&fixture.path("p.json")), preds);

    // A single request.
    let gold = squad::read(&input).unwrap();
    let (context, question) = gold.questions().next().unwrap();
    let answered = answer(&predictor, &question.text, context).unwrap();
    assert_eq!(answered.text, preds["q65"]);
    let start = answered.n_best[0].answer_start;
    let length = answered.text.chars().count();
    assert_eq!(context.chars().skip(start).take(length).collect::<String>(), answered.text);
    // Empty texts are answered too: in an empty context with the empty text.
    let nothing = answer(&predictor, "red", "").unwrap();
    assert_eq!((nothing.text.as_str(), nothing.n_best.len()), ("", 0));
    let asked = answer(&predictor, "", "red fox").unwrap();
    assert!("red fox".contains(&asked.text), "{asked:?}");
    says(predictor.answer(&[Request::text("red")]), &["number 0", "a question about a text"]);
}

/// A barely trained model of the questions.
fn tuned(fixture: &Fixture) -> Predictor {
    let (task, config) = (write(fixture, Version::V2), config(&["train.epochs=1"]));
    finish(&finetune(fixture, &task, &config, "out"));
    Predictor::open(&fixture.path("out/model"), device_name()).unwrap()
}

/// The files that answers are written to besides `p.json`.
fn outputs(fixture: &Fixture) -> StreamOptions {
    StreamOptions {
        batch_size: 7,
        null_odds: Some(fixture.path("o.json")),
        n_best: Some(fixture.path("n.json")),
        ..StreamOptions::default()
    }
}

/// Answers the dev file in `p.json`.
fn predict(
    predictor: &Predictor,
    fixture: &Fixture,
    options: &StreamOptions,
) -> electra_tasks::Result<StreamReport> {
    let input = StreamInput::open(&fixture.path("squad/dev.json"))?;
    predictor.stream_to_file(input, &fixture.path("p.json"), options, &mut |_| {})
}

fn answer(
    predictor: &Predictor,
    question: &str,
    context: &str,
) -> electra_tasks::Result<SpanAnswer> {
    match predictor.answer(&[Request::question(question, context)])?.remove(0) {
        Answer::Span(answer) => Ok(answer),
        other => panic!("{other:?}"),
    }
}

/// MRQA's lines are paragraphs of one article. The last one has more windows than a batch of [`Predictor::answer`].
#[test]
fn a_file_is_answered_some_paragraphs_at_a_time_and_by_threads() {
    let fixture = Fixture::new();
    let predictor = tuned(&fixture);
    let context = |i: usize| match i {
        129 => "red green fox ".repeat(100),
        _ => question(i, Version::V1)["context"].as_str().unwrap().to_owned(),
    };
    let line = |i: usize| {
        let asked = json!({"qid": format!("q{i}"), "question": "red", "answers": ["fox"]});
        json!({"context": context(i), "qas": [asked]}).to_string() + "\n"
    };
    fixture.write("many.jsonl", (0..130).map(line).collect::<String>());
    let input = StreamInput::open(&fixture.path("many.jsonl")).unwrap();
    let (mut told, mut out, options) = (Vec::new(), Vec::new(), outputs(&fixture));
    predictor
        .stream(input, &mut out, "out".as_ref(), &options, &mut |done| told.push(done))
        .unwrap();
    assert_eq!(told, [64, 128, 130]);
    let odds = fs::read_to_string(fixture.path("o.json")).unwrap();
    let odds: serde_json::Map<String, Value> = serde_json::from_str(&odds).unwrap();
    assert_eq!(odds.len(), 130);
    std::thread::scope(|scope| {
        let (predictor, context) = (&predictor, &context);
        let ask = |i: usize| (i, scope.spawn(move || answer(predictor, "red", &context(i))));
        for (i, thread) in [0, 63, 64, 128, 129].map(ask) {
            let alone = thread.join().unwrap().unwrap();
            // The other texts in the batch change the rounding.
            let found = odds[&format!("q{i}")].as_f64().unwrap();
            approx::assert_abs_diff_eq!(alone.null_odds, found, epsilon = 1e-4);
        }
    });
}

#[test]
fn answers_of_nan_or_infinity_are_errors() {
    let fixture = Fixture::new();
    tuned(&fixture);
    let model = fixture.path("out/model");
    let weights = fs::read(model.join("model.safetensors")).unwrap();
    let options = outputs(&fixture);
    for layer in ["start", "end", "impossible"] {
        break_layer(&model, &format!("task_head.{layer}.weight"));
        let broken = Predictor::open(&model, device_name()).unwrap();
        let result = answer(&broken, "red", "red fox");
        says(result, &["request = number 0", "NaN or infinity"]);
        let result = predict(&broken, &fixture, &options);
        says(result, &["question = \"q65\"", "NaN or infinity"]);
        assert!(["p.json", "o.json", "n.json"].iter().all(|name| !fixture.path(name).exists()));
        fs::write(model.join("model.safetensors"), &weights).unwrap();
    }
    let whole = Predictor::open(&model, device_name()).unwrap();
    // Outputs are checked before anything is predicted.
    for (n_best, words) in [("nowhere/n.json", "does not exist"), ("squad", "is a folder")] {
        let options = StreamOptions { n_best: Some(fixture.path(n_best)), ..options.clone() };
        let result = predict(&whole, &fixture, &options);
        says(result, &[n_best.split('/').next().unwrap(), words]);
        assert!(!fixture.path("p.json").exists());
    }
    let options = StreamOptions { threshold: Some(f64::NAN), ..options };
    says(predict(&whole, &fixture, &options), &["threshold = NaN", "a number"]);
}

/// A file that was edited by hand: the model has 64 positions, questions two tokens.
#[test]
fn invalid_keys_of_a_model() {
    let fixture = Fixture::new();
    tuned(&fixture);
    let model = fixture.path("out/model");
    let with = with_key(&model, |model| Predictor::open(model, device_name()));
    for key in ["max_query_length", "stride", "max_answer_length", "n_best", "beam"] {
        let found = format!("squad.{key} = 0");
        says(with(&format!("/squad/{key}"), json!(0)), &["task.json", &found, "at least 1"]);
    }
    for length in [0, 65] {
        let found = format!("max_length = {length}");
        says(with("/max_length", json!(length)), &["task.json", &found, "from 4 to 64"]);
    }
    says(with("/max_length", json!(5)), &["task.json", "max_length = 5", "at least 6"]);
    answer(&with("/squad/stride", json!(1)).unwrap(), "red", "red fox").unwrap();
}

/// In the second epoch, batches by length.
#[test]
fn a_stopped_run_of_questions_goes_on_bit_for_bit() {
    let fixture = Fixture::new();
    let task = write(&fixture, Version::V1);
    let config = config(&["train.epochs=3", "checkpoint.every=3", "train.loss=sum"]);
    finish(&finetune(&fixture, &task, &config, "unbroken"));
    let mut broken = finetune(&fixture, &task, &config, "broken");
    let stop = AtomicBool::new(false);
    let mut steps = 0;
    let completion = broken.run(&stop, &mut |event| {
        if let electra_tasks::Event::Training(electra_train::Event::Step { .. }) = event {
            steps += 1;
            stop.store(steps == 8, std::sync::atomic::Ordering::Relaxed);
        }
    });
    assert_eq!(completion.unwrap(), Completion::Stopped);
    broken.from = StartFrom::Checkpoint;
    finish(&broken);
    let bytes = |path: &str| fs::read(fixture.path(path)).unwrap();
    assert_eq!(bytes("broken/model/model.safetensors"), bytes("unbroken/model/model.safetensors"));
    assert_eq!(bytes("broken/seed-1/dev/nbest.json"), bytes("unbroken/seed-1/dev/nbest.json"));
}

#[test]
fn hugging_faces_head_is_a_folder_that_transformers_loads() {
    let fixture = Fixture::new();
    let task = write(&fixture, Version::V1);
    let config = config(&["head.kind=hf", "train.epochs=8"]);
    let report = finish(&finetune(&fixture, &task, &config, "out"));
    assert!(report.seeds[0].dev[&Metric::F1].unwrap() > 0.8, "{report:?}");
    let model = fixture.path("out/model");
    let described = hf::read_config(&model).unwrap();
    assert_eq!(described.architecture, Architecture::ElectraForQuestionAnswering);
    let tensors = Pretrained::read(&model).unwrap().tensors;
    let shape = |name: &str| tensors.iter().find(|(n, _)| n == name).unwrap().1.size();
    assert_eq!((shape("qa_outputs.weight"), shape("qa_outputs.bias")), (vec![2, 32], vec![2]));
    let card = fs::read_to_string(model.join("README.md")).unwrap();
    assert!(card.contains("pipeline_tag: question-answering"), "{card}");
    assert!(card.contains("AutoModelForQuestionAnswering.from_pretrained"), "{card}");
    let predictor = Predictor::open(&model, device_name()).unwrap();
    answer(&predictor, "red", "red fox").unwrap();
    // It always answers, so a threshold does not apply.
    let options = StreamOptions { threshold: Some(1.0), ..StreamOptions::default() };
    says(predict(&predictor, &fixture, &options), &["threshold = 1", "version 1.1"]);
    assert!(!fixture.path("p.json").exists());
}

#[test]
fn tasks_and_files_of_questions_that_cannot_be_used() {
    let fixture = Fixture::new();
    let task = write(&fixture, Version::V1);
    let run = |task: &SquadTask, config: &FinetuneConfig| {
        finetune(&fixture, task, config, "out").run(&AtomicBool::new(false), &mut |_| {})
    };
    let plain = config(&[]);
    says(
        run(&SquadTask { metric: Metric::Accuracy, ..task.clone() }, &plain),
        &["metric = accuracy", "exact-match"],
    );
    let tiny = FinetuneConfig::read(&root().join("configs/finetune-tiny.toml"), &[]).unwrap();
    says(run(&task, &tiny), &["head.pooling"]);
    let mut without = plain.clone();
    without.squad = None;
    says(run(&task, &without), &["squad", "finetune-squad-small.toml"]);
    says(run(&task, &config(&["train.max_length=5"])), &["train.max_length = 5", "at least 6"]);

    // Impossible questions do not exist in version 1.1.
    let two = file(0, 4, Version::V2).to_string();
    fixture.write("squad/dev.json", &two);
    says(run(&task, &plain), &["dev.json", "\"q1\"", "version 1.1"]);
    fixture.write("squad/dev.json", two.replace("\"answers\"", "\"replies\""));
    says(run(&task, &plain), &["dev.json", "\"q0\"", "answers"]);
    fixture.write("squad/dev.json", r#"{"data": []}"#);
    says(run(&task, &plain), &["dev.json", "no question"]);
    fixture.write("squad/train.json", two.replace("\"answer_start\":", "\"answer_start\":9"));
    says(
        run(&task, &plain),
        &["train.json", "no question can be used for training", "is not a place"],
    );
    assert!(!fixture.path("out").exists());

    says(
        Kinds::default().named("squad1.1", &["files.trian=\"x\"".to_owned()]),
        &["trian", "train"],
    );
    let named =
        Kinds::default().named("squad2.0", &["files.dev=\"mine.json\"".to_owned()]).unwrap();
    let description = named.unwrap().description();
    assert_eq!(description["version"], json!("2.0"));
    assert_eq!(description["files"]["dev"], json!("mine.json"));
    assert!(Kinds::default().named("squad3.0", &[]).unwrap().is_none());
}

/// Answers of real files, cut from the text by the offsets of tokens, are exactly the gold answers unless an answer
/// ends within a token.
#[test]
fn the_official_answers_are_found_in_their_contexts() {
    use electra_scores::squad::read;
    use electra_tasks::kinds::squad::Context;
    use electra_tokenize::WordPiece;
    let (Ok(shared), Ok(vocab)) =
        (std::env::var("ELECTRA_SHARED_DATA"), std::env::var("ELECTRA_BERT_VOCAB"))
    else {
        eprintln!(
            "skipped: ELECTRA_SHARED_DATA does not name a folder with SQuAD's files in squad/, or ELECTRA_BERT_VOCAB no vocab.txt"
        );
        return;
    };
    let tokenizer =
        WordPiece::from_file(vocab.as_ref(), &electra_tokenize::TokenizerOptions::default())
            .unwrap();
    let dir = Path::new(&shared).join("squad");
    for (name, answers) in [
        ("dev-v1.1.json", 34_726),
        ("half-dev-v2.0.json", 10_052),
        ("train-subset-v1.1.json", 4330),
    ] {
        let (mut count, mut exact) = (0, 0);
        let file = read(&dir.join(name)).unwrap();
        for paragraph in file.articles.iter().flat_map(|article| &article.paragraphs) {
            let context = Context::new(&tokenizer, &paragraph.context).unwrap();
            for answer in paragraph.questions.iter().flat_map(|q| q.answers.iter().flatten()) {
                let tokens = context.align(answer).unwrap();
                let text = context.text(tokens);
                assert!(text.contains(&answer.text), "{text:?} {answer:?}");
                count += 1;
                exact += usize::from(text == answer.text);
            }
        }
        eprintln!("{name}: {exact} of {count} answers are cut out exactly");
        assert_eq!(count, answers);
        assert!(exact as f64 > 0.99 * count as f64);
    }
}

/// A question of a file of `datasets` has no answer if the list is empty, and one whose start is wrong is left out.
#[test]
fn rows_of_datasets_are_learned() {
    let fixture = Fixture::new();
    let row = |i: usize, starts: &[i64]| {
        let texts = vec!["fox"; starts.len()];
        json!({"id": i, "title": "t", "context": "red fox", "question": "what",
               "answers": {"text": texts, "answer_start": starts}})
        .to_string()
    };
    let rows = [row(0, &[4]), row(1, &[]), row(2, &[-1]), row(3, &[4])].join("\n");
    fixture.write("squad/train.jsonl", &rows);
    fixture.write("squad/dev.jsonl", &rows);
    let toml = |version: &str| {
        format!(
            "name = \"q\"\nkind = \"squad\"\nversion = \"{version}\"\nmetric = \"f1\"\n\
             [files]\ntrain = \"train.jsonl\"\ndev = \"dev.jsonl\"\n"
        )
    };
    fixture.write("squad/task.toml", toml("2.0"));
    let task: SquadTask = described(&fixture.path("squad"));
    let config = config(&["train.epochs=1"]);
    let report = finish(&finetune(&fixture, &task, &config, "out"));
    assert_eq!((report.examples.train, report.examples.dev), (3, 4));
    let [left_out] = &report.left_out[..] else { panic!("{report:?}") };
    assert_eq!(left_out.count, 1);
    assert!(left_out.named[0].contains("\"2\": answer_start -1 is not a place"), "{left_out:?}");
    let labels = &report.data[0].labels;
    assert_eq!((labels[0].count, labels[1].count), (3, 1), "{labels:?}");
    assert_eq!(report.data[1].in_train, 4);
    // In version 1.1 it cannot be scored.
    fixture.write("squad/task.toml", toml("1.1"));
    let task: SquadTask = described(&fixture.path("squad"));
    let run = finetune(&fixture, &task, &config, "other").run(&false.into(), &mut |_| {});
    says(run, &["dev.jsonl", "\"1\"", "version = \"2.0\""]);
}
