//! `electra compare`: exit codes, and the weight formats that it reads.

use crate::{electra, output};
use electra_model::tensors;
use tch::Tensor;

#[test]
fn signed_zeros_are_unequal_but_within_any_tolerance() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    for (name, values) in [("a", [0f32, 1.0]), ("b", [-0.0, 1.0])] {
        let path = dir.join(format!("{name}.safetensors"));
        tensors::write(&path, &[("x".to_owned(), Tensor::from_slice(&values))]).unwrap();
    }
    let files = "compare {}/a.safetensors {}/b.safetensors";
    let differs = electra(dir, files).failure().code(1);
    let printed = String::from_utf8_lossy(&differs.get_output().stdout).into_owned();
    assert!(printed.ends_with("1 tensors, 1 unequal, largest difference 0.000e0\n"), "{printed}");
    let within = output(dir, &format!("{files} --tolerance 0"));
    assert!(within.ends_with("1 tensors, 0 unequal, largest difference 0.000e0\n"), "{within}");
    output(dir, "compare {}/b.safetensors {}/b.safetensors");
}

#[test]
fn sharded_weights_and_tensorflow_checkpoints_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = "tests/fixtures";
    for (first, second) in [
        ("tf", "tf/model.ckpt-7.index"),
        ("tf/model.ckpt-7", "tf/expected.safetensors"),
        ("foreign/sharded", "foreign/sharded/model.safetensors.index.json"),
        ("foreign/bin", "foreign/bin/pytorch_model.bin"),
    ] {
        let same =
            output(folder.path(), &format!("compare {fixtures}/{first} {fixtures}/{second}"));
        assert!(same.contains(" tensors, 0 unequal, "), "{first}: {same}");
    }
}
