//! Output folders: whole or not there; what is replaced, when, and what never is.

use crate::Fixture;
use electra_train::{
    Existing, Recipe, Start, StartFrom,
    export::{Exported, export, export_tf},
};
use std::{collections::BTreeMap, fs, path::Path};

/// Every file below `dir` with its bytes.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match path.is_dir() {
            true => {
                let below = files(&path).into_iter();
                found.extend(below.map(|(rest, bytes)| (format!("{name}/{rest}"), bytes)));
            }
            false => {
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn names(dir: &Path) -> Vec<String> {
    files(dir).into_keys().collect()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[track_caller]
fn says<T: std::fmt::Debug>(result: electra_train::Result<T>, words: &[&str]) {
    let message = result.unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

/// Killed between the two renames that replace a run, a process leaves it under a hidden name.
#[test]
fn a_run_that_was_moved_aside_is_resumed() {
    let fixture = Fixture::new();
    let run = fixture.path("run");
    let recipe = Recipe::from_config(fixture.config(&["train.steps=2"]));
    recipe.pretrain(&Start { stop_after: Some(1), ..Start::new(&run) }).unwrap();
    fs::rename(&run, fixture.path(".run.old")).unwrap();
    recipe.pretrain(&Start::resume(&run)).unwrap();
    assert!(run.join("checkpoints/step-0000002").is_dir());
}

/// A run's own `Start`, replacing.
fn replacing(out: &Path) -> Start {
    Start { from: StartFrom::Scratch(Existing::Replace), ..Start::new(out) }
}

#[test]
fn a_run_is_replaced_only_after_everything_was_checked() {
    let fixture = Fixture::new();
    let run = fixture.path("run");
    let train = |overrides: &[&str]| {
        Recipe::from_config(fixture.config(overrides)).pretrain(&replacing(&run))
    };
    train(&["train.steps=1"]).unwrap();
    let before = files(&run);
    let damaged = |shard: &str| {
        let path = fixture.path("shards").join(shard);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        says(train(&["train.steps=2"]), &[shard]);
        fs::write(&path, whole).unwrap();
    };
    damaged("held-out-00000.shard");
    damaged("train-00000.shard");
    says(train(&["train.device=gpu"]), &["gpu"]);
    says(train(&["init.from=nowhere"]), &["nowhere"]);
    // The run's own files cannot be written: there is no tokenizer to copy.
    let tokenizer = fixture.path("shards/tokenizer");
    fs::rename(&tokenizer, fixture.path("elsewhere")).unwrap();
    says(train(&["train.steps=2"]), &["tokenizer"]);
    fs::rename(fixture.path("elsewhere"), &tokenizer).unwrap();
    assert!(files(&run) == before, "the run has changed");
    train(&["train.steps=2"]).unwrap();
    assert!(run.join("checkpoints/step-0000002").is_dir());
    assert!(!run.join("checkpoints/step-0000001").exists());
}

/// Many programs have a config.toml; a run has a manifest.
#[test]
fn a_folder_with_a_config_is_no_run() {
    let fixture = Fixture::new();
    let other = fixture.path("other");
    write(&other.join("config.toml"), "mine = true");
    let result = Recipe::from_config(fixture.config(&[])).pretrain(&replacing(&other));
    says(result, &["other", "no manifest.json"]);
    assert_eq!(names(&other), ["config.toml"]);
}

#[test]
fn an_export_takes_the_place_of_a_model_and_keeps_nothing_of_it() {
    let fixture = Fixture::new();
    let (run, out) = (fixture.path("run"), fixture.path("out"));
    Recipe::from_config(fixture.config(&["train.steps=1"])).pretrain(&Start::new(&run)).unwrap();
    let part = Exported::Discriminator;
    export(&run, part, &out, Existing::Refuse).unwrap();
    let whole = [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ];
    assert_eq!(names(&out), whole);
    // A stale generator would be gone on from, a stale task.json make it a classifier.
    write(&out.join("generator/config.json"), "{}");
    write(&out.join("task.json"), "{}");
    export(&run, part, &out, Existing::Replace).unwrap();
    assert_eq!(names(&out), whole);

    let notes = fixture.path("notes");
    write(&notes.join("thesis.tex"), "mine");
    says(export(&run, part, &notes, Existing::Replace), &["notes", "no config.json"]);
    says(export_tf(&run, &notes, Existing::Replace), &["notes", "no checkpoint"]);
    assert_eq!(names(&notes), ["thesis.tex"]);
    // Neither form replaces the other.
    says(export_tf(&run, &out, Existing::Replace), &["no checkpoint"]);
    let tf = fixture.path("tf");
    export_tf(&run, &tf, Existing::Refuse).unwrap();
    write(&tf.join("model.ckpt-7.index"), "stale");
    export_tf(&run, &tf, Existing::Replace).unwrap();
    let data = "model.ckpt-1.data-00000-of-00001";
    assert_eq!(names(&tf), ["checkpoint", data, "model.ckpt-1.index", "vocab.txt"]);
}
