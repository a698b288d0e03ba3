//! Strict loading of safetensors files and Hugging Face folders.

use super::{fixtures, input, tiny};
use electra_model::{
    Discriminator, EncoderConfig, Error, PaddingMask, Parts, Pretraining,
    hf::{self, Architecture, Config, Pretrained},
    tensors,
    tensors::variables,
};
use std::{fs, path::Path};
use tch::{Device, Kind, Tensor, nn};

fn named(name: &str, values: &[f32]) -> (String, Tensor) {
    (name.to_owned(), Tensor::from_slice(values))
}

#[test]
fn written_tensors_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    let transposed = Tensor::arange(6, (Kind::Float, Device::Cpu)).view([2, 3]).transpose(0, 1);
    let ids = Tensor::from_slice(&[7i64, -1]);
    tensors::write(&path, &[("b".to_owned(), transposed.shallow_clone()), ("a".to_owned(), ids)])
        .unwrap();
    let read = tensors::read(&path).unwrap();
    assert_eq!(read.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(read[1].1.size(), [3, 2]);
    assert_eq!(read[1].1, transposed);
    assert_eq!(Vec::<i64>::try_from(&read[0].1).unwrap(), [7, -1]);
    // Eight bytes of header length, then JSON with the metadata that transformers 4 requires.
    let bytes = fs::read(&path).unwrap();
    assert!(String::from_utf8_lossy(&bytes[8..]).contains(r#""__metadata__":{"format":"pt"}"#));
}

#[test]
fn every_difference_is_listed() {
    let file = [named("same", &[1.0]), named("extra", &[1.0]), named("shape", &[1.0, 2.0])];
    let model = [named("same", &[0.0]), named("missing", &[1.0]), named("shape", &[1.0])];
    let kind = ("kind".to_owned(), Tensor::from_slice(&[1i64]));
    let model_kind = named("kind", &[1.0]);
    let file: Vec<_> = file.into_iter().chain([kind]).collect();
    let model: Vec<_> = model.into_iter().chain([model_kind]).collect();
    let error = tensors::load(Path::new("f"), &file, &model, |_| false, |_| false).unwrap_err();
    let Error::Mismatch { differences, .. } = &error else { panic!("{error}") };
    assert_eq!(
        differences,
        &[
            "missing from the file: missing [1]",
            "shape: the file has shape [2], the model [1]",
            "kind: the file has kind Int64, the model Float",
            "not in the model: extra [1]",
        ]
    );
    assert_eq!(f64::try_from(&model[0].1).unwrap(), 0.0, "no tensor is copied after a mismatch");
}

#[test]
fn a_list_of_differences_has_at_most_twenty_lines() {
    let lines = |count: usize| {
        let file: Vec<_> = (0..count).map(|i| named(&format!("t{i:02}"), &[1.0])).collect();
        let error = tensors::load(Path::new("f"), &file, &[], |_| false, |_| false).unwrap_err();
        error.to_string().lines().skip(1).map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    let twenty = lines(20);
    assert_eq!((twenty.len(), twenty[19].as_str()), (20, "not in the model: t19 [1]"));
    let more = lines(25);
    assert_eq!(more.len(), 20);
    assert_eq!((more[18].as_str(), more[19].as_str()), ("not in the model: t18 [1]", "and 6 more"));
}

#[test]
fn an_invalid_file_is_rejected_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    tensors::write(&path, &[named("a", &[1.0; 100])]).unwrap();
    let bytes = fs::read(&path).unwrap();
    let huge_header = u64::MAX.to_le_bytes();
    for damaged in
        [&bytes[..bytes.len() - 1], &bytes[..20], b"not safetensors at all", &huge_header]
    {
        fs::write(&path, damaged).unwrap();
        let message = tensors::read(&path).unwrap_err().to_string();
        assert!(message.contains("x.safetensors: invalid safetensors file"), "{message}");
    }
    // What the file is instead.
    let pytorch = fs::read(fixtures().join("foreign/bin/pytorch_model.bin")).unwrap();
    let old = fs::read(fixtures().join("foreign/bin-old/pytorch_model.bin")).unwrap();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 54000000\n";
    for (contents, expected) in [
        (&b""[..], "the file is empty"),
        (b"<!doctype html>\n<html>", "the file is an HTML page"),
        (pointer, "is a Git LFS pointer, not the file itself: run `git lfs pull` in "),
        (&pytorch, "a PyTorch file: rename it to pytorch_model.bin"),
        (&old, "a PyTorch file: rename it to pytorch_model.bin"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
    ] {
        fs::write(&path, contents).unwrap();
        let message = tensors::read(&path).unwrap_err().to_string();
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
    }
}

/// A folder whose weights have another name, or are of another framework.
#[test]
fn a_folder_without_weights_names_what_may_have_them() {
    let dir = tempfile::tempdir().unwrap();
    let config = fixtures().join("foreign/bin/config.json");
    fs::copy(config, dir.path().join("config.json")).unwrap();
    let error = || Pretrained::read(dir.path()).unwrap_err().to_string();
    assert!(error().ends_with("no model.safetensors, pytorch_model.bin or index of either"));
    fs::write(dir.path().join("tf_model.h5"), "").unwrap();
    assert!(error().contains("tf_model.h5 is of another framework"), "{}", error());
    fs::write(dir.path().join("electra.pt"), "").unwrap();
    let expected = "if electra.pt has the weights, rename it to pytorch_model.bin";
    assert!(error().contains(expected), "{}", error());
}

#[test]
fn equal_tensors_are_written_as_equal_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let more = [("num_attention_heads", "4".to_owned()), ("a", "b".to_owned())];
    let write = |name: &str| {
        let path = dir.path().join(name);
        tensors::write_with(&path, &[named("x", &[1.0])], &more).unwrap();
        fs::read(path).unwrap()
    };
    let first = write("first");
    for copy in 0..8 {
        assert_eq!(write(&copy.to_string()), first);
    }
}

fn pretraining(encoder: EncoderConfig) -> Config {
    Config::new(Architecture::ElectraForPreTraining, encoder, 0)
}

/// A discriminator with Hugging Face's names.
fn discriminator(vs: &nn::VarStore) -> Discriminator {
    let (root, config, parts) = (vs.root(), tiny().discriminator.clone(), Parts::shipped());
    Discriminator::from_config(&root, &config, &parts).unwrap()
}

#[test]
fn an_exported_network_gives_equal_logits_and_includes_shared_embeddings() {
    let dir = tempfile::tempdir().unwrap();
    let config = tiny();
    let vs = nn::VarStore::new(Device::Cpu);
    let networks = Pretraining::new(&vs.root(), &config, &Parts::shipped()).unwrap();
    let encoder = networks.discriminator.encoder();
    let state = hf::state_dict(&vs, "discriminator", encoder).unwrap();
    let written = pretraining(config.discriminator.clone());
    hf::write(dir.path(), &written, &state).unwrap();

    let read = Pretrained::read(dir.path()).unwrap();
    assert_eq!(read.config, written);
    let copy_vs = nn::VarStore::new(Device::Cpu);
    let copy = discriminator(&copy_vs);
    read.load(&copy_vs).unwrap();
    let x = Tensor::randint(50, [3, 8], (Kind::Int64, Device::Cpu));
    let mask = PaddingMask::without_padding(3, 8, Device::Cpu);
    let [a, b] = [&networks.discriminator, &copy]
        .map(|d| d.forward_t(&input(&x, &x.zeros_like(), &mask), false));
    assert_eq!(a, b);

    let generator = hf::state_dict(&vs, "generator", networks.generator.encoder()).unwrap();
    let names: Vec<_> = generator.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"electra.embeddings.word_embeddings.weight"));
    assert!(names.contains(&"generator_lm_head.bias"));
    assert!(!names.contains(&"generator_lm_head.weight"), "the tied matrix is stored once");
    let count: usize = generator.iter().map(|(_, t)| t.numel()).sum();
    // e=6 v=50: tables (50 + 12 + 2) * 6, LayerNorm 12, projection 6*4+4; 3 layers of 4 * (4*4+4)
    // + 2 * 8 + (4*16+16) + (16*4+4); head 4*6+6 + 12 + 50.
    assert_eq!(count, 384 + 12 + 28 + 3 * (80 + 16 + 80 + 68) + 30 + 12 + 50);
}

