//! Files from and for other frameworks (`tests/python/gen_foreign.py`, `gen_tf.py`).

use super::{fixtures, input};
use electra_model::{
    PaddingMask, Parts, PretrainedNetwork,
    compare::compare,
    formats::bundle,
    hf::{Architecture, Labels, Pretrained},
    tensors, tf,
};
use std::{collections::HashMap, fs};
use tch::{Device, Tensor, no_grad};

fn read(name: &str) -> (Pretrained, HashMap<String, Tensor>) {
    let dir = fixtures().join("foreign").join(name);
    let expected = tensors::read(&dir.join("expected.safetensors")).unwrap();
    (Pretrained::read(&dir).unwrap(), expected.into_iter().collect())
}

/// Largest difference between hidden states and logits on tokens.
fn largest_difference(pretrained: &Pretrained, expected: &HashMap<String, Tensor>) -> f64 {
    let network = PretrainedNetwork::new(pretrained, &Parts::shipped(), Device::Cpu).unwrap();
    let mask = PaddingMask::new(&expected["attention_mask"]);
    let real = mask.keep_bs().ne(0.0);
    no_grad(|| {
        let hidden = network
            .encoder()
            .forward_t(&input(&expected["input_ids"], &expected["token_type_ids"], &mask), false);
        let distance =
            |a: &Tensor, b: &Tensor| (a - b).abs().index(&[Some(&real)]).max().double_value(&[]);
        let states = distance(&hidden, &expected["last_hidden_state"]);
        let logits = expected.get("logits").or_else(|| expected.get("prediction_logits"));
        match (network.logits(&hidden), logits) {
            (Some(found), Some(logits)) => states.max(distance(&found, logits)),
            _ => states,
        }
    })
}

#[test]
fn every_kind_of_folder_reproduces_the_outputs_of_transformers() {
    use Architecture::*;
    for (name, architecture, notes) in [
        ("sharded", ElectraForPreTraining, &[][..]),
        ("base", ElectraModel, &[]),
        ("bin", ElectraForPreTraining, &[]),
        (
            "bin-views",
            ElectraForMaskedLM,
            &["not used: generator_lm_head.weight", "tensors of kind Half to Float"],
        ),
        ("bin-old", ElectraForPreTraining, &["tensors of kind Half to Float"]),
        ("old-names", ElectraForPreTraining, &["not used: electra.embeddings.position_ids"]),
        ("classifier", ElectraForSequenceClassification, &[]),
        ("tokens", ElectraForTokenClassification, &[]),
        ("question", ElectraForQuestionAnswering, &[]),
        ("choice", ElectraForMultipleChoice, &[]),
        (
            "bert",
            ElectraForMaskedLM,
            &["cls.seq_relationship.weight (ELECTRA has no", "bert.pooler.dense.weight"],
        ),
        ("bert-base", ElectraModel, &["not used: pooler.dense.bias"]),
    ] {
        let (pretrained, expected) = read(name);
        assert_eq!(pretrained.config.architecture, architecture, "{name}");
        for note in notes {
            assert!(
                pretrained.notes.iter().any(|n| n.contains(note)),
                "{name}: {:?}",
                pretrained.notes
            );
        }
        let largest = largest_difference(&pretrained, &expected);
        assert!(largest <= 1e-5, "{name}: differs by {largest:e}");
    }
}

#[test]
fn the_labels_of_a_classifier_are_read() {
    let (pretrained, _) = read("classifier");
    let labels = ["no", "maybe", "yes"].map(str::to_owned).to_vec();
    assert_eq!(pretrained.config.labels, Some(Labels::Classes(labels)));
    assert_eq!(pretrained.config.classifier_dropout, Some(0.25));
}

#[test]
fn a_tensorflow_checkpoint_has_the_values_that_were_saved() {
    let dir = fixtures().join("tf");
    let expected = tensors::read(&dir.join("expected.safetensors")).unwrap();
    let found = bundle::read(&dir.join("model.ckpt-7")).unwrap();
    let comparison = compare(&expected, &found);
    assert!(comparison.same(), "{comparison:?}");
    assert!(comparison.rows.len() > 100);
}

