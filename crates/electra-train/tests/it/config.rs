//! Presets and overrides, and errors that name the key.

use crate::{Fixture, preset};
use electra_files::parse_toml;
use electra_model::ElectraConfig;
use electra_train::{Recipe, RunConfig, Start};
use std::path::Path;

#[test]
fn presets_have_the_papers_sizes() {
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

/// Table 6 of the paper: steps, batch size, learning rate, warm-up, length, lambda, masking rate.
#[test]
fn presets_have_the_papers_hyper_parameters() {
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
fn a_written_config_is_read_back() {
    let config = Fixture::new().config(&[]);
    let again: RunConfig = parse_toml(&config.to_toml(), Path::new("x.toml"), &[]).unwrap();
    assert_eq!(again, config);
}

#[track_caller]
fn rejected(overrides: &[&str], words: &[&str]) {
    let overrides: Vec<String> = overrides.iter().map(|&s| s.to_owned()).collect();
    let message = RunConfig::read(&preset("small"), &overrides).unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[test]
fn overrides_change_one_key_and_reject_unknown_keys() {
    let read = |set: &str| RunConfig::read(&preset("small"), &[set.to_owned()]).unwrap();
    assert_eq!(read("train.steps=60").train.steps, 60);
    assert_eq!(read("train.steps=1e6").train.steps, 1_000_000);
    assert_eq!(read("optimizer.learning_rate=1").optimizer.learning_rate, 1.0);
    assert_eq!(read("data.shards=some/where").data.shards, Path::new("some/where"));
    assert_eq!(read("data.shards=\"some/where\"").data.shards, Path::new("some/where"));
    rejected(&["train.stepps=1"], &["train.stepps=1", "did you mean \"steps\""]);
    rejected(&["trian.steps=1"], &["did you mean \"train\""]);
    rejected(&["train.steps"], &["section.key=value"]);
    rejected(&["train.steps=many"], &["\"many\"", "integer"]);
    rejected(&["train.steps=1.5"], &["1.5", "integer"]);
}

/// A key that may be a word takes a number in place of it, and a section that a file does not have takes one key.
#[test]
fn overrides_may_change_a_word_to_a_number() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    let base = preset("small");
    let text = format!(
        "extends = {:?}\nunset = [\"init\"]\n[data]\nsequence_length = \"shards\"\n",
        base.display().to_string()
    );
    std::fs::write(&path, text).unwrap();
    let sets = ["data.sequence_length=64", "init.from=model"].map(str::to_owned);
    let config = RunConfig::read(&path, &sets).unwrap();
    assert_eq!(config.data.sequence_length, 64);
    assert_eq!((&*config.init.from, &*config.init.generator), (Path::new("model"), Path::new("")));
}

#[test]
fn invalid_values_are_rejected() {
    rejected(&["model.discriminator.heads=5"], &["heads", "256"]);
    rejected(
        &["data.sequence_length=1024"],
        &["data.sequence_length = 1024", "model.max_positions"],
    );
    rejected(&["train.batch_size=0"], &["train.batch_size = 0", "at least 1"]);
    rejected(&["checkpoint.every=0"], &["checkpoint.every = 0"]);
    rejected(&["optimizer.beta2=1.0"], &["optimizer.beta2 = 1"]);
    rejected(
        &["optimizer.learning_rate=-1.0"],
        &["optimizer.learning_rate = -1", "greater than 0"],
    );
    rejected(&["model.dropout=1.5"], &["dropout", "1.5"]);
    rejected(&["objective.masking.rate=0.0"], &["objective.masking.rate = 0"]);
    rejected(
        &["objective.kind=bert"],
        &[
            "unknown field `generator_weight`, expected `random_share` or `masking`",
            "has the keys of kind = \"replaced-token\"",
            "extends = \"pretrain-small.toml\", unset = [\"objective\"]",
        ],
    );
    let unknown = ["objective.masking.kind=uniformly".to_owned()];
    let message = RunConfig::read(&preset("small"), &unknown).unwrap_err().to_string();
    assert!(
        message.contains("did you mean \"uniform\"") && !message.contains("unset"),
        "{message}"
    );
    rejected(&["objective.temperature=0.0"], &["objective.temperature = 0"]);
}

/// Parts may be custom, so the recipe, which has the parts, checks the name before it opens any data.
#[test]
fn the_error_for_an_unknown_part_lists_the_known_ones() {
    let overrides = ["model.attention.kind=magic".to_owned()];
    let recipe = Recipe::from_config(RunConfig::read(&preset("small"), &overrides).unwrap());
    let message = recipe.pretrain(&Start::new("nowhere")).unwrap_err().to_string();
    for word in ["attention = \"magic\"", "known here: softmax", "Parts::with_attention"] {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn the_error_for_an_unknown_key_has_its_line_and_the_nearest_key() {
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
