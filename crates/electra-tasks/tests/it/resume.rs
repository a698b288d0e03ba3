//! Resuming runs and grids after something was changed or removed, and runs that diverge.

use crate::{
    e2e::{Fixture, config, finish},
    says,
};
use electra_files::folder;
use electra_scores::{Metric, SentenceTask};
use electra_tasks::{
    Completion, Finetune, FinetuneConfig, Grid,
    finetune::{CellReport, GridReport, grid::Cell},
    model::Header,
};
use electra_train::StartFrom;
use std::{fs, path::Path, sync::atomic::AtomicBool};

fn weights(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("model/model.safetensors")).unwrap()
}

/// Moved data is the same; data with another label, another row, or another number of dev examples is not.
#[test]
fn a_run_is_not_resumed_with_other_data() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&["train.epochs=1"]));
    let mut run = fixture.finetune(&task, &config, "out");
    finish(&run);
    (run.from, run.seeds) = (StartFrom::Checkpoint, vec![1, 2]);
    let data = fixture.path("task");
    let go_on = |run: &Finetune<'_>| run.run(&AtomicBool::new(false), &mut |_| {});
    for (file, from, to) in [
        ("train.tsv", "\tcolor\n", "\tanimal\n"),
        ("train.tsv", "text\tlabel\n", "text\tlabel\nred\tcolor\n"),
        ("dev.tsv", "text\tlabel\n", "text\tlabel\nred\tcolor\n"),
    ] {
        let whole = fs::read_to_string(data.join(file)).unwrap();
        fs::write(data.join(file), whole.replacen(from, to, 1)).unwrap();
        says(go_on(&run), &["out", "the data changed"]);
        fs::write(data.join(file), whole).unwrap();
    }
    // Another process writes the folder.
    let lock = folder::lock(&fixture.path("out"), "inputs.json").unwrap().unwrap();
    says(go_on(&run), &["out is being written by another process"]);
    drop(lock);
    assert!(!fixture.path("out/seed-2").exists());
    fs::rename(&data, fixture.path("moved")).unwrap();
    run.data = fixture.path("moved");
    finish(&run);
    // Folders of version 0.1 have another checksum, which is not compared: the numbers of examples are.
    let path = fixture.path("out/inputs.json");
    let kept = fs::read_to_string(&path).unwrap();
    let mut inputs: serde_json::Value = serde_json::from_str(&kept).unwrap();
    inputs["data"] =
        serde_json::json!({ "examples": inputs["data"]["examples"], "train": "0123456789abcdef" });
    fs::write(&path, inputs.to_string()).unwrap();
    finish(&run);
    inputs["data"]["examples"]["dev"] = 31.into();
    fs::write(&path, inputs.to_string()).unwrap();
    says(go_on(&run), &["out", "the data changed"]);
    fs::write(&path, kept).unwrap();
    // Older folders have none.
    let mut inputs: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(inputs.remove("data").unwrap()["examples"]["train"], 64);
    fs::write(&path, serde_json::to_string(&inputs).unwrap()).unwrap();
    finish(&run);
}

/// Whichever seed is trained last, `model/` has the best seed's model.
#[test]
fn a_seed_trained_again_does_not_replace_a_better_one() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&["train.epochs=1"]));
    let mut scout = fixture.finetune(&task, &config, "scout");
    scout.seeds = vec![1, 2, 3];
    let mut seeds = finish(&scout).seeds;
    seeds.sort_by(|a, b| a.dev_score(task.metric).partial_cmp(&b.dev_score(task.metric)).unwrap());
    let scores: Vec<_> = seeds.iter().map(|seed| seed.dev_score(task.metric)).collect();
    assert!(scores[0] < scores[2], "all are equal: the test would not see a difference");

    // From the worst to the best.
    let mut run = fixture.finetune(&task, &config, "out");
    run.seeds = seeds.iter().map(|seed| seed.seed).collect();
    let report = finish(&run);
    let (model, best) = (weights(&fixture.path("out")), report.best_seed);
    assert_ne!(best, run.seeds[0]);
    run.from = StartFrom::Checkpoint;
    for seed in run.seeds.clone() {
        fs::remove_dir_all(fixture.path(&format!("out/seed-{seed}"))).unwrap();
        let again = finish(&run);
        assert_eq!((again.dev, again.best_seed), (report.dev, best));
        assert!(weights(&fixture.path("out")) == model, "after seed {seed}");
        assert_eq!(Header::read(&fixture.path("out/model")).unwrap().seed, best);
    }
    // The model of another seed in its place is an error.
    let path = fixture.path("out/model/task.json");
    let info = fs::read_to_string(&path).unwrap();
    let own = format!("\"seed\": {best}");
    assert!(info.contains(&own), "{info}");
    fs::write(&path, info.replace(&own, "\"seed\": 9")).unwrap();
    let result = run.run(&AtomicBool::new(false), &mut |_| {});
    says(result, &["model", "of seed 9", &format!("seed {best} is the best"), "seed-"]);
}

/// A grid of named cells with their settings.
fn grid<'a>(
    fixture: &Fixture,
    task: &'a SentenceTask,
    config: &'a FinetuneConfig,
    cells: &'a [Cell],
) -> Grid<'a> {
    Grid { finetune: fixture.finetune(task, config, "out"), cells }
}

