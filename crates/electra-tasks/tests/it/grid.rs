//! Grids over values and seeds, resuming, and the selection of weights by the dev score.

use crate::{
    device_name,
    e2e::{Fixture, config},
    says,
};
use electra_scores::{SentenceTask, metrics::Summary};
use electra_tasks::{
    Completion, Event, Finetune, FinetuneConfig, Grid, Report,
    finetune::{
        GridReport,
        grid::{Axis, Cell, cells},
    },
};
use electra_train::StartFrom;
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

fn axes(texts: &[&str]) -> Vec<Axis> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn over(base: &FinetuneConfig, texts: &[&str]) -> Vec<Cell> {
    cells(&axes(texts), |values| base.with_overrides("base", values)).unwrap()
}

fn finish(grid: &Grid<'_>) -> GridReport {
    match grid.run(&AtomicBool::new(false), &mut |_| {}).unwrap() {
        Completion::Finished(report) => *report,
        Completion::Stopped => panic!("the run was not stopped"),
    }
}

fn grid<'a>(
    fixture: &Fixture,
    task: &'a SentenceTask,
    config: &'a FinetuneConfig,
    cells: &'a [Cell],
    out: &str,
) -> Grid<'a> {
    let mut finetune = fixture.finetune(task, config, out);
    finetune.seeds = vec![1, 2];
    Grid { finetune, cells }
}

fn weights(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("model/model.safetensors")).unwrap()
}

fn results(dir: &Path) -> Report {
    serde_json::from_str(&fs::read_to_string(dir.join("results.json")).unwrap()).unwrap()
}

const RATES: &str = "optimizer.learning_rate=1e-6,2e-3";
const EPOCHS: &str = "train.epochs=1,2";

#[test]
fn axes_and_cells() {
    let base = config(&[]);
    let found = over(&base, &[RATES, EPOCHS]);
    let names: Vec<&str> = found.iter().map(|cell| cell.name.as_str()).collect();
    let expected = [
        "optimizer.learning_rate=1e-6,train.epochs=1",
        "optimizer.learning_rate=1e-6,train.epochs=2",
        "optimizer.learning_rate=2e-3,train.epochs=1",
        "optimizer.learning_rate=2e-3,train.epochs=2",
    ];
    assert_eq!(names, expected);
    let values = |cell: &Cell| (cell.config.optimizer.learning_rate, cell.config.train.epochs);
    assert_eq!(
        found.iter().map(values).collect::<Vec<_>>(),
        [(1e-6, 1.0), (1e-6, 2.0), (2e-3, 1.0), (2e-3, 2.0)]
    );
    let parse = |text: &str| text.parse::<Axis>();
    says(parse("train.epochs"), &["grid = train.epochs", "KEY=VALUE,VALUE"]);
    says(parse("train.epochs=1,1"), &["a duplicate value"]);
    says(parse("train.epochs=1,"), &["an empty value"]);
    says(parse("train.seed=1,2"), &["use --seeds"]);
    let of = |texts: &[&str]| cells(&axes(texts), |values| base.with_overrides("base", values));
    says(of(&[EPOCHS, EPOCHS]), &["train.epochs", "is a duplicate"]);
    says(of(&["train.epoch=1,2"]), &["train.epoch=1", "did you mean \"epochs\""]);
    says(of(&["train.epochs=1,0"]), &["train.epochs = 0", "above 0"]);
}

#[test]
fn a_cell_without_an_update_is_reported_before_any_is_trained() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&[]));
    let cells = over(&config, &["train.epochs=1,0.0001"]);
    let grid = grid(&fixture, &task, &config, &cells, "out");
    says(grid.run(&AtomicBool::new(false), &mut |_| {}), &["train.epochs = 0.0001", "no update"]);
    assert!(!fixture.path("out").join(&cells[0].name).exists());
}