#[test]
fn both_networks_of_a_tensorflow_checkpoint_are_converted_to_hugging_faces_names_and_layouts() {
    let dir = fixtures().join("tf");
    let heads = tf::Heads { discriminator: Some(2), generator: None };
    let networks = tf::read(&dir, heads).unwrap();
    let generator = networks.generator.unwrap();
    let sizes =
        |p: &Pretrained| (p.config.encoder.layers, p.config.encoder.hidden, p.config.encoder.heads);
    assert_eq!(sizes(&networks.discriminator), (2, 8, 2));
    assert_eq!(sizes(&generator), (3, 4, 1));
    assert!(
        networks.discriminator.notes.iter().any(|n| n.contains("8 variables (Adam's moments)"))
    );
    // They load without missing or unexpected tensors.
    PretrainedNetwork::new(&networks.discriminator, &Parts::shipped(), Device::Cpu).unwrap();
    PretrainedNetwork::new(&generator, &Parts::shipped(), Device::Cpu).unwrap();

    let theirs: HashMap<String, Tensor> =
        tensors::read(&dir.join("expected.safetensors")).unwrap().into_iter().collect();
    let ours = |p: &Pretrained, name: &str| {
        p.tensors.iter().find(|(n, _)| n == name).map(|(_, t)| t.shallow_clone()).unwrap()
    };
    for (network, ours_name, theirs_name) in [
        (
            &networks.discriminator,
            "electra.encoder.layer.1.intermediate.dense.weight",
            "electra/encoder/layer_1/intermediate/dense/kernel",
        ),
        (
            &networks.discriminator,
            "discriminator_predictions.dense_prediction.weight",
            "discriminator_predictions/dense_1/kernel",
        ),
        (&generator, "electra.embeddings_project.weight", "generator/embeddings_project/kernel"),
        (&generator, "generator_predictions.dense.weight", "generator_predictions/dense/kernel"),
    ] {
        assert_eq!(ours(network, ours_name), theirs[theirs_name].transpose(0, 1), "{ours_name}");
    }
    for (network, ours_name, theirs_name) in [
        (
            &generator,
            "electra.embeddings.word_embeddings.weight",
            "electra/embeddings/word_embeddings",
        ),
        (&generator, "generator_lm_head.bias", "generator_predictions/output_bias"),
        (
            &networks.discriminator,
            "electra.encoder.layer.0.output.LayerNorm.weight",
            "electra/encoder/layer_0/output/LayerNorm/gamma",
        ),
    ] {
        assert_eq!(ours(network, ours_name), theirs[theirs_name], "{ours_name}");
    }
}

#[test]
fn writing_a_tensorflow_checkpoint_reproduces_the_one_that_was_read() {
    let source = fixtures().join("tf");
    let networks = tf::read(&source, tf::Heads::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let generator = networks.generator.unwrap();
    tf::write(dir.path(), 7, &networks.discriminator.tensors, &generator.tensors).unwrap();
    let written = bundle::read(&dir.path().join("model.ckpt-7")).unwrap();
    let mut theirs = tensors::read(&source.join("expected.safetensors")).unwrap();
    theirs.retain(|(name, _)| !name.contains("/adam_"));
    let comparison = compare(&theirs, &written);
    assert!(comparison.same(), "{comparison:?}");
    let again = tf::read(dir.path(), tf::Heads::default()).unwrap();
    assert!(compare(&again.generator.unwrap().tensors, &generator.tensors).same());
}

#[test]
fn errors_name_the_damaged_file_of_a_tensorflow_checkpoint() {
    let source = fixtures().join("tf");
    let dir = tempfile::tempdir().unwrap();
    let names = ["model.ckpt-7.index", "model.ckpt-7.data-00000-of-00001", "checkpoint"];
    let restore = || {
        for name in names {
            fs::copy(source.join(name), dir.path().join(name)).unwrap();
        }
    };
    let read = || tf::read(dir.path(), tf::Heads::default());
    restore();
    read().unwrap();
    let edit = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = dir.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let error = read().unwrap_err().to_string();
        restore();
        error
    };
    for (name, change, expected) in [
        (
            names[1],
            &(|b: &mut Vec<u8>| b[100] ^= 1) as &dyn Fn(&mut Vec<u8>),
            "damaged (CRC-32C mismatch)",
        ),
        (names[1], &|b| b.truncate(b.len() / 2), ", but the file has"),
        (names[0], &|b| b[60] ^= 1, "is damaged (CRC-32C mismatch)"),
        (names[0], &|b| b.truncate(40), "shorter than the footer"),
        (names[0], &|b| b.truncate(b.len() - 1), "magic number"),
        (names[2], &|b| b.clear(), "no line model_checkpoint_path"),
    ] {
        let error = edit(name, change);
        assert!(error.contains(expected) && error.contains(name), "{name}: {error}");
    }
    fs::remove_file(dir.path().join(names[1])).unwrap();
    let error = read().unwrap_err().to_string();
    assert!(error.contains(names[1]), "{error}");
}

