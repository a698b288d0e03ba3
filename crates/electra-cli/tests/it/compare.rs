//! `electra compare`: exit codes, and the forms of weights that it reads.

use crate::{electra, output};
use electra_model::tensors;
use tch::Tensor;

#[test]
fn zeros_of_either_sign_are_not_the_same_but_differ_by_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    for (name, values) in [("a", [0f32, 1.0]), ("b", [-0.0, 1.0])] {
        let path = dir.join(format!("{name}.safetensors"));
        tensors::write(&path, &[("x".to_owned(), Tensor::from_slice(&values))]).unwrap();
    }
    let files = "compare {}/a.safetensors {}/b.safetensors";
    let differs = electra(dir, files).failure().code(1);
    let said = String::from_utf8_lossy(&differs.get_output().stdout).into_owned();
    assert!(said.ends_with("1 names, 1 unequal, largest difference 0.000e0\n"), "{said}");
    let within = output(dir, &format!("{files} --tolerance 0"));
    assert!(within.ends_with("1 names, 0 unequal, largest difference 0.000e0\n"), "{within}");
    output(dir, "compare {}/b.safetensors {}/b.safetensors");
}

#[test]
fn shards_and_tensorflows_checkpoints_are_compared() {
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
        assert!(same.contains(" names, 0 unequal, "), "{first}: {same}");
    }
}