#[test]
fn a_grid_tries_every_cell_and_keeps_the_best_model() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&[]));
    let cells = over(&config, &[RATES, EPOCHS]);
    let grid = grid(&fixture, &task, &config, &cells, "out");
    let train = fs::read_to_string(fixture.path("task/train.tsv")).unwrap();
    // The data is read once: it is removed when the second seed of the first cell begins.
    let done = grid.run(&AtomicBool::new(false), &mut |event| {
        if let Event::SeedStarted { index: 1, .. } = event {
            let _ = fs::remove_file(fixture.path("task/train.tsv"));
        }
    });
    let Completion::Finished(report) = done.unwrap() else { panic!("the run was not stopped") };

    assert_eq!(report.cells.len(), 4);
    let mut highest = f64::NEG_INFINITY;
    for (cell, asked) in report.cells.iter().zip(&cells) {
        assert_eq!(cell.name, asked.name);
        let dir = fixture.path("out").join(&cell.name);
        let own = results(&dir);
        let scores: Vec<f64> =
            own.seeds.iter().map(|seed| seed.dev_score(own.metric).unwrap()).collect();
        assert_eq!(scores.len(), 2);
        let dev = cell.dev.unwrap();
        assert_eq!(Some(dev), Summary::of(&scores));
        assert_eq!(dev.median, (scores[0] + scores[1]) / 2.0);
        assert_eq!(cell.best_dev, Some(scores[0].max(scores[1])));
        // The best cell has its model; the models of other cells are removed.
        let is_best = Some(&cell.name) == report.best.as_ref();
        assert_eq!(dir.join("model").exists(), is_best, "{}", cell.name);
        highest = highest.max(dev.median);
        // A cell has the result of fine-tuning with its config, which is in its folder.
        let written = FinetuneConfig::read(&dir.join("config.toml"), &[]).unwrap();
        assert_eq!(written, asked.config);
    }
    let best = report.cells.iter().find(|cell| Some(&cell.name) == report.best.as_ref()).unwrap();
    assert_eq!(best.dev.unwrap().median, highest);
    // A learning rate of 1e-6 does not change the head; 2e-3 learns the task.
    assert!(best.name.starts_with("optimizer.learning_rate=2e-3"), "{report:?}");
    let kept = fs::read_to_string(fixture.path("out/grid.json")).unwrap();
    assert_eq!(serde_json::from_str::<GridReport>(&kept).unwrap(), *report);
    electra_tasks::Predictor::open(&fixture.path("out/model"), device_name()).unwrap();

    // The best cell run alone gives the same model, bit for bit.
    fixture.write("task/train.tsv", &train);
    let cell = cells.iter().find(|cell| cell.name == best.name).unwrap();
    let mut alone = fixture.finetune(&task, &cell.config, "alone");
    alone.seeds = vec![1, 2];
    alone.run(&AtomicBool::new(false), &mut |_| {}).unwrap();
    assert!(weights(&fixture.path("alone")) == weights(&fixture.path("out")));
}

#[test]
fn a_stopped_grid_resumes_bit_for_bit_and_skips_finished_cells() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&["checkpoint.every=2"]));
    let cells = over(&config, &[RATES, EPOCHS]);
    let mut unbroken = finish(&grid(&fixture, &task, &config, &cells, "unbroken"));

    let mut broken = grid(&fixture, &task, &config, &cells, "broken");
    let (stop, mut cell) = (AtomicBool::new(false), 0);
    // In the second seed of the third cell.
    let stopped = broken.run(&stop, &mut |event| match event {
        Event::CellStarted { index, .. } => cell = index,
        Event::SeedStarted { index: 1, .. } if cell == 2 => stop.store(true, Ordering::Relaxed),
        _ => {}
    });
    assert_eq!(stopped.unwrap(), Completion::Stopped);
    broken.finetune.from = StartFrom::Checkpoint;
    let (mut started, mut skipped, mut trained) = (0, 0, 0);
    let done = broken.run(&AtomicBool::new(false), &mut |event| match event {
        Event::CellStarted { .. } => started += 1,
        Event::SeedStarted { .. } => trained += 1,
        Event::SeedSkipped(_) => skipped += 1,
        _ => {}
    });
    let Completion::Finished(mut report) = done.unwrap() else { panic!("nobody stopped it") };
    // Two cells and one seed of the third were finished; three seeds remained.
    assert_eq!((started, skipped, trained), (4, 1, 3));
    (report.seconds, unbroken.seconds) = (0.0, 0.0);
    assert_eq!(*report, unbroken);
    assert!(weights(&fixture.path("broken")) == weights(&fixture.path("unbroken")));

    // Cells can be added in the same folder; finished cells must be requested again, with the same settings.
    let more = over(&config, &["optimizer.learning_rate=1e-6,2e-3,1e-5", EPOCHS]);
    let mut wider = grid(&fixture, &task, &config, &more, "broken");
    wider.finetune.from = StartFrom::Checkpoint;
    let wider = finish(&wider);
    assert_eq!((wider.cells.len(), &wider.best), (6, &unbroken.best));
    assert!(weights(&fixture.path("broken")) == weights(&fixture.path("unbroken")));
    let mut fewer = grid(&fixture, &task, &config, &cells, "broken");
    fewer.finetune.from = StartFrom::Checkpoint;
    let run = |grid: &Grid<'_>| grid.run(&AtomicBool::new(false), &mut |_| {});
    says(run(&fewer), &["learning_rate=1e-5", "not one of those requested"]);
    fewer.cells = &more;
    fewer.finetune.seeds = vec![1];
    says(run(&fewer), &["grid.json", "[1, 2]", "[1]"]);
    let base = crate::e2e::config(&["train.batch_size=8"]);
    let other = over(&base, &["optimizer.learning_rate=1e-6,2e-3,1e-5", EPOCHS]);
    let mut other = grid(&fixture, &task, &base, &other, "broken");
    other.finetune.from = StartFrom::Checkpoint;
    says(run(&other), &["train.epochs=1", "the config"]);
    other.finetune.out = fixture.path("nowhere");
    says(run(&other), &["nowhere/grid.json", "the folder has no grid to resume"]);
}

