//! Going on from other weights; the original's hyper-parameters; model cards; TensorFlow's form.

use crate::Fixture;
use electra_model::{
    compare::{self, compare},
    hf::{self, Architecture, Config},
    tensors, tf,
};
use electra_train::{
    Existing, Recipe, RunConfig, Start,
    config::MaskingConfig,
    export::{Network, export, export_tf},
    hparams,
};
use std::{fs, path::Path};

/// A run of the fixture and its two networks, exported.
struct Exported {
    fixture: Fixture,
}

impl Exported {
    fn new() -> Self {
        let fixture = Fixture::new();
        Recipe::from_config(fixture.config(&[]))
            .pretrain(&Start::new(fixture.path("run")))
            .unwrap();
        for (network, name) in [(Network::Discriminator, "d"), (Network::Generator, "g")] {
            export(&fixture.path("run"), network, &fixture.path(name), Existing::Refuse).unwrap();
        }
        Self { fixture }
    }

    /// The weights after no update that moves them: the first has a learning rate of 0.
    fn begin(&self, overrides: &[&str]) -> Result<tensors::Named, String> {
        let out = self.fixture.path("begun");
        let _ = fs::remove_dir_all(&out);
        let all = ["train.seed=7", "train.steps=1", "evaluate.every=0"];
        let all: Vec<_> = all.iter().chain(overrides).copied().collect();
        let recipe = Recipe::from_config(self.fixture.config(&all));
        recipe.pretrain(&Start::new(&out)).map_err(|e| e.to_string())?;
        Ok(compare::read(&out.join("checkpoints/step-0000001")).unwrap())
    }

    fn set(&self, key: &str, name: &str) -> String {
        format!("{key}=\"{}\"", self.fixture.path(name).display())
    }

    fn weights(&self) -> tensors::Named {
        compare::read(&self.fixture.path("run/checkpoints/step-0000010")).unwrap()
    }
}

fn only(tensors: &[(String, tch::Tensor)], prefix: &str) -> tensors::Named {
    let own = tensors.iter().filter(|(name, _)| name.starts_with(prefix));
    own.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}

#[test]
fn both_networks_are_gone_on_with() {
    let exported = Exported::new();
    let (from, generator) = (exported.set("init.from", "d"), exported.set("init.generator", "g"));
    let begun = exported.begin(&[&from, &generator]).unwrap();
    assert!(compare(&begun, &exported.weights()).same());
    // A run folder says the same in one key.
    let begun = exported.begin(&[&exported.set("init.from", "run")]).unwrap();
    assert!(compare(&begun, &exported.weights()).same());
}

#[test]
fn a_generator_that_is_missing_starts_from_fresh_weights() {
    let exported = Exported::new();
    let begun = exported.begin(&[&exported.set("init.from", "d")]).unwrap();
    let (d, g) = ("discriminator.", "generator.");
    assert!(compare(&only(&begun, d), &only(&exported.weights(), d)).same());
    assert!(!compare(&only(&begun, g), &only(&exported.weights(), g)).same());
    let fresh = exported.begin(&[]).unwrap();
    assert!(compare(&only(&begun, g), &only(&fresh, g)).same());
}

#[test]
fn an_encoder_alone_gets_a_fresh_head() {
    let exported = Exported::new();
    let run = exported.fixture.path("run");
    export(&run, Network::Encoder, &exported.fixture.path("e"), Existing::Refuse).unwrap();
    let begun = exported.begin(&[&exported.set("init.from", "e")]).unwrap();
    let encoder = "discriminator.electra.";
    assert!(compare(&only(&begun, encoder), &only(&exported.weights(), encoder)).same());
    let head = "discriminator.discriminator_predictions.";
    assert!(!compare(&only(&begun, head), &only(&exported.weights(), head)).same());
}

#[test]
fn weights_that_do_not_fit_are_refused_with_what_would() {
    let exported = Exported::new();
    let from = exported.set("init.from", "d");
    let error = exported
        .begin(&[&from, "model.discriminator.layers=3", "model.embedding_size=8"])
        .unwrap_err();
    for line in ["model.discriminator.layers = 4", "model.embedding_size = 12   (is 8)"] {
        assert!(error.contains(line) || error.contains("model.discriminator.layers = "), "{error}");
    }
    assert!(!exported.fixture.path("begun").exists(), "nothing was begun");
    let error = exported.begin(&[&exported.set("init.generator", "g")]).unwrap_err();
    assert!(error.contains("init.generator") && error.contains("needs init.from"), "{error}");

    // Another vocabulary of the same size: the same ids would be other words.
    let path = exported.fixture.path("d/vocab.txt");
    let vocab = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = vocab.lines().collect();
    lines.swap(20, 21);
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let error = exported.begin(&[&from]).unwrap_err();
    assert!(error.contains("has another vocabulary") && error.contains("id 20 is"), "{error}");
}

