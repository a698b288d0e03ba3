//! Paths that have something else than a command needs.

use crate::says;
use electra_files::{
    Error, Existing, PathKind, Result, folder, open, read_json, read_text, write_file,
};
use std::{fs, path::Path};

/// A folder with these files, each empty.
fn folder_with(dir: &Path, name: &str, files: &[&str]) {
    for file in files {
        let path = dir.join(name).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
}

#[test]
fn a_folder_of_another_kind_is_named_with_the_next_step() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    folder_with(dir, "model", &["config.json", "vocab.txt"]);
    folder_with(
        dir,
        "run",
        &["config.toml", "manifest.json", "checkpoints/step-0000001/state.json"],
    );
    folder_with(dir, "tuned", &["config.toml", "inputs.json", "model/config.json"]);
    folder_with(dir, "stopped", &["config.toml", "inputs.json"]);
    folder_with(dir, "shards", &["index.json"]);
    folder_with(dir, "half", &["config.toml"]);
    folder_with(dir, "other", &["thesis.tex"]);

    let run = dir.join("run").display().to_string();
    let [model, checkpoint] = ["model", "run/checkpoints/step-0000001"].map(|name| dir.join(name));
    for (name, kind, expected) in [
        (
            "run",
            PathKind::Model,
            format!(
                "is a run folder, not a model folder; export it first: electra export {run} --out"
            ),
        ),
        (
            "run/checkpoints/step-0000001",
            PathKind::Model,
            format!("electra export {}", checkpoint.display()),
        ),
        ("run/checkpoints/step-0000001", PathKind::Run, format!("use its run folder, {run}")),
        ("tuned", PathKind::Model, format!("use {}", dir.join("tuned/model").display())),
        ("tuned", PathKind::Run, "--resume".to_owned()),
        ("stopped", PathKind::Model, "--resume".to_owned()),
        ("shards", PathKind::Model, "is a folder of shards, not a model folder".to_owned()),
        ("shards", PathKind::Run, "--set data.shards=".to_owned()),
        ("model", PathKind::Run, format!("init.from = \"{}\"", model.display())),
        ("model", PathKind::Shards, format!("--vocab {}/vocab.txt", model.display())),
        ("run", PathKind::Shards, "data.shards".to_owned()),
        ("half", PathKind::Run, "it has no manifest.json; `electra pretrain`".to_owned()),
        ("other", PathKind::Model, "it has no config.json".to_owned()),
        ("other", PathKind::Run, "it has no config.toml and manifest.json".to_owned()),
        (
            "model/config.json",
            PathKind::Model,
            format!("is a file, not a model folder; use its folder, {}", model.display()),
        ),
        ("other/thesis.tex", PathKind::Run, "is a file, not a run folder".to_owned()),
    ] {
        let path = dir.join(name);
        says(kind.require(&path), &[path.to_str().unwrap(), &expected]);
    }
    says(PathKind::Run.require(dir), &["contains such folders", &run]);
    for (name, kind) in
        [("model", PathKind::Model), ("run", PathKind::Run), ("shards", PathKind::Shards)]
    {
        kind.require(&dir.join(name)).unwrap();
    }
}

#[test]
fn a_path_that_does_not_exist_gets_a_similar_one() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    folder_with(dir, "exported/small", &["config.json"]);
    let similar = dir.join("exported/small");
    let message = format!("does not exist; did you mean {}?", similar.display());
    says(PathKind::Model.require(&dir.join("exported/smal")), &[&message]);
    says(PathKind::Run.require(&dir.join("exported/xyz")), &["exported/xyz does not exist"]);
    let above = format!("there is no folder {}", dir.join("exprt").display());
    says(PathKind::Run.require(&dir.join("exprt/a/b")), &[&above]);
    let config = similar.join("config.json");
    says(
        open(&similar.join("confg.json")),
        &["no such file or folder; did you mean", &config.display().to_string()],
    );
    says(
        open("google/x.index".as_ref()),
        &["google/x.index: no such file or folder (there is no folder google)"],
    );
    // The name of a model of the Hub, not a path.
    let hub = PathKind::Model.require("google/electra-small-discriminator".as_ref());
    says(
        hub,
        &[
            "google/electra-small-discriminator is not a folder, and nothing is downloaded",
            "hf download",
        ],
    );
}

#[test]
fn contents_that_are_not_the_file_are_named() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    write_file(&dir.join("pointer.json"), pointer).unwrap();
    write_file(&dir.join("page.json"), "\n<!DOCTYPE html>\n<html></html>\n").unwrap();
    write_file(&dir.join("empty.json"), "").unwrap();
    write_file(&dir.join("latin1.txt"), b"one\ncaf\xe9\n").unwrap();
    let json = |name: &str| read_json::<u32>(&dir.join(name));
    let pull = format!(
        "pointer.json is a Git LFS pointer, not the file itself: run `git lfs pull` in {}",
        dir.display()
    );
    says(json("pointer.json"), &[&pull]);
    says(json("page.json"), &["page.json: the file is an HTML page"]);
    says(json("empty.json"), &["empty.json: the file is empty"]);
    says(read_text(&dir.join("latin1.txt")), &["latin1.txt: line 2: byte 7 is not UTF-8"]);
    says(read_text(dir), &["is a folder, not a file"]);
}

/// The temporary folder is removed after a failure, so its name would tell nothing.
#[test]
fn errors_name_the_final_path_of_an_output() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    fs::create_dir(dir.join("empty")).unwrap();
    for name in ["new", "empty"] {
        let failed: Result<()> = folder::whole(&dir.join(name), Existing::Refuse, "x", |new| {
            Err(Error::io(new.join("weights"))(std::io::Error::other("disk full")))
        });
        let expected = format!("{}: disk full", dir.join(name).join("weights").display());
        assert_eq!(failed.unwrap_err().to_string(), expected);
    }
}
