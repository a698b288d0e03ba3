//! Presets and overrides; each mistake names its key.

use crate::{Fixture, preset};
use electra_files::parse_toml;
use electra_model::ElectraConfig;
use electra_train::{Recipe, RunConfig, Start};
use std::path::Path;

#[test]
fn presets_are_the_papers_sizes() {
    for (name, model) in [
        ("small", ElectraConfig::small(30522)),
        ("base", ElectraConfig::base(30522)),
        ("large", ElectraConfig::large(30522)),
    ] {
        assert_eq!(RunConfig::read(&preset(name), &[]).unwrap().model, model, "{name}");
    }
    for name in ["tiny", "hour"] {
        RunConfig::read(&preset(name), &[]).unwrap();
    }
}

/// Table 6 of the paper: steps, batch, learning rate, warm-up, length, lambda, masked share.
#[test]
fn presets_are_the_papers_recipes() {
    for (name, steps, batch, rate, length, masked) in [
        ("small", 1_000_000, 128, 5e-4, 128, 0.15),
        ("base", 766_000, 256, 2e-4, 512, 0.15),
        ("large", 400_000, 2048, 2e-4, 512, 0.25),
    ] {
        let config = RunConfig::read(&preset(name), &[]).unwrap();
        assert_eq!(config.train.steps, steps, "{name}");
        assert_eq!(config.train.batch_size * config.train.accumulate, batch, "{name}");
        assert_eq!(config.optimizer.learning_rate, rate, "{name}");
        assert_eq!(config.optimizer.warmup_steps, 10_000, "{name}");
        assert_eq!(config.data.sequence_length, length, "{name}");
        let text = config.to_toml();
        assert!(text.contains(&format!("rate = {masked}")), "{name}: {text}");
        assert!(text.contains("discriminator_weight = 50.0"), "{name}: {text}");
    }
}

#[test]
fn a_config_survives_being_written() {
    let config = Fixture::new().config(&[]);
    let again: RunConfig = parse_toml(&config.to_toml(), Path::new("x.toml"), &[]).unwrap();
    assert_eq!(again, config);
}

#[track_caller]
fn refused(overrides: &[&str], words: &[&str]) {
    let overrides: Vec<String> = overrides.iter().map(|&s| s.to_owned()).collect();
    let message = RunConfig::read(&preset("small"), &overrides).unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[test]
fn overrides_change_one_key_and_know_no_other() {
    let read = |set: &str| RunConfig::read(&preset("small"), &[set.to_owned()]).unwrap();
    assert_eq!(read("train.steps=60").train.steps, 60);
    assert_eq!(read("train.steps=1e6").train.steps, 1_000_000);
    assert_eq!(read("optimizer.learning_rate=1").optimizer.learning_rate, 1.0);
    assert_eq!(read("data.shards=some/where").data.shards, Path::new("some/where"));
    assert_eq!(read("data.shards=\"some/where\"").data.shards, Path::new("some/where"));
    refused(&["train.stepps=1"], &["train.stepps=1", "did you mean \"steps\""]);
    refused(&["trian.steps=1"], &["did you mean \"train\""]);
    refused(&["train.steps"], &["section.key=value"]);
    refused(&["train.steps=many"], &["\"many\"", "integer"]);
    refused(&["train.steps=1.5"], &["1.5", "integer"]);
}

#[test]
fn values_that_no_run_can_be_made_with() {
    refused(&["model.discriminator.heads=5"], &["heads", "256"]);
    refused(
        &["data.sequence_length=1024"],
        &["data.sequence_length = 1024", "model.max_positions"],
    );
    refused(&["train.batch_size=0"], &["train.batch_size = 0", "at least 1"]);
    refused(&["checkpoint.every=0"], &["checkpoint.every = 0"]);
    refused(&["optimizer.beta2=1.0"], &["optimizer.beta2 = 1"]);
    refused(&["optimizer.learning_rate=-1.0"], &["optimizer.learning_rate = -1", "above 0"]);
    refused(&["model.dropout=1.5"], &["dropout", "1.5"]);
    refused(&["objective.masking.rate=0.0"], &["objective.masking.rate = 0"]);
    refused(&["objective.temperature=0.0"], &["objective.temperature = 0"]);
}

/// A part may come from outside, so its name is checked by the recipe that has the parts, before any data is opened.
#[test]
fn a_part_that_is_not_there_is_named_with_those_that_are() {
    let overrides = ["model.attention.kind=magic".to_owned()];
    let recipe = Recipe::from_config(RunConfig::read(&preset("small"), &overrides).unwrap());
    let message = recipe.pretrain(&Start::new("nowhere")).unwrap_err().to_string();
    for word in ["attention = \"magic\"", "known: softmax", "Parts::with_attention"] {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn an_unknown_key_in_a_file_is_named_with_its_line_and_the_nearest_one() {
    let text = std::fs::read_to_string(preset("small")).unwrap();
    let broken = text.replacen("learning_rate", "learning_rat", 1);
    let line = 1 + text.lines().position(|line| line.starts_with("learning_rate")).unwrap();
    let result: Result<RunConfig, _> = parse_toml(&broken, Path::new("mine.toml"), &[]);
    let message = result.unwrap_err().to_string();
    for word in
        ["mine.toml", &format!("line {line}"), "learning_rat", "did you mean \"learning_rate\""]
    {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    let missing = RunConfig::read(Path::new("nowhere.toml"), &[]).unwrap_err().to_string();
    assert!(missing.contains("nowhere.toml"), "{missing}");
}