/// The dev scores in the metrics of a seed, by update.
fn dev_scores(seed: &Path) -> Vec<(u64, f64)> {
    let text = fs::read_to_string(seed.join("metrics.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.filter(|row| row["kind"] == "evaluate")
        .map(|row| (row["step"].as_u64().unwrap(), row["dev_accuracy"].as_f64().unwrap()))
        .collect()
}

/// A learning rate so high that the scores fluctuate.
#[test]
fn the_best_step_on_dev_is_kept_and_found_again() {
    let fixture = Fixture::new();
    let set = [
        "optimizer.learning_rate=2e-2",
        "train.epochs=3",
        "evaluate.every=1",
        "checkpoint.every=3",
        "checkpoint.keep_last=0",
    ];
    let task = fixture.read_task();
    let last = config(&set);
    let best = config(&[&set[..], &["evaluate.choose=best"]].concat());
    let run =
        |finetune: &Finetune<'_>| match finetune.run(&AtomicBool::new(false), &mut |_| {}).unwrap()
        {
            Completion::Finished(report) => report.seeds[0].clone(),
            Completion::Stopped => panic!("the run was not stopped"),
        };
    let at_the_end = run(&fixture.finetune(&task, &last, "last"));
    let chosen = run(&fixture.finetune(&task, &best, "best"));
    let scores = dev_scores(&fixture.path("best/seed-1"));
    // The updates are the same; the first of the highest scores is selected.
    assert_eq!(scores, dev_scores(&fixture.path("last/seed-1")));
    assert_eq!(scores.len(), 13);
    let highest = scores.iter().map(|(_, score)| *score).fold(f64::NEG_INFINITY, f64::max);
    let (step, _) = *scores.iter().find(|(_, score)| *score == highest).unwrap();
    assert_eq!((chosen.chosen_step, chosen.dev_score(task.metric)), (Some(step), Some(highest)));
    let end = scores[12].1;
    assert_eq!((at_the_end.chosen_step, at_the_end.dev_score(task.metric)), (None, Some(end)));
    assert!(step < 12, "the last step is the best: the test would not see a difference");
    assert!(!fixture.path("best/seed-1/best").exists());

    // Stopped after its best step, and after the last checkpoint before it.
    let mut broken = fixture.finetune(&task, &best, "broken");
    let stop = AtomicBool::new(false);
    let stopped = broken.run(&stop, &mut |event| {
        if let Event::Training(electra_train::Event::Step { step: at, .. }) = event {
            stop.store(at == step + 1, Ordering::Relaxed);
        }
    });
    assert_eq!(stopped.unwrap(), Completion::Stopped);
    let newest = format!("broken/seed-1/checkpoints/step-{:07}", step + 1);
    fs::remove_dir_all(fixture.path(&newest)).unwrap();
    broken.from = StartFrom::Checkpoint;
    assert_eq!(run(&broken).chosen_step, Some(step));
    assert!(weights(&fixture.path("broken")) == weights(&fixture.path("best")));
}
