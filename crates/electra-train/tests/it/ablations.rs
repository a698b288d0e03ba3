//! `configs/ablations`: each config differs from its base in what its header says, trains, and resumes exactly.

use crate::{Fixture, preset, resume::state_of};
use electra_train::{Outcome, Recipe, RunConfig, Start};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

fn folder() -> PathBuf {
    preset("tiny").parent().unwrap().join("ablations")
}

fn configs() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.collect();
    paths.sort();
    assert!(paths.len() > 30, "{paths:?}");
    paths
}

/// The keys whose values differ, such as `model.generator.hidden`.
fn differences(a: &Table, b: &Table, prefix: &str) -> BTreeSet<String> {
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differ = |key: &String| match (a.get(key), b.get(key)) {
        (Some(Value::Table(a)), Some(Value::Table(b))) => {
            differences(a, b, &format!("{prefix}{key}."))
        }
        (a, b) if a == b => BTreeSet::new(),
        _ => BTreeSet::from([format!("{prefix}{key}")]),
    };
    keys.into_iter().flat_map(differ).collect()
}

#[test]
fn every_config_differs_from_its_base_in_what_its_header_says() {
    for path in configs() {
        let text = fs::read_to_string(&path).unwrap();
        let header = text.lines().find_map(|line| line.strip_prefix("# Differs from "));
        let Some((base, keys)) = header.map(|rest| rest.split_once(" in: ").unwrap()) else {
            assert!(path.ends_with("electra.toml"), "{}: no header", path.display());
            continue;
        };
        assert!(text.contains(&format!("extends = \"{base}\"")), "{}", path.display());
        let read = |path: &Path| -> Table {
            RunConfig::read(path, &[]).unwrap().to_toml().parse().unwrap()
        };
        let found = differences(&read(&folder().join(base)), &read(&path), "");
        if keys.starts_with("nothing at this scale") {
            assert_eq!(found, BTreeSet::new(), "{}", path.display());
            continue;
        }
        let named: Vec<&str> = keys.trim_end_matches('.').split(", ").collect();
        let covers = |name: &str, key: &str| {
            key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        for key in &found {
            let named = named.iter().any(|name| covers(name, key));
            assert!(named, "{}: {key} differs and is not in the header", path.display());
        }
        for name in named {
            let differs = found.iter().any(|key| covers(name, key));
            assert!(differs, "{}: {name} does not differ", path.display());
        }
    }
}

/// The ablations over the fixture's sizes in place of ELECTRA-Base's, as `cargo xtask experiment` does it.
pub(crate) fn scaled(fixture: &Fixture) -> PathBuf {
    let dir = fixture.path("ablations");
    fs::create_dir(&dir).unwrap();
    for path in configs() {
        fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
    }
    let base = fixture.config(&[
        "train.steps=20",
        "checkpoint.every=10",
        "evaluate.every=20",
        "optimizer.warmup_steps=0",
        "optimizer.learning_rate=2e-3",
        "objective.discriminator_weight=50.0",
    ]);
    fs::write(dir.join("scale.toml"), base.to_toml()).unwrap();
    fs::write(dir.join("electra.toml"), "extends = \"scale.toml\"\n").unwrap();
    dir
}

/// The held-out loss after `step` updates.
fn held_out_loss(run: &Path, step: u64) -> f64 {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let mut rows =
        text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let row = rows.find(|row| row["kind"] == "evaluate" && row["step"] == step).unwrap();
    row["loss"].as_f64().unwrap()
}

#[test]
fn every_config_lowers_its_loss_in_20_steps() {
    let fixture = Fixture::new();
    let dir = scaled(&fixture);
    for path in configs() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let config = RunConfig::read(&dir.join(path.file_name().unwrap()), &[]).unwrap();
        let run = fixture.path(name);
        Recipe::from_config(config).pretrain(&Start::new(&run)).unwrap();
        let (before, after) = (held_out_loss(&run, 0), held_out_loss(&run, 20));
        assert!(after < before, "{name}: {before} before, {after} after");
    }
}

/// The objectives and sharing policies, of which each may keep state in its own way.
#[test]
fn every_objective_and_sharing_resumes_exactly() {
    let fixture = Fixture::new();
    let dir = scaled(&fixture);
    for name in [
        "adversarial",
        "all-tokens-mlm",
        "bert",
        "electra-15",
        "electric",
        "gdes",
        "replace-mlm",
        "tied-all",
        "tied-embeddings",
        "two-stage",
        "two-tower",
        "unigram",
        "untied",
    ] {
        let config = || RunConfig::read(&dir.join(format!("{name}.toml")), &[]).unwrap();
        let (whole, parts) =
            (fixture.path(&format!("{name}-1")), fixture.path(&format!("{name}-2")));
        Recipe::from_config(config()).pretrain(&Start::new(&whole)).unwrap();
        // For two-stage training, the checkpoint is at the end of the first stage.
        let first = Start { stop_after: Some(10), ..Start::new(&parts) };
        assert_eq!(Recipe::from_config(config()).pretrain(&first).unwrap(), Outcome::Stopped);
        Recipe::from_config(config()).pretrain(&Start::resume(&parts)).unwrap();
        assert_eq!(state_of(&whole, 20), state_of(&parts, 20), "{name}");
    }
}
