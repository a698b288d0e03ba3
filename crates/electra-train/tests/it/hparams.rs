//! Conversion of the reference's hyper-parameters to a config.

use electra_train::{RunConfig, config::MaskingConfig, hparams};
use std::{fs, path::Path};

fn hparams(text: &str) -> Result<(RunConfig, Vec<String>), String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hparams.json");
    fs::write(&path, text).unwrap();
    hparams::read(&path, Path::new("shards")).map_err(|e| e.to_string())
}

#[test]
fn the_references_defaults_are_electra_small() {
    let (config, notes) = hparams("{}").unwrap();
    let preset = RunConfig::read(&crate::preset("small"), &[]).unwrap();
    assert_eq!(config.model, preset.model);
    assert_eq!(config.optimizer, preset.optimizer);
    assert_eq!((config.train.steps, config.train.batch_size), (1_000_000, 128));
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn hyper_parameters_are_derived_as_in_the_reference() {
    // The settings for base, which are a comment in the reference.
    let (config, notes) = hparams(
        r#"{"model_size": "base", "max_seq_length": 512, "learning_rate": 2e-4, "train_batch_size": 256,
            "generator_hidden_size": 0.33333, "num_train_steps": 766000, "mask_prob": 0.25, "use_tpu": true,
            "model_hparam_overrides": {"hidden_dropout_prob": 0.2}, "untied_generator_embeddings": true}"#,
    )
    .unwrap();
    let mut base = RunConfig::read(&crate::preset("base"), &[]).unwrap();
    base.model.networks_mut().for_each(|network| network.dropout = 0.2);
    assert_eq!(config.model.generator, base.model.generator);
    assert_eq!(config.model.discriminator, base.model.discriminator);
    let electra_train::config::ObjectiveConfig::ReplacedToken(objective) = &config.objective else {
        panic!("another objective")
    };
    assert_eq!(objective.masking, MaskingConfig::Reference { rate: 0.25, mask_share: 0.85 });
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[1].contains("use_tpu"));
    for (text, expected) in [
        (r#"{"learning_rat": 1}"#, "learning_rat is not a hyper-parameter of the reference"),
        (r#"{"learning_rate": "fast"}"#, "learning_rate is \"fast\", expected a number"),
        (r#"{"max_predictions_per_seq": 40}"#, "(19) is supported"),
        (r#"{"model_size": "tiny"}"#, "expected small, base or large"),
        ("[]", "expected a JSON object"),
        (
            r#"{"model_hparam_overrides": {"layers": 2}}"#,
            "unknown key model_hparam_overrides.layers",
        ),
    ] {
        let error = hparams(text).unwrap_err();
        assert!(error.contains(expected) && error.contains("hparams.json"), "{error}");
    }
}

#[test]
fn keep_checkpoint_max_of_0_or_null_keeps_all_checkpoints() {
    for (text, kept) in [("{}", 5), (r#"{"keep_checkpoint_max": 2}"#, 2)] {
        assert_eq!(hparams(text).unwrap().0.checkpoint.keep_last, kept, "{text}");
    }
    // 0 keeps all here as well.
    for text in [r#"{"keep_checkpoint_max": 0}"#, r#"{"keep_checkpoint_max": null}"#] {
        assert_eq!(hparams(text).unwrap().0.checkpoint.keep_last, 0, "{text}");
    }
}

#[test]
fn results_files_are_ignored_and_debug_mode_is_rejected() {
    let (_, notes) =
        hparams(r#"{"results_txt": "a", "results_pkl": "b", "debug": false}"#).unwrap();
    assert_eq!(notes.len(), 2, "{notes:?}");
    let error = hparams(r#"{"debug": true}"#).unwrap_err();
    for word in ["debug = true", "3 layers of 144", "train.steps", "hparams.json"] {
        assert!(error.contains(word), "{error}");
    }
}
