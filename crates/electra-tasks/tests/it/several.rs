//! Several tasks on one encoder: shares of an epoch, losses, scores and models of each task, bad input.

use crate::{
    device_name,
    e2e::{Fixture, config},
    says, texts,
};
use electra_scores::Metric;
use electra_tasks::{
    Completion, Event, Finetune, FinetuneConfig, Kinds, MultiTask, Predictor, Report, Request,
    details::Details,
    model,
    multi::{Mixture, OneOf},
};
use electra_train::{Existing, StartFrom};
use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

const TAGS: &str = "name = 'things'\nkind = 'tagging'\nscheme = 'bio'\nmetric = 'f1'\n[files]\ntrain = 'train.txt'\ndev = 'dev.txt'\n";

/// 100 and 10 000 inputs: as their sizes, as the square roots 10 and 100 of them, as their fourth roots.
#[test]
fn a_temperature_brings_the_shares_of_tasks_together() {
    let counts = |temperature| Mixture::new(vec![100, 10_000], temperature).counts();
    assert_eq!(counts(1.0), [100, 10_000]);
    // 10 100 / 11 = 918.18; sqrt(10) / (sqrt(10) + 10) = 0.24025, times 10 100 = 2426.5 to one place.
    assert_eq!(counts(2.0), [918, 9182]);
    assert_eq!(counts(4.0), [2427, 7673]);
}

#[test]
fn an_epoch_of_several_tasks_has_each_input_once_or_its_share() {
    let sorted = |places: Vec<usize>| {
        let mut places = places;
        places.sort_unstable();
        places
    };
    let once = Mixture::new(vec![3, 5], 1.0);
    assert_eq!(sorted(once.order(1, 0)), (0..8).collect::<Vec<_>>());
    assert_ne!(once.order(1, 0), once.order(1, 1));
    assert_eq!(once.order(1, 1), once.order(1, 1));
    // 4 and 36 inputs have 10 and 30 places at a temperature of 2: 2 / (2 + 6) and 6 / (2 + 6).
    let shared = sorted(Mixture::new(vec![4, 36], 2.0).order(7, 3));
    let times = |input: usize| shared.iter().filter(|&&place| place == input).count();
    assert!((0..4).all(|input| (2..=3).contains(&times(input))), "{shared:?}");
    assert!((4..40).all(|input| times(input) <= 1), "{shared:?}");
    assert_eq!((4..40).map(times).sum::<usize>(), 30);
}

fn fixture() -> (Fixture, MultiTask) {
    let fixture = Fixture::new();
    fixture.write("tags/task.toml", TAGS);
    let text = "red B-COLOR\nfox B-ANIMAL\n. O\n\nblue B-COLOR\ngreen B-COLOR\nbear B-ANIMAL\n\n";
    fixture.write("tags/train.txt", text.repeat(30));
    fixture.write("tags/dev.txt", text);
    let one = |folder: &str| OneOf {
        task: Kinds::default().read(&fixture.path(folder), &[]).unwrap(),
        data: fixture.path(folder),
        weight: 1.0,
    };
    let tasks = vec![one("task"), one("tags")];
    let task = MultiTask { name: "both".to_owned(), temperature: 1.5, tasks };
    (fixture, task)
}

fn run(
    fixture: &Fixture,
    task: &MultiTask,
    config: &FinetuneConfig,
) -> electra_tasks::Result<Report> {
    let (model, out) = (fixture.path("model"), fixture.path("out"));
    match Finetune::new(task, "", model, config, out).run(&AtomicBool::new(false), &mut |_| {})? {
        Completion::Finished(report) => Ok(*report),
        Completion::Stopped => panic!("the run was not stopped"),
    }
}