#[test]
fn nan_and_infinity_in_a_tensorflow_checkpoint_are_rejected() {
    let networks = tf::read(&fixtures().join("tf"), tf::Heads::default()).unwrap();
    let generator = networks.generator.unwrap();
    for broken in [f64::NAN, f64::INFINITY] {
        let mut state = networks.discriminator.tensors.iter();
        let (name, tensor) = state.find(|(n, _)| n.ends_with("1.output.dense.bias")).unwrap();
        let copy = tensor.copy();
        let _ = copy.get(0).fill_(broken);
        let mut changed: tensors::Named = networks
            .discriminator
            .tensors
            .iter()
            .map(|(n, t)| (n.clone(), t.shallow_clone()))
            .collect();
        changed.iter_mut().find(|(n, _)| n == name).unwrap().1 = copy;
        let dir = tempfile::tempdir().unwrap();
        tf::write(dir.path(), 7, &changed, &generator.tensors).unwrap();
        let error = tf::read(dir.path(), tf::Heads::default()).unwrap_err().to_string();
        let expected = format!("{name}: has NaN or infinity");
        assert!(error.contains("model.ckpt-7.index") && error.contains(&expected), "{error}");
    }
}

#[test]
fn partially_equal_embeddings_are_not_shared() {
    let networks = tf::read(&fixtures().join("tf"), tf::Heads::default()).unwrap();
    let discriminator = networks.discriminator.tensors;
    let mut generator = networks.generator.unwrap().tensors;
    let own = |generator: &tensors::Named| {
        let dir = tempfile::tempdir().unwrap();
        tf::write(dir.path(), 7, &discriminator, generator).unwrap();
        let again = tf::read(dir.path(), tf::Heads::default()).unwrap().generator.unwrap();
        assert!(compare(&again.tensors, generator).same());
        let written = bundle::read(&dir.path().join("model.ckpt-7")).unwrap();
        let names = written.into_iter().map(|(name, _)| name);
        names.filter(|name| name.starts_with("generator/embeddings/")).collect::<Vec<_>>()
    };
    assert_eq!(own(&generator), [""; 0]);
    let words = "electra.embeddings.word_embeddings.weight";
    let table = generator.iter_mut().find(|(name, _)| name == words).unwrap();
    table.1 = &table.1 + 1.0;
    let expected = [
        "LayerNorm/beta",
        "LayerNorm/gamma",
        "position_embeddings",
        "token_type_embeddings",
        "word_embeddings",
    ];
    assert_eq!(own(&generator), expected.map(|name| format!("generator/embeddings/{name}")));
}

#[test]
fn a_folder_may_have_a_name_that_looks_like_a_checkpoint_file() {
    let source = fixtures().join("tf");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run.data-2020");
    fs::create_dir(&folder).unwrap();
    let data = "model.ckpt-7.data-00000-of-00001";
    for name in ["model.ckpt-7.index", data] {
        fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    for name in ["", "model.ckpt-7", "model.ckpt-7.index", data] {
        let found = tf::read(&folder.join(name), tf::Heads::default()).unwrap();
        assert_eq!(found.discriminator.config.encoder.layers, 2, "{name}");
    }
}
