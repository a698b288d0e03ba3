//! `electra report` and `electra runs`: they read runs of any kind at any time, and change nothing.
//!
//! The runs are those of version 0.1: `run` has 3 of 6 updates of pre-training, `finetuned` 2 updates of one seed.

use crate::{errors::fails, output, written_by_0_1::copied};
use electra_files::folder;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};
use walkdir::WalkDir;

/// All files of a folder with their contents and times.
fn files(dir: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let files = WalkDir::new(dir).into_iter().map(Result::unwrap);
    let read =
        |path: &Path| (fs::read(path).unwrap(), path.metadata().unwrap().modified().unwrap());
    let files = files.filter(|entry| entry.file_type().is_file());
    files.map(|entry| (entry.path().display().to_string(), read(entry.path()))).collect()
}

/// Makes the shards of the run readable from everywhere.
fn with_shards(dir: &Path) {
    let config = dir.join("run/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let shards = dir.join("shards").display().to_string();
    fs::write(&config, text.replace("shards = \"shards\"", &format!("shards = \"{shards}\"")))
        .unwrap();
}

#[test]
fn the_report_of_a_run_in_training_only_reads_it() {
    let copy = copied();
    let dir = copy.path();
    with_shards(dir);
    // In training, while a row is written.
    let lock = folder::lock(&dir.join("run"), "manifest.json").unwrap().unwrap();
    let metrics = dir.join("run/metrics.jsonl");
    let rows = fs::read_to_string(&metrics).unwrap();
    fs::write(&metrics, format!("{rows}{{\"kind\":\"train\",\"step\":99,")).unwrap();
    let before = files(dir);
    let printed = output(dir, "report {}/run --out {}/page.html");
    assert!(printed.contains("page.html") && printed.contains("page.csv"), "{printed}");
    let html = fs::read_to_string(dir.join("page.html")).unwrap();
    for words in [
        "<title>run: pre-training</title>",
        "3 of 6",
        "Predictions after update 3.",
        "<s>",
        "<polyline",
    ] {
        assert!(html.contains(words), "{words:?} is not in {html}");
    }
    let csv = fs::read_to_string(dir.join("page.csv")).unwrap();
    assert!(csv.contains("run,evaluate,0,discriminator_auc,0.5524493243243244\n"), "{csv}");
    assert!(!csv.contains(",99,"), "{csv}");
    for name in ["page.html", "page.csv"] {
        fs::remove_file(dir.join(name)).unwrap();
    }
    assert_eq!(files(dir), before);
    drop(lock);

    // Without a checkpoint and shards there are no samples.
    fs::remove_dir_all(dir.join("run/checkpoints")).unwrap();
    output(dir, "report {}/run --out {}/page.html");
    let html = fs::read_to_string(dir.join("page.html")).unwrap();
    assert!(
        html.contains("There are no samples: ") && html.contains("no intact checkpoint"),
        "{html}"
    );
}

#[test]
fn runs_of_all_kinds_are_on_one_page() {
    let copy = copied();
    let dir = copy.path();
    output(dir, "report {}/run {}/finetuned --out {}/both.html");
    let html = fs::read_to_string(dir.join("both.html")).unwrap();
    for words in
        ["2 runs", "Differences of the configs", "finetuned/seed-1", "<td>train.epochs</td>"]
    {
        assert!(html.contains(words), "{words:?} is not in {html}");
    }
    let csv = fs::read_to_string(dir.join("both.csv")).unwrap();
    let seed = format!("{},train,2,accuracy,0.5\n", dir.join("finetuned/seed-1").display());
    assert!(csv.contains(&seed), "{csv}");
    // A folder stands for the runs in it, and a single seed has its config.
    output(dir, "report {} --out {}/all.html");
    assert!(fs::read_to_string(dir.join("all.html")).unwrap().contains("2 runs"));
    output(dir, "report {}/finetuned --out {}/seed.html");
    assert!(!fs::read_to_string(dir.join("seed.html")).unwrap().contains("Differences"));

    fails(dir, "report {}/shards --out {}/x.html", 1, &["shards", "no run in this folder"]);
    fails(dir, "report {}/none --out {}/x.html", 1, &["none"]);
    fails(dir, "report {}/run --out {}/x.csv", 1, &["x.csv", "must not end in .csv"]);
    fails(dir, "report", 2, &["<RUN>"]);
}

#[test]
fn all_runs_of_a_folder_are_listed_with_their_states() {
    let copy = copied();
    let dir = copy.path();
    fs::create_dir(dir.join("broken")).unwrap();
    for file in ["manifest.json", "config.toml"] {
        fs::write(dir.join("broken").join(file), "{").unwrap();
    }
    let before = files(dir);
    let parsed = || -> Value { serde_json::from_str(&output(dir, "runs {} --json")).unwrap() };
    let results = parsed();
    let runs = results["runs"].as_array().unwrap();
    let of = |name: &str| runs.iter().find(|run| run["name"] == name).unwrap();
    assert_eq!(runs.len(), 2, "{results}");
    let run = of("run");
    // From metrics.jsonl, config.toml, manifest.json and shards.json.
    for (key, value) in [
        ("kind", Value::from("pre-training")),
        ("objective", "replaced-token".into()),
        ("state", "stopped".into()),
        ("step", 3.into()),
        ("steps", 6.into()),
        ("loss", 8.408274933695793.into()),
    ] {
        assert_eq!(run[key], value, "{key} of {run}");
    }
    assert_eq!(run["score"], serde_json::json!({ "metric": "AUC", "value": 0.5524493243243244 }));
    let tuned = of("finetuned");
    for (key, value) in [
        ("kind", Value::from("fine-tuning")),
        ("objective", "cls".into()),
        ("state", "finished".into()),
        ("step", 2.into()),
        ("steps", 2.into()),
        ("parameters", 4290.into()),
        ("loss", 1.6933093157131225.into()),
        ("score", serde_json::json!({ "metric": "accuracy", "value": 0.5 })),
    ] {
        assert_eq!(tuned[key], value, "{key} of {tuned}");
    }
    assert!(
        tuned["bytes"].as_u64().unwrap()
            > fs::metadata(dir.join("finetuned/model/model.safetensors")).unwrap().len()
    );
    let reason = results["not_shown"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("manifest.json"), "{reason}");
    assert_eq!(files(dir), before);

    // Resumed, and finished.
    let lock = folder::lock(&dir.join("run"), "manifest.json").unwrap().unwrap();
    assert_eq!(parsed()["runs"][1]["state"], "running");
    drop(lock);
    fs::create_dir(dir.join("run/checkpoints/step-0000006")).unwrap();
    assert_eq!(parsed()["runs"][1]["state"], "finished");
    // A seed without the results of all.
    fs::remove_file(dir.join("finetuned/results.json")).unwrap();
    let unfinished = parsed();
    assert_eq!(unfinished["runs"][0]["state"], "stopped");
    assert_eq!(unfinished["runs"][0]["score"]["value"], 0.5);

    let table = output(dir, "runs {}");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = table.lines().map(words).collect();
    assert_eq!(lines[0], "run objective state updates tokens parameters loss score age size");
    assert!(
        lines[1].starts_with("finetuned cls stopped 2 - 4.29 k 1.693 accuracy 0.500 "),
        "{table}"
    );
    assert!(lines[2].starts_with("run replaced-token finished 6/6 "), "{table}");
    assert!(lines[3].starts_with("not shown: broken: "), "{table}");
    fails(dir, "runs {}/shards", 1, &["shards", "no run in this folder"]);
}
