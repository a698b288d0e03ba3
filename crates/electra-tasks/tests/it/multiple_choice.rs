//! Multiple choice: fine-tuning, prediction, the models of `transformers`, bad input.

use crate::{
    device, device_name,
    e2e::{Fixture, config, finish, phrase, turn},
    foreign, root, says,
};
use electra_model::{
    EncoderConfig, Parts, PretrainedNetwork,
    hf::{self, Architecture, Pretrained},
    tensors,
};
use electra_scores::{Metric, squad::Version, table::Format};
use electra_tasks::{
    Finetune, FinetuneConfig, HeadNet, HeadSite, Kinds, MultiTask, Predictor, Request, Task,
    batch::{BatchTensors, Input},
    config::HeadKind,
    details::Details,
    head::HeadInput,
    kinds::multiple_choice::{ChoiceInfo, ChoiceNet, ChoicePrediction},
    model::{self, Header},
    model_kind::ModelKind,
    multi::OneOf,
    pool::{ModelSite, NetworkPool},
    predictor::{Probabilities, StreamInput, StreamOptions},
};
use electra_tokenize::WordPiece;
use electra_train::Existing;
use std::{fs, path::Path, sync::Arc};
use tch::{Kind, Tensor, nn};

const TASK: &str = r#"
name = "odd"
kind = "multiple-choice"
text = "question"
choices = ["first", "second", "third"]
label = "right"
labels = ["A", "B", "C"]
metric = "accuracy"
[files]
train = "train.tsv"
dev = "dev.tsv"
"#;

/// The right choice of row `i`: A, A, B, C in turn.
fn gold(i: usize) -> usize {
    [0, 0, 1, 2][i % 4]
}

/// A question; one choice of animals among colors, which is the right one; the name of the right one.
fn row(i: usize) -> Vec<String> {
    let choice = |number| phrase(i + number, usize::from(number == gold(i)));
    let choices = [0, 1, 2].map(choice);
    let question = std::iter::once("which is of animals ?".to_owned());
    question.chain(choices).chain([["A", "B", "C"][gold(i)].to_owned()]).collect()
}

fn table(rows: std::ops::Range<usize>) -> String {
    let rows = rows.map(|i| row(i).join("\t") + "\n");
    "question\tfirst\tsecond\tthird\tright\n".to_owned() + &rows.collect::<String>()
}

fn described(dir: &Path, toml: &str) -> electra_tasks::Result<Arc<dyn Task>> {
    fs::write(dir.join("task.toml"), toml).unwrap();
    Kinds::default().read(dir, &[])
}

fn fixture() -> (Fixture, Arc<dyn Task>) {
    let fixture = Fixture::new();
    fixture.write("choice/train.tsv", table(0..64));
    fixture.write("choice/dev.tsv", table(64..96));
    let task = described(&fixture.path("choice"), TASK).unwrap();
    (fixture, task)
}