#[test]
fn a_run_goes_to_tensorflow_and_back() {
    let exported = Exported::new();
    let (run, out) = (exported.fixture.path("run"), exported.fixture.path("tf"));
    export_tf(&run, &out, Existing::Refuse).unwrap();
    assert!(out.join("vocab.txt").is_file() && out.join("checkpoint").is_file());
    let networks =
        tf::read(&out, tf::Heads { discriminator: Some(2), generator: Some(2) }).unwrap();
    for (network, name) in [(&networks.discriminator, "d"), (&networks.generator.unwrap(), "g")] {
        let written = compare::read(&exported.fixture.path(name)).unwrap();
        let comparison = compare(&written, &network.tensors);
        assert!(comparison.same(), "{name}: {comparison:?}");
    }
}

#[test]
fn the_card_says_what_was_trained_on_what() {
    let exported = Exported::new();
    let card = fs::read_to_string(exported.fixture.path("d/README.md")).unwrap();
    assert!(
        card.starts_with("---\nlibrary_name: transformers\npipeline_tag: feature-extraction\n")
    );
    for line in [
        "# ElectraForPreTraining",
        "| updates | 10 of 10 |",
        "| batch | 6 sequences of 16 tokens |",
        "| tokens seen | 960 |",
        "| generator's hidden size | 16 (1.000 of the discriminator's) |",
        "| discriminator auc |",
        "AutoModelForPreTraining.from_pretrained",
    ] {
        assert!(card.contains(line), "{line} in {card}");
    }
    assert!(card.contains("| training time | 0.00 hours |"), "{card}");
}

fn hparams(text: &str) -> Result<(RunConfig, Vec<String>), String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hparams.json");
    fs::write(&path, text).unwrap();
    hparams::read(&path, Path::new("shards")).map_err(|e| e.to_string())
}

#[test]
fn the_originals_defaults_are_electra_small() {
    let (config, notes) = hparams("{}").unwrap();
    let preset = RunConfig::read(&crate::preset("small"), &[]).unwrap();
    assert_eq!(config.model, preset.model);
    assert_eq!(config.optimizer, preset.optimizer);
    assert_eq!((config.train.steps, config.train.batch_size), (1_000_000, 128));
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn hyper_parameters_follow_the_originals_rules() {
    // The block for base that the original has commented out.
    let (config, notes) = hparams(
        r#"{"model_size": "base", "max_seq_length": 512, "learning_rate": 2e-4, "train_batch_size": 256,
            "generator_hidden_size": 0.33333, "num_train_steps": 766000, "mask_prob": 0.25, "use_tpu": true,
            "model_hparam_overrides": {"hidden_dropout_prob": 0.2}, "untied_generator_embeddings": true}"#,
    )
    .unwrap();
    let base = RunConfig::read(&crate::preset("base"), &[]).unwrap();
    assert_eq!(config.model.generator, base.model.generator);
    assert_eq!(config.model.discriminator, base.model.discriminator);
    assert_eq!(config.model.dropout, 0.2);
    let electra_train::config::ObjectiveConfig::ReplacedToken(objective) = &config.objective else {
        panic!("another objective")
    };
    assert_eq!(objective.masking, MaskingConfig::Reference { rate: 0.25, mask_share: 0.85 });
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[1].contains("use_tpu"));
    for (text, expected) in [
        (r#"{"learning_rat": 1}"#, "learning_rat is no hyper-parameter of the original"),
        (r#"{"learning_rate": "fast"}"#, "learning_rate is \"fast\", a number is expected"),
        (r#"{"electric_objective": true}"#, "Electric is not here yet"),
        (r#"{"max_predictions_per_seq": 40}"#, "(19) is here"),
        (r#"{"model_size": "tiny"}"#, "small, base or large"),
        ("[]", "must be one JSON object"),
        (
            r#"{"model_hparam_overrides": {"layers": 2}}"#,
            "model_hparam_overrides.layers is not known",
        ),
    ] {
        let error = hparams(text).unwrap_err();
        assert!(error.contains(expected) && error.contains("hparams.json"), "{error}");
    }
}

#[test]
fn weights_of_another_kind_are_named() {
    let exported = Exported::new();
    let read = hf::read_config(&exported.fixture.path("d")).unwrap();
    let other = Config { architecture: Architecture::ElectraForMaskedLM, ..read };
    let state = compare::read(&exported.fixture.path("d")).unwrap();
    hf::write(&exported.fixture.path("d"), &other, &state).unwrap();
    let error = exported.begin(&[&exported.set("init.from", "d")]).unwrap_err();
    assert!(error.contains("has the weights of ElectraForPreTraining"), "{error}");
}
