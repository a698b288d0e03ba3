//! Runs, shards and models that version 0.1 wrote (`tests/fixtures/written-by-0.1`) are read, resumed and used by this one.

use crate::root;
use assert_cmd::Command;
use electra_model::tensors;
use std::{collections::HashMap, fs, path::Path};
use tempfile::TempDir;
use walkdir::WalkDir;

/// A copy of the fixture, to be written into.
pub(crate) fn copied() -> TempDir {
    let (from, to) = (root().join("tests/fixtures/written-by-0.1"), tempfile::tempdir().unwrap());
    for entry in WalkDir::new(&from) {
        let entry = entry.unwrap();
        let place = to.path().join(entry.path().strip_prefix(&from).unwrap());
        match entry.file_type().is_dir() {
            true => fs::create_dir_all(place).unwrap(),
            false => drop(fs::copy(entry.path(), place).unwrap()),
        }
    }
    to
}

/// Runs `electra` in `dir`, where the paths in the fixture's files begin.
#[track_caller]
fn electra(dir: &Path, line: &str) -> String {
    let done = Command::cargo_bin("electra")
        .unwrap()
        .current_dir(dir)
        .args(line.split_whitespace())
        .assert()
        .success();
    String::from_utf8(done.get_output().stdout.clone()).unwrap()
}

/// The largest difference of two files of tensors with the same names.
fn difference(a: &Path, b: &Path) -> f64 {
    let read = |path: &Path| tensors::read(path).unwrap().into_iter().collect::<HashMap<_, _>>();
    let (a, b) = (read(a), read(b));
    assert_eq!(a.len(), b.len());
    a.iter().map(|(name, x)| (x - &b[name]).abs().max().double_value(&[])).fold(0.0, f64::max)
}

/// The cells of a table; numbers to 3 digits, since processors round differently.
fn cells(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let cells = text.split(['\t', '\n', ' ']).map(|cell| match cell.parse::<f64>() {
        Ok(x) => format!("{x:.3}"),
        Err(_) => cell.to_owned(),
    });
    cells.collect()
}

#[test]
fn a_run_is_resumed_evaluated_and_exported() {
    let copy = copied();
    let dir = copy.path();
    electra(dir, "evaluate run --shards shards");
    for part in ["discriminator", "generator"] {
        electra(dir, &format!("export run --part {part} --out exported-{part}"));
        let found = dir.join(format!("exported-{part}"));
        assert_eq!(
            fs::read_to_string(found.join("config.json")).unwrap(),
            fs::read_to_string(dir.join(part).join("config.json")).unwrap()
        );
        let weights = "model.safetensors";
        assert_eq!(difference(&found.join(weights), &dir.join(part).join(weights)), 0.0);
    }
    electra(dir, "pretrain --resume run");
    let resumed = dir.join("run/checkpoints/step-0000006/model.safetensors");
    // Other processors sum in another order; Adam's first steps are of the size of the rate, 1e-3.
    let off = difference(&resumed, &dir.join("expected/step-6.safetensors"));
    assert!(off < 1e-4, "the resumed run differs by {off}");
}

#[test]
fn exported_networks_start_a_run() {
    let copy = copied();
    let line = "pretrain run/config.toml --set init.from=discriminator --set init.generator=generator \
                --set train.steps=1 --set evaluate.every=0 --out more";
    electra(copy.path(), line);
}

#[test]
fn a_fine_tuning_folder_is_known_as_finished() {
    let copy = copied();
    let line = "finetune --task data/cls.toml --data data --model discriminator --config finetuned/config.toml \
                --resume --out finetuned";
    electra(copy.path(), line);
    assert!(copy.path().join("finetuned/report.html").is_file());
}

#[test]
fn fine_tuned_models_of_every_kind_predict_what_they_predicted() {
    let copy = copied();
    let dir = copy.path();
    for (model, input, expected, more) in [
        ("finetuned", "cls-dev.tsv", "cls.tsv", "--probabilities"),
        ("model/reg", "reg-dev.tsv", "reg.tsv", ""),
        ("model/sets", "sets-dev.tsv", "sets.tsv", "--probabilities"),
        ("model/tags", "tags-dev.txt", "tags.conll", ""),
        ("model/squad", "squad-dev.json", "squad.json", ""),
        ("model/multi", "cls-dev.tsv", "multi.tsv", ""),
    ] {
        let line = format!(
            "predict --model {model} --input data/{input} --output found --device cpu {more}"
        );
        electra(dir, &line);
        let (found, expected) = (dir.join("found"), dir.join("expected").join(expected));
        assert_eq!(cells(&found), cells(&expected), "{model}");
        fs::remove_file(found).unwrap();
    }
}