/// The columns of a table of predictions, without its header.
fn columns(table: &str) -> Vec<Vec<String>> {
    table.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn close(a: f64, b: f64) {
    approx::assert_abs_diff_eq!(a, b, epsilon = 1e-5);
}

#[test]
fn the_right_choice_is_learned_and_predicted() {
    let (fixture, task) = fixture();
    let config = config(&["head.kind=hf", "head.pooling=first", "train.epochs=8"]);
    let out = fixture.path("out");
    let data = fixture.path("choice");
    let finetune = Finetune::new(&*task, data, fixture.path("model"), &config, &out);
    let report = finish(&finetune);
    assert_eq!((report.examples.train, report.examples.dev), (64, 32));
    // A batch of n rows has 3n inputs.
    assert_eq!(config.train.batch_size * config.train.accumulate * report.steps as usize, 64 * 8);
    assert_eq!(report.baselines.majority.dev[&Metric::Accuracy], Some(0.5));
    let dev = report.seeds[0].dev[&Metric::Accuracy].unwrap();
    assert!(dev > 0.8, "{dev}");

    // The model of the folder gives the predictions of the run, with probabilities.
    let predictor = Predictor::open(&out, device_name()).unwrap();
    let options = StreamOptions { probabilities: Probabilities::Write, ..StreamOptions::default() };
    let rows = StreamInput::open(&fixture.path("choice/dev.tsv")).unwrap();
    let mut text = Vec::new();
    predictor.stream(rows, &mut text, "p".as_ref(), &options, &mut |_| {}).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().next(), Some("index\tprediction\tA\tB\tC"));
    let (found, kept) =
        (columns(&text), fs::read_to_string(out.join("seed-1/dev/predictions.tsv")));
    let first_two = |row: &Vec<String>| row[..2].to_vec();
    assert_eq!(found.iter().map(first_two).collect::<Vec<_>>(), columns(&kept.unwrap()));
    let mut right = 0;
    for (i, row) in found.iter().enumerate() {
        let p: Vec<f64> = row[2..].iter().map(|p| p.parse().unwrap()).collect();
        close(p.iter().sum(), 1.0);
        let best = ["A", "B", "C"].iter().position(|name| *name == row[1]).unwrap();
        assert!(p.iter().all(|other| *other <= p[best]), "{row:?}");
        right += usize::from(best == gold(64 + i));
    }
    close(dev, right as f64 / 32.0);
    let request = |texts: &[&str]| predictor.answer(&[Request::row(texts)]);
    let answer = request(&["which ?", "red blue", "fox bear fish", "green"]).unwrap().remove(0);
    assert_eq!(answer.text(), "B");
    says(request(&["which ?", "red"]), &["number 0", "a text and 3 choices"]);

    // The hardest example is the one whose right choice has the lowest probability.
    let details = fs::read_to_string(out.join("seed-1/dev/details.json")).unwrap();
    let details: Vec<Details> = serde_json::from_str(&details).unwrap();
    let [Details::Table { rows: hardest, .. }] = &details[..] else { panic!("{details:?}") };
    let p = |i: usize| found[i][2 + gold(64 + i)].parse::<f64>().unwrap();
    let lowest = (0..32).map(p).fold(1.0, f64::min);
    assert_eq!(p(hardest[0][0].parse().unwrap()), lowest);
    assert_eq!(hardest[0][2], ["A", "B", "C"][gold(hardest[0][0].parse().unwrap())]);

    // The exported folder has the class and the names of transformers: a summary of [CLS] and a classifier.
    let exported = fixture.path("exported");
    model::export(&out, &exported, Existing::Refuse).unwrap();
    let pretrained = Pretrained::read(&exported).unwrap();
    assert_eq!(pretrained.config.architecture, Architecture::ElectraForMultipleChoice);
    let network = PretrainedNetwork::new(&pretrained, &Parts::shipped(), device()).unwrap();
    let tokenizer = WordPiece::from_pretrained_dir(&exported).unwrap();
    let dense = |module: &str, x: &Tensor| {
        let of = |part: &str| {
            let name = format!("{module}.{part}");
            let (_, tensor) = pretrained.tensors.iter().find(|(other, _)| *other == name).unwrap();
            tensor.to_device(device())
        };
        x.linear(&of("weight"), Some(&of("bias")))
    };
    let (first, length) = (row(64), config.train.max_length);
    let logit = |choice: &String| {
        let input = Input::encode(&tokenizer, &first[0], Some(choice), length).unwrap();
        let batch = BatchTensors::new(&[&input], 0, device());
        let hidden = tch::no_grad(|| network.encoder().forward_t(&batch.encoder, false));
        let summary = dense("sequence_summary.summary", &hidden.select(1, 0)).gelu("none");
        dense("classifier", &summary).double_value(&[0, 0]) as f32
    };
    let logits: Vec<f32> = first[1..4].iter().map(logit).collect();
    for (p, found) in ChoicePrediction::new(&logits).probabilities.iter().zip(&found[0][2..]) {
        close(f64::from(*p), found.parse().unwrap());
    }
    let card = fs::read_to_string(exported.join("README.md")).unwrap();
    assert!(card.contains("AutoModelForMultipleChoice.from_pretrained"), "{card}");
}

/// The inputs of a row stay together among those of another task.
#[test]
fn multiple_choice_is_learned_together_with_a_classification() {
    let (fixture, choice) = fixture();
    let classes = Kinds::default().read(&fixture.path("task"), &[]).unwrap();
    let one = |task, folder: &str| OneOf { task, data: fixture.path(folder), weight: 1.0 };
    let tasks = vec![one(classes, "task"), one(choice, "choice")];
    let task = MultiTask { name: "both".to_owned(), temperature: 1.0, tasks };
    let config = config(&["train.epochs=8", "train.batches=by-length"]);
    let (model, out) = (fixture.path("model"), fixture.path("out"));
    let report = finish(&Finetune::new(&task, "", model, &config, &out));
    let seed = &report.seeds[0];
    let score = |name: &str| seed.more_dev[name][&Metric::Accuracy].unwrap();
    assert!(score("kinds") > 0.8 && score("odd") > 0.8, "{seed:?}");
    // The reference's head: one dense layer, which transformers has no class for.
    let odd = out.join("model/odd");
    assert_eq!(hf::read_config(&odd).unwrap().architecture, Architecture::ElectraModel);
    let answer = Predictor::open(&odd, device_name()).unwrap();
    let answer = answer.answer(&[Request::row(&["which ?", "fox bear", "red", "blue"])]).unwrap();
    assert_eq!(answer[0].text(), "A");
}

fn source() -> std::path::PathBuf {
    root().join("tests/fixtures/foreign/choice")
}