#[test]
fn fine_tuning_loads_the_encoder_and_requires_all_of_its_tensors() {
    let dir = tempfile::tempdir().unwrap();
    let vs = nn::VarStore::new(Device::Cpu);
    let _model = discriminator(&vs);
    let mut state = variables(&vs).unwrap();
    hf::write(dir.path(), &pretraining(tiny().discriminator.clone()), &state).unwrap();

    let task_vs = nn::VarStore::new(Device::Cpu);
    let (root, config, parts) = (task_vs.root(), tiny().discriminator.clone(), Parts::shipped());
    electra_model::Encoder::from_config(&(&root / "electra"), &config, &parts).unwrap();
    let _ = root.zeros("head", &[3]);
    Pretrained::read(dir.path()).unwrap().load_encoder(&task_vs, |name| name == "head").unwrap();
    let name = "electra.encoder.layer.1.output.dense.weight";
    assert_eq!(task_vs.variables()[name], vs.variables()[name]);

    state.retain(|(name, _)| !name.contains("embeddings_project"));
    hf::write(dir.path(), &pretraining(tiny().discriminator.clone()), &state).unwrap();
    let error = Pretrained::read(dir.path())
        .unwrap()
        .load_encoder(&task_vs, |name| name == "head")
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("missing from the file: electra.embeddings_project.weight [12, 6]"),
        "{error}"
    );
}
