//! Output folders: whole or not there; what is replaced, when, and what never is.

use crate::Fixture;
use electra_train::{
    Error, Existing, Recipe, Start, StartFrom,
    export::{Exported, export, export_tf},
    folder,
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

/// A folder in each of the states that there are, made anew by `fill`.
fn make(
    dir: &Path,
    name: &str,
    existing: Existing,
    fill: impl FnOnce(&Path) -> electra_train::Result<()>,
) -> electra_train::Result<()> {
    folder::whole(&dir.join(name), existing, "marker", fill)
}

fn states() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    write(&dir.path().join("old/marker"), "old");
    write(&dir.path().join("old/below/stale"), "old");
    dir
}

#[test]
fn a_folder_is_made_anew_as_a_whole() {
    let dir = states();
    for name in ["absent", "empty", "old", "deep/er"] {
        make(dir.path(), name, Existing::Replace, |new| {
            write(&new.join("marker"), "new");
            write(&new.join("below/file"), "new");
            Ok(())
        })
        .unwrap();
        assert_eq!(names(&dir.path().join(name)), ["below/file", "marker"], "{name}");
    }
    // Nothing temporary is left.
    let mut left: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["absent", "deep", "empty", "old"]);
}

#[test]
fn a_folder_that_cannot_be_filled_changes_nothing() {
    let dir = states();
    let before = files(dir.path());
    for name in ["absent", "empty", "old"] {
        let failed = make(dir.path(), name, Existing::Replace, |new| {
            write(&new.join("marker"), "half");
            Err(Error::NotEmpty("the fault".into()))
        });
        says(failed, &["the fault"]);
    }
    assert_eq!(files(dir.path()), before);
    assert!(!dir.path().join("absent").exists());
    assert_eq!(fs::read_dir(dir.path().join("empty")).unwrap().count(), 0);
    // A process that was killed leaves its temporary folder: it is not in the way.
    for (name, left) in [("old", ".old.tmp/half"), ("empty", "empty/.new.tmp/half")] {
        write(&dir.path().join(left), "half");
        make(dir.path(), name, Existing::Replace, |_| Ok(())).unwrap();
    }
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn what_is_of_another_kind_is_not_replaced() {
    let dir = states();
    let never = |_: &Path| -> electra_train::Result<()> { panic!("nothing is to be made") };
    says(make(dir.path(), "old", Existing::Refuse, never), &["old is not empty", "--overwrite"]);
    fs::remove_file(dir.path().join("old/marker")).unwrap();
    let words = ["old is not empty and has no marker", "does not replace it"];
    says(make(dir.path(), "old", Existing::Replace, never), &words);
    assert_eq!(names(&dir.path().join("old")), ["below/stale"]);
}

/// Killed between the two renames that replace a folder, a process leaves it under a hidden name.
#[test]
fn what_was_moved_aside_comes_back() {
    let dir = states();
    fs::rename(dir.path().join("old"), dir.path().join(".old.old")).unwrap();
    let refused = make(dir.path(), "old", Existing::Refuse, |_| Ok(()));
    says(refused, &["old is not empty"]);
    assert_eq!(names(&dir.path().join("old")), ["below/stale", "marker"]);
    assert!(!dir.path().join(".old.old").exists());

    let fixture = Fixture::new();
    let run = fixture.path("run");
    let recipe = Recipe::from_config(fixture.config(&["train.steps=2"]));
    recipe.pretrain(&Start { stop_after: Some(1), ..Start::new(&run) }).unwrap();
    fs::rename(&run, fixture.path(".run.old")).unwrap();
    recipe.pretrain(&Start::resume(&run)).unwrap();
    assert!(run.join("checkpoints/step-0000002").is_dir());
}

/// A run on another disk, by a link: it is replaced there.
#[test]
#[cfg(unix)]
fn a_link_to_a_folder_stays_one() {
    let dir = states();
    let link = dir.path().join("link");
    fs::create_dir(dir.path().join("disk")).unwrap();
    fs::rename(dir.path().join("old"), dir.path().join("disk/run")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("disk/run"), &link).unwrap();
    make(dir.path(), "link", Existing::Replace, |new| {
        write(&new.join("marker"), "new");
        Ok(())
    })
    .unwrap();
    assert!(link.is_symlink());
    assert_eq!(names(&dir.path().join("disk")), ["run/marker"]);
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
