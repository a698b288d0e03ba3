//! Resumed runs equal uninterrupted ones bit for bit; the number of loader threads does not matter; damaged checkpoints are
//! skipped.

use crate::Fixture;
use electra_train::{
    Error, Event, Existing, Outcome, Recipe, RunConfig, Start, StartFrom, run_dir::RunDir, state,
};
use std::{collections::BTreeMap, fs, path::Path, sync::atomic::AtomicBool};

/// The files of a checkpoint.
pub(crate) fn state_of(run: &Path, step: u64) -> BTreeMap<String, Vec<u8>> {
    let dir = run.join(format!("checkpoints/step-{step:07}"));
    let files = ["model.safetensors", "optimizer.safetensors", "state.json"];
    files.map(|file| (file.to_owned(), fs::read(dir.join(file)).unwrap())).into()
}

/// Rows of metrics.jsonl without times and memory.
fn metrics(run: &Path) -> Vec<serde_json::Map<String, serde_json::Value>> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    rows.map(|mut row: serde_json::Map<_, _>| {
        let clock = [
            "tokens_per_second",
            "sequences_per_second",
            "wait_share",
            "seconds",
            "peak_memory_bytes",
        ];
        row.retain(|key, _| !clock.contains(&key.as_str()));
        row
    })
    .collect()
}

fn train(config: RunConfig, start: Start) -> electra_train::Result<Outcome> {
    Recipe::from_config(config).pretrain(&start)
}

#[test]
fn ten_steps_equal_five_steps_and_five_resumed_steps() {
    let fixture = Fixture::new();
    let (uninterrupted, resumed) = (fixture.path("uninterrupted"), fixture.path("resumed"));
    assert_eq!(train(fixture.config(&[]), Start::new(&uninterrupted)).unwrap(), Outcome::Finished);

    let first = Start { stop_after: Some(5), ..Start::new(&resumed) };
    let report = |updates: &str| {
        let html = fs::read_to_string(resumed.join("report.html")).unwrap();
        assert!(
            html.contains(updates) && html.contains("<polyline") && html.contains("Samples</h2>"),
            "{html}"
        );
    };
    assert_eq!(train(fixture.config(&[]), first).unwrap(), Outcome::Stopped);
    assert!(!resumed.join("checkpoints/step-0000010").exists());
    report("5 of 10");
    assert_eq!(train(fixture.config(&[]), Start::resume(&resumed)).unwrap(), Outcome::Finished);
    report("10 of 10");

    assert_eq!(state_of(&uninterrupted, 10), state_of(&resumed, 10));
    assert_eq!(metrics(&uninterrupted), metrics(&resumed));
}

#[test]
fn the_number_of_loader_threads_does_not_change_the_result() {
    let fixture = Fixture::new();
    for threads in [1, 2] {
        let config = fixture.config(&[&format!("data.loader_threads={threads}")]);
        train(config, Start::new(fixture.path(&threads.to_string()))).unwrap();
    }
    assert_eq!(state_of(&fixture.path("1"), 10), state_of(&fixture.path("2"), 10));
}

/// Activation recomputation gives bit for bit the same weights, also when resuming between steps.
#[test]
fn recomputed_activations_do_not_change_the_result() {
    let fixture = Fixture::new();
    let config = |sets: [&str; 2]| {
        let common = ["train.steps=2", "train.accumulate=2", "evaluate.every=0"];
        fixture.config(&[&sets[..], &common].concat())
    };
    for kernels in ["model.kernels=fused", "model.kernels=plain"] {
        let run = |name: &str| fixture.path(&format!("{name} {kernels}"));
        let recompute = || config([kernels, "model.activations=recompute"]);
        let kept = run("kept");
        train(config([kernels, "model.activations=keep"]), Start::new(&kept)).unwrap();
        let recomputed = run("recomputed");
        let first = Start { stop_after: Some(1), ..Start::new(&recomputed) };
        train(recompute(), first).unwrap();
        train(recompute(), Start::resume(&recomputed)).unwrap();
        assert_eq!(state_of(&recomputed, 2), state_of(&kept, 2), "{kernels}");
    }
}

