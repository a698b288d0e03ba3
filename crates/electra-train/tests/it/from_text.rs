//! `FromText`, and what a run says and checks about its data.

use crate::{Fixture, SMALL_NETWORKS, bad_input::fails_with, device_name, preset, train_device};
use electra_data::CorpusConfig;
use electra_tokenize::TokenizerOptions;
use electra_train::{
    Event, Outcome, Preset, Recipe, RunConfig, RunSummary, Start,
    from_text::{FromText, Progress, Request, StepState},
    state,
};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// Overrides of the tiny size for a short run with a vocabulary of at most 90 tokens.
const SMALLER: [&str; 5] = [
    "model.vocab_size=90",
    "train.steps=6",
    "train.batch_size=6",
    "checkpoint.every=2",
    "evaluate.every=3",
];

fn request(fixture: &Fixture) -> Request {
    Request {
        corpus: fixture.path("corpus.txt"),
        reading: CorpusConfig::default(),
        tokenizer: TokenizerOptions::default(),
        vocab: None,
        size: Some(Preset::Tiny),
        hours: None,
        overrides: [&SMALLER[..], &SMALL_NETWORKS, &[train_device()]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect(),
    }
}

/// Runs the pipeline, and stops after `last` updates. Returns the steps that had work to do.
fn run(request: Request, out: &Path, last: u64) -> electra_train::Result<Vec<&'static str>> {
    let pipeline = FromText::new(request, out)?;
    let mut worked = Vec::new();
    let mut note = |progress: &Progress<'_>| {
        if let Progress::Step(name, StepState::Begins) = progress {
            worked.push(*name);
        }
    };
    let config = pipeline.prepare(&mut |progress| note(&progress))?;
    let stop = AtomicBool::new(false);
    let outcome = pipeline.pretrain(config, &stop, &mut |progress| {
        if let Progress::Training(Event::Step { step, .. }) = progress {
            stop.store(step >= last, Ordering::Relaxed);
        }
        note(&progress);
    })?;
    if outcome == Outcome::Finished {
        let models = pipeline.finish(&mut |progress| note(&progress))?;
        assert_eq!(models.folders.len(), 2);
        assert!(models.metrics["discriminator_auc"].as_f64().unwrap() >= 0.0);
    }
    Ok(worked)
}

#[test]
fn an_interrupted_pipeline_resumes_to_the_same_models() {
    let fixture = Fixture::new();
    let (resumed, whole) = (fixture.path("resumed"), fixture.path("whole"));
    let made = ["vocabulary", "shards", "config", "pre-training"];
    assert_eq!(run(request(&fixture), &resumed, 3).unwrap(), made);
    assert_eq!(state::newest(&resumed.join("run")).unwrap().state.step, 3);
    let rest = ["pre-training", "evaluation", "discriminator", "generator"];
    assert_eq!(run(request(&fixture), &resumed, 9).unwrap(), rest);
    assert_eq!(run(request(&fixture), &resumed, 9).unwrap(), [""; 0]);
    run(request(&fixture), &whole, 9).unwrap();
    for file in ["vocab.txt", "discriminator/model.safetensors", "generator/model.safetensors"] {
        let bytes = |out: &Path| fs::read(out.join(file)).unwrap();
        assert!(bytes(&resumed) == bytes(&whole), "{file} differs");
    }
    // The config has the numbers of the shards, not those of the preset.
    let config = RunConfig::read(&resumed.join("pretrain.toml"), &[]).unwrap();
    assert_eq!((config.data.sequence_length, config.train.steps), (16, 6));
}

#[test]
fn another_request_or_other_text_is_refused() {
    let fixture = Fixture::new();
    let out = fixture.path("out");
    run(request(&fixture), &out, 1).unwrap();
    let fails = |request: Request, words: &[&str]| {
        fails_with(FromText::new(request, &out), words);
    };
    let other = Request { hours: Some(2.0), ..request(&fixture) };
    fails(other, &["train.json", "hours was null, now is 2.0", "another --out"]);
    let mut text = fs::read_to_string(fixture.path("corpus.txt")).unwrap();
    text.push_str(" more");
    fs::write(fixture.path("corpus.txt"), text).unwrap();
    fails(request(&fixture), &["has changed", "1 files of"]);

    let elsewhere = fixture.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("thesis.tex"), "mine").unwrap();
    fails_with(FromText::new(request(&fixture), &elsewhere), &["not empty", "train.json"]);
    let unknown = Request { overrides: vec!["train.stepps=1".to_owned()], ..request(&fixture) };
    fails_with(FromText::new(unknown, &fixture.path("new")), &["train.stepps", "steps"]);
    let none = Request { hours: Some(0.0), ..request(&fixture) };
    fails_with(FromText::new(none, &fixture.path("new")), &["hours = 0", "greater than 0"]);
}

