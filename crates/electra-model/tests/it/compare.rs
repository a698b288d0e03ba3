//! Comparisons of tensors, and all supported file formats.

use super::fixtures;
use electra_model::{
    compare::{
        self,
        Verdict::{self, *},
        compare, different_parts, parts,
    },
    tensors,
};
use std::fs;
use tch::{Kind, Tensor};

#[test]
fn every_kind_of_difference_is_reported() {
    let t = |values: &[f32]| Tensor::from_slice(values);
    let first = [
        ("differs".to_owned(), t(&[1.0, -4.0])),
        ("first".to_owned(), t(&[1.0])),
        ("form".to_owned(), t(&[1.0, 2.0])),
        ("nan".to_owned(), t(&[f32::NAN])),
        ("same".to_owned(), t(&[1.0])),
    ];
    let second = [
        ("differs".to_owned(), t(&[1.5, -4.0])),
        ("form".to_owned(), t(&[1.0]).to_kind(Kind::Half)),
        ("nan".to_owned(), t(&[1.0])),
        ("same".to_owned(), t(&[1.0])),
        ("second".to_owned(), t(&[1.0])),
    ];
    let found = compare(&first, &second);
    let verdicts: Vec<_> = found.rows.iter().map(|row| (row.name.as_str(), &row.verdict)).collect();
    assert_eq!(verdicts[0], ("differs", &Differs { largest: 0.5, relative: 0.125 }));
    assert_eq!(verdicts[1], ("first", &OnlyFirst("Float [1]".to_owned())));
    assert_eq!(verdicts[2], ("form", &ShapeOrKind("Float [2]".to_owned(), "Half [1]".to_owned())));
    assert!(matches!(verdicts[3], ("nan", Differs { largest, .. }) if largest.is_nan()));
    assert_eq!(verdicts[4], ("same", &Same));
    assert_eq!(verdicts[5], ("second", &OnlySecond("Float [1]".to_owned())));
    assert_eq!((found.same(), found.largest()), (false, None));
}

fn verdict(a: &Tensor, b: &Tensor) -> Verdict {
    let named = |t: &Tensor| [("x".to_owned(), t.shallow_clone())];
    compare(&named(a), &named(b)).rows.remove(0).verdict
}

#[test]
fn tensors_are_compared_bit_for_bit() {
    let sign_of_zero = Differs { largest: 0.0, relative: 0.0 };
    for kind in [Kind::Float, Kind::Double, Kind::Half, Kind::BFloat16] {
        let zeros = Tensor::from_slice(&[0f32, 0.0, 1.0]).to_kind(kind);
        let negative = Tensor::from_slice(&[0f32, -0.0, 1.0]).to_kind(kind);
        assert_eq!(verdict(&zeros, &negative), sign_of_zero, "{kind:?}");
        assert_eq!(verdict(&negative, &negative.copy()), Same, "{kind:?}");
    }
    let nan = |bits: u32| Tensor::from_slice(&[1.0, f32::from_bits(bits)]);
    assert_eq!(verdict(&nan(0x7fc0_0000), &nan(0x7fc0_0000)), Same);
    for other in [0x7fc0_0001, 0xffc0_0000] {
        let found = verdict(&nan(0x7fc0_0000), &nan(other));
        assert!(matches!(found, Differs { largest, .. } if largest.is_nan()), "{found:?}");
    }
    // The memory layout does not matter.
    let table = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]).view([2, 2]);
    assert_eq!(verdict(&table.transpose(0, 1), &table.transpose(0, 1).contiguous()), Same);
    let ids = |last: i64| Tensor::from_slice(&[7, last]);
    assert_eq!(verdict(&ids(8), &ids(8)), Same);
    assert_eq!(verdict(&ids(8), &ids(6)), Differs { largest: 2.0, relative: 0.25 });
}

#[test]
fn every_format_that_import_reads_can_be_compared() {
    let read = |name: &str| compare::read(&fixtures().join(name)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (folder, file) in [
        ("foreign/sharded", "model.safetensors.index.json"),
        ("foreign/bin", "pytorch_model.bin"),
        ("foreign/base", "model.safetensors"),
        ("tf", "model.ckpt-7"),
        ("tf", "model.ckpt-7.index"),
        ("tf", "model.ckpt-7.data-00000-of-00001"),
    ] {
        let whole = read(folder);
        assert!(whole.len() > 20, "{folder} has {} tensors", whole.len());
        let copy = dir.path().join("copy.safetensors");
        tensors::write(&copy, &whole).unwrap();
        for found in [read(&format!("{folder}/{file}")), compare::read(&copy).unwrap()] {
            let comparison = compare(&whole, &found);
            assert!(comparison.same() && found.len() == whole.len(), "{file}: {comparison:?}");
        }
    }
    // The values that were saved with TensorFlow.
    assert!(compare(&read("tf"), &read("tf/expected.safetensors")).same());
}

#[test]
fn errors_name_the_path_without_weights() {
    let dir = tempfile::tempdir().unwrap();
    let error = |name: &str| compare::read(&dir.path().join(name)).unwrap_err().to_string();
    let empty = error("");
    assert!(empty.contains("no model.safetensors, pytorch_model.bin"), "{empty}");
    assert!(empty.contains("no TensorFlow checkpoint"), "{empty}");
    fs::write(dir.path().join("notes.txt"), "x").unwrap();
    assert!(error("notes.txt").contains("notes.txt: expected a .safetensors, .bin or .pt file"));
    assert!(error("gone.safetensors").contains("gone.safetensors does not exist"));
    assert!(error("gone.index").contains("gone.index: no such file"));
    // A run has several checkpoints.
    fs::create_dir_all(dir.path().join("run/checkpoints/step-0000002")).unwrap();
    for file in ["config.toml", "manifest.json"] {
        fs::write(dir.path().join("run").join(file), "").unwrap();
    }
    let run = error("run");
    assert!(run.contains("run is a run folder, not a checkpoint; use one of its"), "{run}");
    assert!(run.ends_with("run/checkpoints/step-0000002"), "{run}");
}

/// Equal weights in different parts are different networks.
#[test]
fn the_parts_of_networks_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, file: &str, text: &str| {
        fs::create_dir_all(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join(file), text).unwrap();
        parts(&dir.path().join(name)).unwrap()
    };
    let state =
        |attention: &str| format!(r#"{{"parts": ["attention={attention}", "sharing=tied"]}}"#);
    let softmax = write("a", "state.json", &state("softmax"));
    let mix = write("b", "state.json", &state("mix"));
    let differs = ("attention".to_owned(), "softmax".to_owned(), "mix".to_owned());
    assert_eq!(different_parts(&softmax, &mix), std::slice::from_ref(&differs));
    assert_eq!(different_parts(&mix, &mix), []);
    // A model folder does not name the sharing, and a file is that of its folder.
    let config = fs::read_to_string(fixtures().join("foreign/bin/config.json")).unwrap();
    let model = write("c", "config.json", &config);
    assert_eq!(different_parts(&model, &mix), [differs]);
    assert_eq!(parts(&dir.path().join("b/model.safetensors")), Some(mix));
    assert_eq!(parts(&dir.path().join("nowhere")), None);
}
