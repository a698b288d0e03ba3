//! The output folder: only shards are replaced, and a failure loses neither the old nor the new ones.

use crate::{Fixture, bad_input::says, letters, text};
use electra_data::{
    BuildConfig, BuildReport, Corpus, CorpusConfig, Result, ShardIndex, build_shards,
};
use std::{
    fs::{self, File},
    path::Path,
};

/// Builds `shards` of `corpus` with overwriting; calls `meanwhile` during the build.
fn replace(fixture: &Fixture, corpus: &Path, meanwhile: impl Fn()) -> Result<BuildReport> {
    let config =
        BuildConfig { existing: electra_data::Existing::Replace, ..fixture.config("shards", 16) };
    let corpus = Corpus::open(corpus, CorpusConfig::default())?;
    build_shards(&corpus, &letters(), &config, &mut |_| meanwhile())
}

fn documents(fixture: &Fixture) -> u64 {
    ShardIndex::read(&fixture.path("shards")).unwrap().report.documents
}

/// Names in the fixture's folder.
fn names(fixture: &Fixture) -> Vec<String> {
    let entries = fs::read_dir(fixture.dir.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_non_empty_output_folder_is_an_error() {
    let fixture = Fixture::new();
    let corpus = fixture.write("corpus.txt", text(10));
    let kept = fixture.write("shards/precious.txt", "mine");
    says(fixture.shards(&corpus, "shards", 16), &["not empty", "--overwrite"]);
    assert_eq!(fs::read_to_string(kept).unwrap(), "mine");
    assert_eq!(names(&fixture), ["corpus.txt", "shards"]);
}

#[test]
fn only_shards_are_overwritten() {
    let fixture = Fixture::new();
    let corpus = fixture.write("corpus.txt", text(10));
    let kept = fixture.write("shards/precious.txt", "mine");
    let rejected = |words: &[&str]| {
        says(replace(&fixture, &corpus, || {}), words);
        assert_eq!(fs::read_to_string(&kept).unwrap(), "mine");
        assert_eq!(names(&fixture), ["corpus.txt", "shards"]);
    };
    rejected(&["shards", "no index.json of shards", "--overwrite"]);
    // Another program's file of that name.
    fixture.write("shards/index.json", "{\"format\": 1}");
    rejected(&["no index.json of shards"]);

    fs::remove_dir_all(fixture.path("shards")).unwrap();
    fixture.shards(&corpus, "shards", 16).unwrap();
    fixture.write("shards/precious.txt", "mine");
    rejected(&["also contains precious.txt"]);

    fs::remove_file(&kept).unwrap();
    replace(&fixture, &fixture.write("corpus.txt", text(20)), || {}).unwrap();
    assert_eq!(documents(&fixture), 20);
    assert_eq!(names(&fixture), ["corpus.txt", "shards"]);
}

#[test]
fn a_file_is_not_replaced_by_a_folder() {
    let fixture = Fixture::new();
    let corpus = fixture.write("corpus.txt", text(10));
    let kept = fixture.write("shards", "mine");
    says(replace(&fixture, &corpus, || {}), &["shards", "is a file"]);
    assert_eq!(fs::read_to_string(kept).unwrap(), "mine");
}

#[test]
fn a_corpus_inside_the_output_folder_is_an_error() {
    let fixture = Fixture::new();
    let corpus = fixture.write("corpus/corpus.txt", text(10));
    fixture.shards(&corpus, "shards", 16).unwrap();
    let vocab = fixture.path("shards/tokenizer/vocab.txt");
    says(
        replace(&fixture, &vocab, || {}),
        &["shards contains", "vocab.txt, which belongs to the corpus"],
    );
    // The parent folder has the corpus and the old shards.
    let above = fixture.dir.path().join("corpus").join("..");
    says(replace(&fixture, &above, || {}), &["shards contains", "belongs to the corpus"]);
    assert_eq!(documents(&fixture), 10);
}

#[test]
fn a_symbolic_link_is_followed_and_kept() {
    let fixture = Fixture::new();
    let corpus = fixture.write("corpus.txt", text(10));
    fixture.shards(&corpus, "elsewhere", 16).unwrap();
    std::os::unix::fs::symlink(fixture.path("elsewhere"), fixture.path("shards")).unwrap();
    replace(&fixture, &fixture.write("corpus.txt", text(20)), || {}).unwrap();
    assert_eq!(documents(&fixture), 20);
    assert!(fs::symlink_metadata(fixture.path("shards")).unwrap().is_symlink());
    assert_eq!(names(&fixture), ["corpus.txt", "elsewhere", "shards"]);
}

/// Files that appear in the output folder during the build are kept, and so are the new shards.
#[test]
fn shards_that_cannot_be_moved_into_place_are_kept() {
    let fixture = Fixture::new();
    let corpus = fixture.write("corpus.txt", text(10));
    let meanwhile = || {
        fixture.write("shards/precious.txt", "mine");
    };
    says(replace(&fixture, &corpus, meanwhile), &["shards", "index.json", "complete in"]);
    assert_eq!(fs::read_to_string(fixture.path("shards/precious.txt")).unwrap(), "mine");
    let kept = ShardIndex::read(&fixture.path(".shards.tmp")).unwrap();
    assert_eq!(kept.report.documents, 10);
}

#[test]
fn two_builds_to_one_folder_exclude_each_other() {
    let fixture = Fixture::new();
    let corpus = fixture.write("corpus.txt", text(10));
    let theirs = fixture.write(".shards.tmp/train-00000.shard", "theirs");
    let lock = File::create(fixture.path(".shards.lock")).unwrap();
    lock.lock().unwrap();
    says(fixture.shards(&corpus, "shards", 16), &["shards", "another process"]);
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");

    // The system releases the lock of a dead process; its leftovers are removed.
    drop(lock);
    fixture.shards(&corpus, "shards", 16).unwrap();
    assert_eq!(names(&fixture), ["corpus.txt", "shards"]);
}

/// If a build is killed between the two renames, the old shards are restored.
#[test]
fn a_build_killed_while_replacing_loses_nothing() {
    let fixture = Fixture::new();
    let corpus = fixture.write("corpus.txt", text(10));
    fixture.shards(&corpus, "shards", 16).unwrap();
    fs::create_dir_all(fixture.path(".shards.tmp")).unwrap();
    fs::rename(fixture.path("shards"), fixture.path(".shards.old")).unwrap();
    says(fixture.shards(&fixture.write("b.txt", text(20)), "shards", 16), &["not empty"]);
    assert_eq!(documents(&fixture), 10);
    assert_eq!(names(&fixture), ["b.txt", "corpus.txt", "shards"]);
}