/// The fixture's text is far too short for 20 tokens per parameter, so the smallest size is proposed. With so little text,
/// 40 epochs are the limit, not the time.
#[test]
fn a_size_is_proposed_with_the_updates_that_the_text_is_enough_for() {
    let fixture = Fixture::new();
    let mut asked = Request { size: None, hours: Some(1.0), ..request(&fixture) };
    asked.overrides.retain(|o| !o.starts_with("train.steps"));
    let pipeline = FromText::new(asked, &fixture.path("out")).unwrap();
    let (mut proposed, mut epochs) = (None, None);
    let config = pipeline
        .prepare(&mut |progress| match progress {
            Progress::Proposed(proposal) => {
                assert_eq!(proposal.candidates.len(), 1);
                assert!(proposal.chosen().rate > 0.0);
                proposed = Some(proposal.size());
            }
            Progress::Length(length) => epochs = Some(length.epochs),
            _ => {}
        })
        .unwrap();
    assert_eq!(proposed, Some(Preset::Tiny));
    // 40 epochs, rounded down to whole updates.
    assert!(epochs.is_some_and(|epochs| (39.0..=40.0).contains(&epochs)), "{epochs:?}");
    assert!(config.optimizer.warmup_steps <= config.train.steps / 10);
    assert!(config.train.max_hours > 0.8 && config.train.max_hours < 1.0);
}

#[test]
fn numbers_may_be_those_of_the_shards() {
    let fixture = Fixture::new();
    let config = fixture.config(&["model.vocab_size=shards", "data.sequence_length=\"shards\""]);
    assert_eq!(config, fixture.config(&[]));
    let read = |overrides: &[&str]| {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        RunConfig::read(&preset("tiny"), &overrides)
    };
    fails_with(
        read(&["model.vocab_size=shards", "data.shards=nowhere"]),
        &["model.vocab_size = \"shards\"", "nowhere"],
    );
    fails_with(read(&["model.vocab_size=shard"]), &["model.vocab_size=shard"]);
    fails_with(read(&["train.steps=shards"]), &["train.steps=shards", "integer"]);
    fails_with(read(&["model.vocab_size=-1"]), &["-1"]);
}

#[test]
fn all_numbers_that_differ_from_the_shards_are_in_one_error() {
    let fixture = Fixture::new();
    let config = fixture.config(&["data.sequence_length=32", "model.vocab_size=5000"]);
    fails_with(
        Recipe::from_config(config).pretrain(&Start::new(fixture.path("run"))),
        &[
            "data.sequence_length = 32: must be 16",
            &format!("model.vocab_size = 5000: must be {}", fixture.vocab_size),
            "\"shards\"",
        ],
    );
}

#[test]
fn a_session_ends_at_its_time_limit_with_a_checkpoint() {
    let fixture = Fixture::new();
    let out = fixture.path("run");
    let limited = Recipe::from_config(fixture.config(&["train.max_hours=1e-9"]));
    assert_eq!(limited.pretrain(&Start::new(&out)).unwrap(), Outcome::Stopped);
    assert_eq!(state::newest(&out).unwrap().state.step, 1);
    let unlimited = Recipe::from_config(fixture.config(&[]));
    assert_eq!(unlimited.pretrain(&Start::resume(&out)).unwrap(), Outcome::Finished);
    let endless = fixture.config(&["train.max_hours=1e300"]);
    assert_eq!(endless.time_limit(), None);
    fails_with(
        RunConfig::read(&preset("tiny"), &["train.max_hours=-1".to_owned()]),
        &["train.max_hours = -1", "0 or more"],
    );
}

fn summary(fixture: &Fixture, overrides: &[&str]) -> RunSummary {
    let mut found = None;
    let out = fixture.path("summary");
    let start = Start { stop_after: Some(1), ..Start::new(&out) };
    Recipe::from_config(fixture.config(overrides))
        .pretrain_with(&start, &AtomicBool::new(false), &mut |event| {
            if let Event::Begin(summary) = event {
                found = Some(summary.clone());
            }
        })
        .unwrap();
    fs::remove_dir_all(out).unwrap();
    found.unwrap()
}

/// Counts by hand. Embeddings: (v tokens + 64 positions + 2 segments) x 12, a LayerNorm of 2 x 12, a projection of
/// 12 x 16 + 16. A layer of width 16: 4 x (16 x 16 + 16) for attention, 16 x 32 + 32 + 32 x 16 + 16 for the feed-forward
/// layers, 2 x 2 x 16 for LayerNorms. Heads: 16 x 16 + 16 + 16 + 1; and 16 x 12 + 12 + 2 x 12 + v.
#[test]
fn a_run_begins_with_its_sizes() {
    let fixture = Fixture::new();
    let found = summary(&fixture, &[]);
    let v = fixture.vocab_size as u64;
    let embeddings = (v + 64 + 2) * 12 + 24 + (12 * 16 + 16);
    let layer = 4 * (16 * 16 + 16) + (16 * 32 + 32 + 32 * 16 + 16) + 64;
    let (discriminator, generator) = (2 * layer + 289, layer + 228 + v);
    assert_eq!(
        found.networks,
        [("discriminator", embeddings + discriminator), ("generator", embeddings + generator)]
    );
    // Both networks use the tables and their LayerNorm; each has its own projection.
    assert_eq!(found.parameters, embeddings + discriminator + generator + 208);
    assert_eq!((found.updates, found.batch, found.sequence_length), (10, 6, 16));
    let warnings = found.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("20 tokens per parameter"), "{warnings:?}");
    let text = found.to_string();
    assert!(
        text.contains(&format!("{}, f32", device_name()))
            && text.contains("6 sequences of 16 tokens"),
        "{text}"
    );

    let long = summary(&fixture, &["train.steps=100000"]);
    let warnings = long.warnings();
    assert!(
        warnings.iter().any(|w| w.contains("epochs") && w.contains("train.steps = ")),
        "{warnings:?}"
    );
}
