//! A corpus of small valid, damaged and malicious files (`tests/corpus/make.py`), and the error for each.

use electra_model::{
    Result,
    formats::{bundle, pickle},
    tensors::{self, Named},
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use tch::{Kind, Tensor};

/// The folder of a format.
pub(crate) fn folder(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(format)
}

/// Checks the six values in a valid file.
fn check_valid(name: &str, found: &Named) {
    let first = &found[0].1;
    let values = Vec::<f64>::try_from(first.to_kind(Kind::Double).flatten(0, -1)).unwrap();
    match name {
        "ok-nan" => assert!(values[1].is_nan() && values[5] == 6.0, "{values:?}"),
        "ok-empty" => assert_eq!(first.size(), [0, 3]),
        "ok-transposed" => assert_eq!(values, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
        _ => {
            let tied = found.iter().find(|(name, _)| name == "w").map_or(first, |(_, t)| t);
            let expected = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]).view([2, 3]);
            assert_eq!(*tied, expected, "{name}");
        }
    }
}

/// Reads every file of a format: `ok-*` are valid, the others are rejected with an error that names the file and the reason.
fn check(format: &str, suffix: &str, read: fn(&Path) -> Result<Named>, rejected: &[(&str, &str)]) {
    let folder = folder(format);
    let names: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().to_str()?.strip_suffix(suffix).map(str::to_owned)
        })
        .collect();
    let listed: BTreeSet<_> = rejected.iter().map(|(name, _)| (*name).to_owned()).collect();
    let invalid: BTreeSet<_> =
        names.iter().filter(|name| !name.starts_with("ok-")).cloned().collect();
    assert_eq!(invalid, listed);
    for name in names.difference(&invalid) {
        check_valid(name, &read(&folder.join(format!("{name}{suffix}"))).unwrap());
    }
    for (name, reason) in rejected {
        let error = read(&folder.join(format!("{name}{suffix}"))).unwrap_err().to_string();
        let named = error.contains(&format!("{format}/{name}."));
        assert!(named && error.contains(reason), "{name}: {reason:?} in {error}");
    }
}

#[test]
fn pytorch_files() {
    check(
        "pickle",
        ".bin",
        pickle::read,
        &[
            ("many-names", "more than 2 times the file size"),
            ("overlapping-members", "claims 4096 bytes at"),
            ("long-name", "has a name of 600 bytes, the limit is 512"),
            ("long-key", "has a name of 600 bytes, the limit is 512"),
            ("foreign-opcode", "opcode 'i' (0x69) is not supported"),
            ("foreign-object", "(0x81) is not supported"),
            (
                "foreign-global",
                "refers to posix.system, which no tensor needs: rejected without executing anything",
            ),
            (
                "compressed",
                "is compressed or encrypted, which PyTorch does not do (65536 bytes in 78,",
            ),
            ("encrypted", "is compressed or encrypted"),
            ("claims-a-terabyte", "claims 1099511627776 bytes at"),
            ("claims-more-stored", "(1099511627776 bytes in 24,"),
            (
                "storage-claims-a-terabyte",
                "claims 274877906944 elements of 4 bytes but has 24 bytes",
            ),
            ("shape-claims-a-terabyte", "exceeds the storage of 6"),
            ("shape-overflows", "exceeds the storage of 6"),
            ("view-exceeds-storage", "at offset 1 exceeds the storage of 6"),
            ("negative-size", "expected a size, not -1"),
            ("storage-of-two-kinds", "is used as both Float and Int"),
            ("truncated", "no end record"),
            ("truncated-half", "no end record"),
            ("truncated-storage", "no end record"),
            ("flipped-bit", "member \"x/data/0\" is damaged (CRC-32 mismatch)"),
            ("big-endian", "byte order \"big\""),
            ("no-storage", "member \"x/data/7\" is missing"),
            ("not-a-dict", "is not a dict of tensors"),
            (
                "not-a-tensor",
                "\"step\" is not a plain tensor; for a training checkpoint, save only",
            ),
            ("key-not-a-string", "has a key that is not a string"),
            ("no-stop", "the program is truncated"),
            ("empty-stack", "the stack is empty"),
            ("empty-memo", "no memo entry 7"),
            ("duplicate-member", "duplicate member \"x/data/0\""),
            ("two-pickles", "expected one member NAME/data.pkl, found 2"),
            ("legacy-magic-alone", "version: byte 0: the program is truncated"),
            ("legacy-other-pickle", "not one that torch.save wrote"),
            ("legacy-version", "version 1002 is not supported, only 1001"),
            ("legacy-big-endian", "big-endian files are not supported"),
            ("legacy-claims-a-terabyte", "1099511627776 elements exceed the file of"),
            ("legacy-other-size", "claims 6 elements of 4 bytes but has 20 bytes"),
            ("legacy-negative-size", "18446744073709551615 elements exceed the file"),
            ("legacy-truncated", "6 elements exceed the file of"),
            ("legacy-foreign-global", "refers to posix.system, which no tensor needs"),
            ("legacy-part-of-a-storage", "a storage that is a part of another one"),
            ("legacy-unknown-storage", "storage \"7\": not in the state dict"),
            ("legacy-no-storage", "storage \"0\" is missing"),
            ("page", "the file is an HTML page"),
            ("safetensors", "a safetensors file: rename it to model.safetensors"),
            ("empty", "the file is empty"),
        ],
    );
}