fn cell(name: &str, overrides: &[&str]) -> Cell {
    Cell { name: name.to_owned(), config: config(overrides) }
}

fn done(grid: &Grid<'_>) -> GridReport {
    match grid.run(&AtomicBool::new(false), &mut |_| {}).unwrap() {
        Completion::Finished(report) => *report,
        Completion::Stopped => panic!("the run was not stopped"),
    }
}

fn score(cell: &CellReport) -> f64 {
    cell.dev.unwrap().median
}

/// 1e-6 does not change the head, 2e-3 learns the task: each of three cells in turn is the best so far.
#[test]
fn all_models_of_a_grid_can_be_kept() {
    let fixture = Fixture::new();
    let (task, base) = (fixture.read_task(), config(&[]));
    let set = |rate| [rate, "train.epochs=3", "checkpoint.finished=keep"];
    let cells = [
        cell("low", &set("optimizer.learning_rate=1e-6")),
        cell("high", &set("optimizer.learning_rate=2e-3")),
        cell("lower", &set("optimizer.learning_rate=1e-7")),
    ];
    let report = done(&grid(&fixture, &task, &base, &cells));
    assert!(score(&report.cells[1]) > score(&report.cells[0]).max(score(&report.cells[2])));
    assert_eq!(report.best.as_deref(), Some("high"));
    let model = |folder: &str| fixture.path(folder).join("model/task.json").is_file();
    assert!(model("out") && model("out/low") && model("out/lower") && model("out/high"));
    assert!(weights(&fixture.path("out")) == weights(&fixture.path("out/high")));
    // Grids of version 0.1 had the best cell's model itself in `model`; they are resumed as they are.
    let link = fixture.path("out/model");
    fs::remove_file(&link).unwrap();
    fs::rename(fixture.path("out/high/model"), &link).unwrap();
    let mut again = grid(&fixture, &task, &base, &cells);
    again.finetune.from = StartFrom::Checkpoint;
    assert_eq!(done(&again).best.as_deref(), Some("high"));
    assert!(model("out") && link.is_dir() && !model("out/high"));
}

/// Two equal cells: the one whose model is kept stays the best, whatever the order.
#[test]
fn of_equal_cells_the_one_with_the_model_stays_the_best() {
    let fixture = Fixture::new();
    let (task, base) = (fixture.read_task(), config(&[]));
    let set = ["train.epochs=1"];
    let mut cells = vec![cell("a", &set), cell("b", &set)];
    let report = done(&grid(&fixture, &task, &base, &cells));
    assert_eq!(score(&report.cells[0]), score(&report.cells[1]));
    assert_eq!(report.best.as_deref(), Some("a"));
    cells.reverse();
    let mut again = grid(&fixture, &task, &base, &cells);
    again.finetune.from = StartFrom::Checkpoint;
    let report = done(&again);
    assert_eq!(report.cells[0].name, "b");
    assert_eq!(report.best.as_deref(), Some("a"));
    // Finished cells must have the data of the others.
    cells.push(cell("c", &set));
    let train = fs::read_to_string(fixture.path("task/train.tsv")).unwrap();
    fixture.write("task/train.tsv", train.replacen("\tcolor\n", "\tanimal\n", 1));
    let mut more = grid(&fixture, &task, &base, &cells);
    more.finetune.from = StartFrom::Checkpoint;
    says(more.run(&AtomicBool::new(false), &mut |_| {}), &["out/b", "the data"]);
}

/// Updates of 1e30 give weights whose squares are infinite.
#[test]
fn a_seed_that_diverges_is_named_and_the_grid_continues() {
    let fixture = Fixture::new();
    let (task, base) = (fixture.read_task(), config(&[]));
    let high = config(&["optimizer.learning_rate=1e30"]);
    let run = fixture.finetune(&task, &high, "alone");
    says(run.run(&AtomicBool::new(false), &mut |_| {}), &["seed 1: step", "learning_rate"]);

    let cells = [
        cell("high", &["optimizer.learning_rate=1e30"]),
        cell("usual", &["optimizer.learning_rate=1e-3", "train.epochs=1"]),
    ];
    let mut grid = grid(&fixture, &task, &base, &cells);
    let report = done(&grid);
    let why = report.cells[0].diverged.as_ref().unwrap();
    assert!(why.starts_with("seed 1: step"), "{why}");
    assert_eq!((report.cells[0].dev, report.best.as_deref()), (None, Some("usual")));
    assert!(report.cells[1].diverged.is_none());
    assert!(fixture.path("out/model/task.json").is_file());
    let page = fs::read_to_string(fixture.path("out/report.html")).unwrap();
    assert!(page.contains("seed 1: step"), "{page}");
    // It is run again, with the same error.
    grid.finetune.from = StartFrom::Checkpoint;
    let again = done(&grid);
    assert_eq!(again.cells, report.cells);
}

/// The lowest error or the highest score is best; an undefined one is the worst.
#[test]
fn merits() {
    let order = |metric: Metric| {
        let mut scores = [None, Some(0.5), Some(-0.1), Some(2.0)];
        scores.sort_by(|&a, &b| metric.merit(b).total_cmp(&metric.merit(a)));
        scores
    };
    assert_eq!(order(Metric::Pearson), [Some(2.0), Some(0.5), Some(-0.1), None]);
    assert_eq!(order(Metric::MeanSquaredError), [Some(-0.1), Some(0.5), Some(2.0), None]);
}