/// The rows of the fixture's ids and segments have the logits that transformers computed.
#[test]
fn a_multiple_choice_model_of_transformers_is_adopted() {
    let _turn = turn();
    let dir = foreign("choice");
    let names = |columns: &[&str]| columns.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let adopt =
        |columns| Kinds::default().adopt(dir.path(), "swag", &names(columns), Version::V1).unwrap();
    // Without the columns of the choices it cannot predict.
    assert!(!adopt(&["context"]) && !dir.path().join("task.json").exists());
    assert!(adopt(&["context", "ending0", "ending1"]));

    let expected = tensors::read(&source().join("expected.safetensors"));
    let expected = expected.unwrap();
    let of = |name: &str| &expected.iter().find(|(other, _)| other == name).unwrap().1;
    let input = |row: i64| {
        let length = of("attention_mask").get(row).sum(Kind::Int64).int64_value(&[]);
        let ids = of("input_ids").get(row).narrow(0, 0, length);
        let second = of("token_type_ids").get(row).sum(Kind::Int64).int64_value(&[]);
        let ids: Vec<i64> = ids.try_into().unwrap();
        let ids = ids.into_iter().map(|id| id as u32).collect();
        Input { ids, segment_b_start: (length - second) as usize }
    };
    let inputs = [0, 1, 2].map(input);
    let header = Header::read(dir.path()).unwrap();
    let site =
        ModelSite { dir: dir.path(), device: device(), parts: Parts::shipped(), header: &header };
    let (pool, _) = NetworkPool::read(&site, "", |site| ChoiceNet::new(site, 3)).unwrap();
    let found = pool.predict(&inputs, 2).unwrap();
    for (row, logit) in found.iter().enumerate() {
        close(f64::from(*logit), of("logits").double_value(&[row as i64, 0]));
    }

    // The predictor takes the softmax over the logits of the choices.
    let predictor = Predictor::open(dir.path(), device_name()).unwrap();
    let answer = predictor.answer(&[Request::row(&["w7 w9", "w11", "w12 w13"])]).unwrap().remove(0);
    let pair = |ids: [u32; 2]| {
        let ids = [&[2, 7, 9, 3], &ids[..], &[3]].concat();
        let ids = ids.into_iter().filter(|&id| id != 0).collect();
        Input { ids, segment_b_start: 4 }
    };
    let logits = pool.predict(&[pair([11, 0]), pair([12, 13])], 2).unwrap();
    let first = 1.0 / (1.0 + f64::from(logits[1] - logits[0]).exp());
    close(f64::from(answer.probabilities()[0]), first);
    assert_eq!(answer.text(), if first >= 0.5 { "0" } else { "1" });
    assert_eq!(predictor.header().kind, ChoiceInfo::KIND);
}

/// With one output weight of 1 and a bias of 0, a logit is the first hidden unit of `[CLS]`. Logits of 0, ln 2, 0 and
/// ln 3, 0, 0 are probabilities of 1/4, 2/4, 1/4 and 3/5, 1/5, 1/5.
#[test]
fn losses_and_probabilities_are_those_of_the_softmax_over_the_choices() {
    let _turn = turn();
    let path = root().join("configs/finetune-tiny.toml");
    let mut settings = FinetuneConfig::read(&path, &[]).unwrap().head;
    settings.kind = HeadKind::Reference;
    let encoder = hf::read_config(&source()).unwrap().encoder;
    let encoder = EncoderConfig { hidden: 2, ..encoder };
    let vs = nn::VarStore::new(device());
    let net = ChoiceNet::new(&HeadSite::new(&vs.root(), &encoder, &settings), 3).unwrap();
    tch::no_grad(|| {
        let mut variables = vs.variables();
        variables.get_mut("weight").unwrap().copy_(&Tensor::from_slice2(&[[1.0f32, 0.0]]));
        let _ = variables.get_mut("bias").unwrap().zero_();
    });
    let inputs = vec![Input { ids: vec![2], segment_b_start: 1 }; 6];
    let batch = BatchTensors::new(&inputs.iter().collect::<Vec<_>>(), 0, device());
    let logits = [0.0, 2f32.ln(), 0.0, 3f32.ln(), 0.0, 0.0];
    let states: Vec<f32> = logits.iter().flat_map(|&logit| [logit, 7.0]).collect();
    let hidden_bsh = &Tensor::from_slice(&states).view([6, 1, 2]).to_device(device());
    let x = HeadInput { hidden_bsh, batch: &batch, train: false };
    let losses = net.losses(&x, &[&1, &2]).losses_b;
    assert_eq!(losses.size(), [2]);
    close(losses.double_value(&[0]), 2f64.ln());
    close(losses.double_value(&[1]), 5f64.ln());
    let found = net.predict(&x);
    let predictions: Vec<_> = found.chunks(3).map(ChoicePrediction::new).collect();
    assert_eq!((predictions[0].choice, predictions[1].choice), (1, 0));
    let found = predictions.iter().flat_map(|p| p.probabilities.clone());
    for (p, expected) in found.zip([0.25, 0.5, 0.25, 0.6, 0.2, 0.2]) {
        close(f64::from(p), expected);
    }
    assert_eq!(ChoicePrediction::new(&[1.0, 1.0]).choice, 0);
    assert!(ChoicePrediction::new(&[f32::INFINITY, 0.0]).probabilities[0].is_nan());
}