#[test]
fn tensorflow_checkpoints() {
    check(
        "bundle",
        ".index",
        |path| bundle::read(&path.with_extension("")),
        &[
            ("repeated-block", "block at 18 overlaps the previous one, which ends at 31"),
            ("growing-names", "names take more than 16 times the file size"),
            ("overlapping-tensors", "tensors \"a\" and \"b\" overlap"),
            ("many-overlapping-tensors", "overlap"),
            ("claims-a-terabyte", "claims 1099511627776 bytes at offset 0, but the file has 24"),
            ("wrong-shape", "does not match the claimed size of 24 bytes"),
            ("shape-overflows", "does not match the claimed size of 24 bytes"),
            ("negative-size", "does not match the claimed size of -24 bytes"),
            ("negative-offset", "does not match the claimed size of 24 bytes"),
            ("offset-overflows", "claims 24 bytes at offset 9223372036854775807"),
            ("truncated-index", "magic number"),
            ("truncated-footer", "shorter than the footer"),
            ("truncated-data", "claims 24 bytes at offset 0, but the file has 23"),
            ("flipped-index", "block at 0 is damaged (CRC-32C mismatch)"),
            ("flipped-data", "damaged (CRC-32C mismatch)"),
            ("no-data", "no such file"),
            ("compressed", "is compressed"),
            ("big-endian", "big-endian files are not supported"),
            ("no-header", "no header"),
            ("unsorted-names", "names are not sorted"),
            ("long-shared-prefix", "shared prefix is longer than the previous name"),
            ("too-many-restarts", "restart count exceeds the block"),
            ("partitioned", "partitioned variables are not supported"),
            ("string-tensor", "TensorFlow data type 7 is not supported"),
            ("invalid-entry", "failed to decode"),
            ("other-shard", "no such file"),
        ],
    );
}

#[test]
fn safetensors_files() {
    check(
        "safetensors",
        ".safetensors",
        tensors::read,
        &[
            ("header-claims-a-terabyte", "the header's length exceeds the file of"),
            ("header-claims-all", "the header's length exceeds the file of"),
            ("claims-a-terabyte", "do not cover its"),
            ("wrong-shape", "invalid shape, data type, or offset"),
            ("shape-overflows", "overflow computing buffer size"),
            ("empty-and-huge", "tensor \"w\": invalid shape [9223372036854775808, 0]"),
            ("overlapping-tensors", "invalid offset for tensor `"),
            ("gap", "invalid offset for tensor `a`"),
            ("end-before-begin", "invalid offset for tensor `w`"),
            ("more-data", "do not cover its"),
            ("truncated", "do not cover its"),
            ("truncated-header", "the header's length exceeds the file of"),
            ("truncated-length", "shorter than a header"),
            ("not-json", "invalid JSON in header"),
            ("nested", "recursion limit exceeded"),
            ("not-utf8", "invalid UTF-8 in header"),
            ("unsupported-kind", "unsupported dtype F8_E4M3"),
            ("unknown-kind", "unknown variant `Q4`"),
            ("negative-size", "invalid value: integer `-2`"),
        ],
    );
}
