//! The corpus of small files, whole ones, damaged ones and attacks (`tests/corpus/make.py`): what each reader says.

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

/// One of the formats' folders.
pub(crate) fn folder(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(format)
}

/// The six numbers that every whole file has.
fn is_whole(name: &str, found: &Named) {
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

/// Reads every file of a format: `ok-*` are whole, and each of the others is refused with its name and a reason.
fn check(format: &str, ending: &str, read: fn(&Path) -> Result<Named>, refused: &[(&str, &str)]) {
    let folder = folder(format);
    let names: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().to_str()?.strip_suffix(ending).map(str::to_owned)
        })
        .collect();
    let listed: BTreeSet<_> = refused.iter().map(|(name, _)| (*name).to_owned()).collect();
    let bad: BTreeSet<_> = names.iter().filter(|name| !name.starts_with("ok-")).cloned().collect();
    assert_eq!(bad, listed);
    for name in names.difference(&bad) {
        is_whole(name, &read(&folder.join(format!("{name}{ending}"))).unwrap());
    }
    for (name, reason) in refused {
        let error = read(&folder.join(format!("{name}{ending}"))).unwrap_err().to_string();
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
            ("many-names", "more than 2 times the file's"),
            ("members-at-one-place", "claims 4096 bytes at"),
            ("long-name", "has a name of 600 bytes, at most 512"),
            ("long-key", "has a name of 600 bytes, at most 512"),
            ("foreign-opcode", "opcode 'i' (0x69) is not among those that tensors need"),
            ("foreign-object", "(0x81) is not among those"),
            (
                "foreign-global",
                "names posix.system, which no tensor needs: refused, and nothing was executed",
            ),
            ("compressed", "claims 65536 bytes in 78 by method 8"),
            ("encrypted", "PyTorch compresses and encrypts nothing"),
            ("claims-a-terabyte", "claims 1099511627776 bytes at"),
            ("claims-more-stored", "claims 1099511627776 bytes in 24"),
            (
                "storage-claims-a-terabyte",
                "claims 274877906944 elements of 4 bytes and has 24 bytes",
            ),
            ("shape-claims-a-terabyte", "leaves its storage of 6"),
            ("shape-overflows", "leaves its storage of 6"),
            ("window-leaves-its-storage", "from element 1 leaves its storage of 6"),
            ("negative-size", "-1 where a size was expected"),
            ("two-kinds-of-one-storage", "is of Float and of Int"),
            ("truncated", "does not end as a ZIP does"),
            ("truncated-half", "does not end as a ZIP does"),
            ("truncated-storage", "does not end as a ZIP does"),
            ("flipped-bit", "member \"x/data/0\" is not what was written (CRC-32)"),
            ("big-endian", "byte order \"big\""),
            ("no-storage", "member \"x/data/7\" is not there"),
            ("no-dictionary", "is not a dictionary of tensors"),
            ("no-tensor", "\"step\" is not a plain tensor"),
            ("no-text", "has a key that is not a text"),
            ("no-end", "the program ends in the middle"),
            ("empty-stack", "takes from an empty stack"),
            ("nothing-remembered", "nothing is remembered at 7"),
            ("two-members-of-one-name", "two members \"x/data/0\""),
            ("two-pickles", "2 members named NAME/data.pkl"),
            ("old", "from before 1.6"),
            ("empty", "shorter than a ZIP's end"),
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
            ("block-visited-again", "a block at 18 where the one before it ends at 31"),
            ("names-grow", "its names have more than 16 times its bytes"),
            ("tensors-overlap", "tensors \"a\" and \"b\" have bytes in common"),
            ("one-place-many-tensors", "have bytes in common"),
            ("claims-a-terabyte", "claims 1099511627776 bytes from 0; the file has 24"),
            ("claims-another-shape", "does not have the 24 bytes that it claims"),
            ("shape-overflows", "does not have the 24 bytes that it claims"),
            ("negative-size", "does not have the -24 bytes"),
            ("negative-offset", "does not have the 24 bytes"),
            ("offset-overflows", "claims 24 bytes from 9223372036854775807"),
            ("truncated-index", "magic number"),
            ("truncated-footer", "shorter than a footer"),
            ("truncated-data", "claims 24 bytes from 0; the file has 23"),
            ("flipped-index", "the block at 0 is damaged (CRC-32C)"),
            ("flipped-data", "not those that were written (CRC-32C)"),
            ("no-data", "No such file"),
            ("compressed", "is compressed"),
            ("big-endian", "it is big-endian"),
            ("no-header", "it has no header"),
            ("not-in-order", "its names are not in order"),
            ("a-name-of-none", "a name that begins as none before it"),
            ("restarts-leave-the-block", "more restarts than a block has"),
            ("partitioned", "is a partitioned variable"),
            ("text", "TensorFlow's data type 7 is not read"),
            ("no-entry", "failed to decode"),
            ("other-shard", "No such file"),
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
            ("header-claims-a-terabyte", "header too large"),
            ("header-claims-all", "header too large"),
            ("claims-a-terabyte", "file not fully covered"),
            ("claims-another-shape", "invalid shape, data type, or offset"),
            ("shape-overflows", "overflow computing buffer size"),
            ("empty-and-huge", "tensor \"w\": no tensor has shape [9223372036854775808, 0]"),
            ("tensors-overlap", "invalid offset for tensor `"),
            ("gap", "invalid offset for tensor `a`"),
            ("end-before-begin", "invalid offset for tensor `w`"),
            ("more-data", "file not fully covered"),
            ("truncated", "file not fully covered"),
            ("truncated-header", "invalid header length"),
            ("truncated-length", "header too small"),
            ("no-json", "invalid JSON in header"),
            ("nested", "recursion limit exceeded"),
            ("not-a-text", "invalid UTF-8 in header"),
            ("foreign-kind", "is of kind F8_E4M3, which is not supported"),
            ("unknown-kind", "unknown variant `Q4`"),
            ("negative-size", "invalid value: integer `-2`"),
        ],
    );
}