#[test]
fn a_classification_and_a_tagging_are_learned_together_and_each_has_its_model() {
    let (fixture, task) = fixture();
    let report = run(&fixture, &task, &config(&["head.pooling=first", "train.epochs=8"])).unwrap();
    let seed = &report.seeds[0];
    let (kinds, things) = (&seed.more_dev["kinds"], &seed.more_dev["things"]);
    let (accuracy, f1) = (kinds[&Metric::Accuracy].unwrap(), things[&Metric::F1].unwrap());
    assert!(accuracy > 0.8 && f1 > 0.8, "{report:?}");
    assert_eq!(seed.dev[&Metric::TaskMean], Some((accuracy + f1) / 2.0));
    // Only one task has a test file.
    let test = seed.test.as_ref().unwrap()[&Metric::TaskMean];
    assert_eq!(test, seed.more_test["kinds"][&Metric::Accuracy]);
    assert_eq!(seed.more_test.len(), 1);
    for name in
        ["dev/kinds/predictions.tsv", "dev/things/predictions.conll", "test/kinds/scores.json"]
    {
        assert!(fixture.path("out/seed-1").join(name).is_file(), "{name}");
    }
    // Labels, their scores and the truncated texts are those of each task.
    let splits: Vec<&str> = report.data.iter().map(|split| split.split.as_str()).collect();
    assert_eq!(splits, ["kinds/train", "kinds/dev", "kinds/test", "things/train", "things/dev"]);
    let labels: Vec<&str> = seed.dev_by_label.iter().map(|found| found.label.as_str()).collect();
    assert_eq!(labels, ["kinds/animal", "kinds/color", "things/ANIMAL", "things/COLOR"]);
    // The report has a section for each task.
    let details = fs::read_to_string(fixture.path("out/seed-1/dev/details.json")).unwrap();
    let details: Vec<Details> = serde_json::from_str(&details).unwrap();
    let sections = details.iter().map(|part| match part {
        Details::Task { name, details } => (name.as_str(), details.len()),
        other => panic!("{other:?}"),
    });
    assert_eq!(sections.collect::<Vec<_>>(), [("kinds", 3), ("things", 2)]);
    let html = fs::read_to_string(fixture.path("out/report.html")).unwrap();
    for part in ["<h2>kinds</h2>\n<h3>Classes</h3>", "<h2>things</h2>\n<h3>Entities by type</h3>"] {
        assert!(html.contains(part), "{part:?} is not in {html}");
    }
    let cell = format!("<td class=\"n\">{f1:.4}</td>");
    assert!(
        html[html.find("<h3>things</h3>").unwrap()..].contains(&cell),
        "{cell} is not in {html}"
    );
    // The model of each task gives the predictions of the scores.
    let kinds = Predictor::open(&fixture.path("out/model/kinds"), device_name()).unwrap();
    assert_eq!(kinds.header().task, "kinds");
    let dev = fs::read_to_string(fixture.path("task/dev.tsv")).unwrap();
    let rows: Vec<(&str, &str)> =
        dev.lines().skip(1).map(|line| line.split_once('\t').unwrap()).collect();
    let requests = texts(&rows.iter().map(|(text, _)| *text).collect::<Vec<_>>());
    let answers = kinds.answer(&requests).unwrap();
    let right = answers.iter().zip(&rows).filter(|(a, (_, gold))| a.text() == *gold).count();
    assert_eq!(right as f64 / rows.len() as f64, accuracy);
    let things = Predictor::open(&fixture.path("out/model/things"), device_name()).unwrap();
    let tags = things.answer(&[Request::words(&["red", "fox"])]).unwrap()[0].text();
    assert!(tags.starts_with("B-COLOR "), "{tags}");
    // The folder of both has the encoder alone.
    says(
        Predictor::open(&fixture.path("out/model"), device_name()).map(drop),
        &["model", "several tasks", "one of them"],
    );
    let exported = model::export(&fixture.path("out"), &fixture.path("e"), Existing::Refuse);
    says(exported, &["out/model", "several tasks", "one of them"]);
}

/// In the second epoch, between two checkpoints.
#[test]
fn a_stopped_run_of_several_tasks_resumes_bit_for_bit() {
    let (fixture, task) = fixture();
    let config = config(&["head.pooling=first", "train.epochs=2", "checkpoint.every=3"]);
    let finetune =
        |out: &str| Finetune::new(&task, "", fixture.path("model"), &config, fixture.path(out));
    let stop = AtomicBool::new(false);
    let whole = finetune("unbroken").run(&stop, &mut |_| {}).unwrap();
    assert!(matches!(whole, Completion::Finished(_)));
    let mut broken = finetune("broken");
    let mut steps = 0;
    let completion = broken.run(&stop, &mut |event| {
        if let Event::Training(electra_train::Event::Step { .. }) = event {
            steps += 1;
            stop.store(steps == 10, Ordering::Relaxed);
        }
    });
    assert_eq!(completion.unwrap(), Completion::Stopped);
    broken.from = StartFrom::Checkpoint;
    let rest = broken.run(&AtomicBool::new(false), &mut |_| {}).unwrap();
    assert!(matches!(rest, Completion::Finished(_)));
    for file in [
        "model/model.safetensors",
        "model/kinds/model.safetensors",
        "model/things/model.safetensors",
        "seed-1/dev/things/predictions.conll",
    ] {
        let bytes = |out: &str| fs::read(fixture.path(out).join(file)).unwrap();
        assert!(bytes("broken") == bytes("unbroken"), "{file} differs");
    }
}

#[test]
fn several_tasks_that_cannot_be_trained_together() {
    let (fixture, mut task) = fixture();
    let config = config(&["head.pooling=first", "train.epochs=1"]);
    task.temperature = 0.5;
    says(run(&fixture, &task, &config), &["temperature = 0.5", "1 or above"]);
    task.temperature = 1.0;
    task.tasks[1].weight = 0.0;
    says(run(&fixture, &task, &config), &["weight = 0", "things", "above 0"]);
    task.tasks[1] = task.tasks[0].clone();
    says(run(&fixture, &task, &config), &["\"kinds\"", "must differ from"]);
    task.tasks.pop();
    says(run(&fixture, &task, &config), &["tasks = 1", "at least 2"]);
}