/// After a crash between two checkpoints, metrics.jsonl has rows of steps that are repeated.
#[test]
fn rows_of_repeated_steps_are_not_duplicated() {
    let fixture = Fixture::new();
    let (run, config) =
        (fixture.path("run"), ["checkpoint.every=4", "train.log_every=1", "evaluate.every=0"]);
    let first = Start { stop_after: Some(7), ..Start::new(&run) };
    train(fixture.config(&config), first).unwrap();
    // As if the process had crashed after step 7.
    fs::remove_dir_all(run.join("checkpoints/step-0000007")).unwrap();
    train(fixture.config(&config), Start::resume(&run)).unwrap();
    let steps: Vec<u64> = metrics(&run).iter().map(|row| row["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, (1..=10).collect::<Vec<_>>());
}

#[test]
fn damaged_checkpoints_are_skipped_and_named_if_none_is_intact() {
    let fixture = Fixture::new();
    let run = fixture.path("run");
    train(fixture.config(&[]), Start::new(&run)).unwrap();
    let expected = state_of(&run, 10);
    let damage = |step: u64, file: &str| {
        let path = run.join(format!("checkpoints/step-{step:07}/{file}"));
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    damage(10, "optimizer.safetensors");
    assert_eq!(state::newest(&run).unwrap().state.step, 5);
    train(fixture.config(&[]), Start::resume(&run)).unwrap();
    assert_eq!(state_of(&run, 10), expected);

    damage(10, "model.safetensors");
    damage(5, "model.safetensors");
    let message = train(fixture.config(&[]), Start::resume(&run)).unwrap_err().to_string();
    assert!(message.contains("step-0000005") && message.contains("step-0000010"), "{message}");
}

/// Also if a damaged checkpoint has a higher number.
#[test]
fn the_checkpoint_just_written_is_never_removed() {
    let fixture = Fixture::new();
    let run = fixture.path("run");
    let config = ["checkpoint.every=4", "checkpoint.keep_last=0"];
    train(fixture.config(&config), Start::new(&run)).unwrap();
    let newest = run.join("checkpoints/step-0000010/model.safetensors");
    fs::write(&newest, "damaged").unwrap();
    let keep_one = fixture.config(&["checkpoint.every=4", "checkpoint.keep_last=1"]);
    train(keep_one, Start { stop_after: Some(9), ..Start::resume(&run) }).unwrap();
    assert_eq!(state::newest(&run).unwrap().state.step, 9);
    assert!(!run.join("checkpoints/step-0000008").exists());
}

#[test]
fn a_resumed_run_must_compute_the_same_and_hold_the_lock() {
    let fixture = Fixture::new();
    let run = fixture.path("run");
    train(fixture.config(&[]), Start { stop_after: Some(5), ..Start::new(&run) }).unwrap();
    let error = |config: &[&str], stop_after| {
        let start = Start { stop_after, ..Start::resume(&run) };
        train(fixture.config(config), start).unwrap_err().to_string()
    };
    let seed = error(&["train.seed=7", "train.log_every=3"], None);
    assert!(seed.contains("train.seed was") && !seed.contains("log_every was"), "{seed}");
    for (stop, words) in [(3, "stop_after = 3"), (5, "must be greater than 5")] {
        let message = error(&[], Some(stop));
        assert!(message.contains(words), "{message}");
    }
    // While another process holds the lock, the run is neither resumed nor replaced.
    let lock = RunDir::lock(&run).unwrap().unwrap();
    let before = state_of(&run, 5);
    assert!(error(&[], None).contains("is being written by another process"));
    let replace = Start { from: StartFrom::Scratch(Existing::Replace), ..Start::new(&run) };
    let in_use = train(fixture.config(&[]), replace).unwrap_err();
    assert!(matches!(in_use, Error::Files(electra_files::Error::InUse(_))), "{in_use}");
    assert_eq!(state_of(&run, 5), before);
    drop(lock);
    train(fixture.config(&[]), Start::resume(&run)).unwrap();
}

#[test]
fn an_incomplete_checkpoint_is_ignored() {
    let fixture = Fixture::new();
    let run = fixture.path("run");
    train(fixture.config(&[]), Start::new(&run)).unwrap();
    // As left by a process that crashes while writing.
    let incomplete = run.join("checkpoints/.step-0000099.tmp");
    fs::create_dir(&incomplete).unwrap();
    fs::write(incomplete.join("model.safetensors"), "incomplete").unwrap();
    assert_eq!(state::newest(&run).unwrap().state.step, 10);
}

#[test]
fn a_stop_flag_ends_the_run_with_a_checkpoint() {
    let fixture = Fixture::new();
    let (run, stop) = (fixture.path("run"), AtomicBool::new(false));
    let recipe = Recipe::from_config(fixture.config(&[]));
    let outcome = recipe.pretrain_with(&Start::new(&run), &stop, &mut |event| {
        if matches!(event, Event::Step { step: 3, .. }) {
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    });
    assert_eq!(outcome.unwrap(), Outcome::Stopped);
    assert_eq!(state::newest(&run).unwrap().state.step, 3);
}

#[test]
fn only_the_newest_checkpoints_are_kept() {
    let fixture = Fixture::new();
    let run = fixture.path("run");
    train(fixture.config(&["checkpoint.every=2", "checkpoint.keep_last=2"]), Start::new(&run))
        .unwrap();
    let mut names: Vec<_> = fs::read_dir(run.join("checkpoints"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["step-0000008", "step-0000010"]);
}

#[test]
fn a_run_folder_is_overwritten_only_on_request() {
    let fixture = Fixture::new();
    let run = fixture.path("run");
    train(fixture.config(&["train.steps=1"]), Start::new(&run)).unwrap();
    let before = state_of(&run, 1);
    let error = train(fixture.config(&["train.steps=2"]), Start::new(&run)).unwrap_err();
    assert!(matches!(error, Error::Files(electra_files::Error::NotEmpty(_))), "{error}");
    assert_eq!(state_of(&run, 1), before);

    let replace = Start { from: StartFrom::Scratch(Existing::Replace), ..Start::new(&run) };
    train(fixture.config(&["train.steps=2"]), replace).unwrap();
    assert!(!run.join("checkpoints/step-0000001").exists());

    // A folder that is not a run is never replaced.
    let other = fixture.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.tex"), "mine").unwrap();
    let replace = Start { from: StartFrom::Scratch(Existing::Replace), ..Start::new(&other) };
    let error = train(fixture.config(&[]), replace).unwrap_err();
    assert!(matches!(error, Error::Files(electra_files::Error::NotReplaced { .. })), "{error}");
    assert_eq!(fs::read_to_string(other.join("thesis.tex")).unwrap(), "mine");
}