/// The label is a name, by default a number from 0, or the text of the right choice.
#[test]
fn invalid_rows_of_choices_are_named_by_file_line_and_column() {
    let fixture = Fixture::new();
    let config = config(&[]);
    let load = |keys: &str, rows: &str| {
        fixture.write("choice/train.tsv", format!("question\tfirst\tsecond\tthird\tright\n{rows}"));
        fixture.write("choice/dev.tsv", "question\tfirst\tsecond\tthird\tright\nq\ta\tb\t1\t1\n");
        let toml = TASK.replace("labels = [\"A\", \"B\", \"C\"]", keys);
        let task = described(&fixture.path("choice"), &toml)?;
        let (data, model) = (fixture.path("choice"), fixture.path("model"));
        let out = tempfile::tempdir().unwrap();
        let finetune = Finetune::new(&*task, data, model, &config, out.path().join("out"));
        // Stopped before the first update: only the data is read.
        finetune.run(&true.into(), &mut |_| {}).map(drop)
    };
    let good = "q\ta\tb\t1\t1\n";
    load("", good).unwrap();
    load("label_is = 'text'", good).unwrap();
    says(load("", "q\ta\tb\tc\t3\n"), &["train.tsv:2", "\"right\"", "\"3\"", "\"2\""]);
    let names = "labels = ['one', 'two', '1']";
    load(names, good).unwrap();
    let rows = format!("{good}q\ta\tb\tc\ttwoo\n");
    says(load(names, &rows), &["train.tsv:3", "\"right\"", "\"twoo\"", "\"two\"?"]);
    let text = |label: &str| load("label_is = 'text'", &format!("{good}q\ta\ta\tb\t{label}\n"));
    text("b").unwrap();
    says(text("d"), &["train.tsv:3", "\"right\"", "\"d\"", "not the text of a choice"]);
    says(text("a"), &["train.tsv:3", "\"right\"", "the text of 2 choices"]);
    says(load("", "q\ta\t \tc\t1\n"), &["train.tsv:2", "\"second\"", "empty"]);
    says(load("", "q\ta\tc\t1\n"), &["train.tsv:2"]);
    load("no_label = '-'", &format!("{good}q\ta\tb\tc\t-\n")).unwrap();
    load("unusable_rows = 0.5", &format!("{good}q\ta\t\tc\t1\n")).unwrap();

    let keys = |from: &str, to: &str| described(&fixture.path("choice"), &TASK.replace(from, to));
    says(keys("\"accuracy\"", "\"f1\""), &["metric = f1", "must be accuracy"]);
    says(keys("\"second\", \"third\"", ""), &["choices", "two or more"]);
    says(keys("\"third\"", "\"question\""), &["choices", "once"]);
    says(keys("[\"A\", \"B\"", "[\"A\", \"A\""), &["labels", "duplicate"]);
    says(keys("[\"A\", ", "["), &["labels", "names of 3 choices"]);
    says(keys("text =", "text_a ="), &["task.toml", "text_a"]);
}

/// Choices are rows of JSON and CSV too.
#[test]
fn choices_are_predicted_from_json_lines() {
    let _turn = turn();
    let dir = foreign("choice");
    let columns = ["context", "a", "b"].map(str::to_owned);
    assert!(Kinds::default().adopt(dir.path(), "swag", &columns, Version::V1).unwrap());
    let predictor = Predictor::open(dir.path(), device_name()).unwrap();
    let predict = |text: &'static str, format| {
        let rows = StreamInput::new(text.as_bytes(), "rows", format);
        let mut out = Vec::new();
        let options = StreamOptions { format: Some(Format::Tsv), ..StreamOptions::default() };
        predictor.stream(rows, &mut out, "out".as_ref(), &options, &mut |_| {}).unwrap();
        String::from_utf8(out).unwrap()
    };
    let json = predict("{\"b\": \"w8\", \"a\": \"w7\", \"context\": \"w6\"}\n", Format::JsonLines);
    assert_eq!(json, predict("context,a,b\nw6,w7,w8\n", Format::Csv));
    let answer = predictor.answer(&[Request::row(&["w6", "w7", "w8"])]).unwrap().remove(0);
    assert_eq!(json, format!("index\tprediction\n0\t{}\n", answer.text()));
}
