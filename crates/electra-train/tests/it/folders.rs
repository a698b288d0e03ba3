//! Output folders: they are written atomically, and only folders of the same kind are replaced.

use crate::{Fixture, bad_input::fails_with};
use electra_train::{
    Existing, Recipe, Start, StartFrom,
    export::{ExportPart, export, export_tf},
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

/// A process that is killed between the two renames that replace a run leaves it under a hidden name.
#[test]
fn a_run_left_under_its_hidden_name_is_resumed() {
    let fixture = Fixture::new();
    let run = fixture.path("run");
    let recipe = Recipe::from_config(fixture.config(&["train.steps=2"]));
    recipe.pretrain(&Start { stop_after: Some(1), ..Start::new(&run) }).unwrap();
    fs::rename(&run, fixture.path(".run.old")).unwrap();
    recipe.pretrain(&Start::resume(&run)).unwrap();
    assert!(run.join("checkpoints/step-0000002").is_dir());
}

/// A new run that replaces an existing one.
fn replacing(out: &Path) -> Start {
    Start { from: StartFrom::Scratch(Existing::Replace), ..Start::new(out) }
}

#[test]
fn a_run_is_replaced_only_after_all_checks() {
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
        fails_with(train(&["train.steps=2"]), &[shard]);
        fs::write(&path, whole).unwrap();
    };
    damaged("held-out-00000.shard");
    damaged("train-00000.shard");
    fails_with(train(&["train.device=gpu"]), &["gpu"]);
    fails_with(train(&["init.from=nowhere"]), &["nowhere"]);
    // Writing the run's files fails, since there is no tokenizer to copy.
    let tokenizer = fixture.path("shards/tokenizer");
    fs::rename(&tokenizer, fixture.path("elsewhere")).unwrap();
    fails_with(train(&["train.steps=2"]), &["tokenizer"]);
    fs::rename(fixture.path("elsewhere"), &tokenizer).unwrap();
    assert!(files(&run) == before, "the run has changed");
    train(&["train.steps=2"]).unwrap();
    assert!(run.join("checkpoints/step-0000002").is_dir());
    assert!(!run.join("checkpoints/step-0000001").exists());
}

/// Many programs have a config.toml, so a run is identified by its manifest.
#[test]
fn a_folder_without_a_manifest_is_not_replaced() {
    let fixture = Fixture::new();
    let other = fixture.path("other");
    write(&other.join("config.toml"), "mine = true");
    let result = Recipe::from_config(fixture.config(&[])).pretrain(&replacing(&other));
    fails_with(result, &["other", "no manifest.json"]);
    assert_eq!(names(&other), ["config.toml"]);
}

#[test]
fn an_export_replaces_a_model_completely_and_no_other_folder() {
    let fixture = Fixture::new();
    let (run, out) = (fixture.path("run"), fixture.path("out"));
    Recipe::from_config(fixture.config(&["train.steps=1"])).pretrain(&Start::new(&run)).unwrap();
    let part = ExportPart::Discriminator;
    export(&run, part, &out, Existing::Refuse).unwrap();
    let expected = [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ];
    assert_eq!(names(&out), expected);
    // `init.from` would load a stale generator, and a stale task.json would make it a classifier.
    write(&out.join("generator/config.json"), "{}");
    write(&out.join("task.json"), "{}");
    export(&run, part, &out, Existing::Replace).unwrap();
    assert_eq!(names(&out), expected);

    let notes = fixture.path("notes");
    write(&notes.join("thesis.tex"), "mine");
    fails_with(export(&run, part, &notes, Existing::Replace), &["notes", "no config.json"]);
    fails_with(export_tf(&run, &notes, Existing::Replace), &["notes", "no checkpoint"]);
    assert_eq!(names(&notes), ["thesis.tex"]);
    // Neither format replaces the other.
    fails_with(export_tf(&run, &out, Existing::Replace), &["no checkpoint"]);
    let tf = fixture.path("tf");
    export_tf(&run, &tf, Existing::Refuse).unwrap();
    write(&tf.join("model.ckpt-7.index"), "stale");
    export_tf(&run, &tf, Existing::Replace).unwrap();
    let data = "model.ckpt-1.data-00000-of-00001";
    assert_eq!(
        names(&tf),
        ["checkpoint", data, "model.ckpt-1.index", "tokenizer_config.json", "vocab.txt"]
    );
}
