//! Reads PyTorch's `pytorch_model.bin`, a ZIP of a pickle and raw storages, without executing code.
//!
//! A pickle is a program for a stack machine that may call any function. This reader supports only the opcodes and
//! names of a state dict of plain tensors, and rejects all others by name. Its memory is bounded by the file: members do
//! not overlap, each storage is read once and tensors are views of it, all tensors together claim at most twice the file
//! size (a tied matrix has two names), and the program size is limited.
//!
//! Source: Python's `pickletools`; the names in `torch._utils` and `torch.storage`.

mod archive;
mod machine;
mod view;

use crate::{Error, Result, tensors::Named};
use archive::Archive;
use machine::state_dict;
use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, Read, Seek},
    path::Path,
    rc::Rc,
};
use tch::Tensor;
use view::Storage;

/// Maximum total size of the tensors, in multiples of the file size: a tied matrix has two names.
const MAX_CLAIM: u64 = 2;

/// Reads the tensors of a `pytorch_model.bin`, on the CPU, sorted by name. Tensors that share a storage in the file
/// share memory.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; [`Error::Format`] if it is damaged, in the legacy format without a ZIP, or has
/// anything but plain tensors.
pub fn read(path: &Path) -> Result<Named> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    parse(BufReader::new(file), length).map_err(|message| Error::format(path, message))
}

/// [`read`] for any reader of `length` bytes.
fn parse(mut file: impl Read + Seek, length: u64) -> Result<Named, String> {
    let mut start = Vec::new();
    file.by_ref().take(2).read_to_end(&mut start).map_err(|e| e.to_string())?;
    if start == [0x80, 0x02] {
        return Err(LEGACY.to_owned());
    }
    let mut archive = Archive::open(file, length)?;
    let program = archive.read("data.pkl")?;
    if archive.has("byteorder") {
        let order = archive.read("byteorder")?;
        if order != b"little" {
            let order = String::from_utf8_lossy(&order).into_owned();
            return Err(format!("byte order {order:?} is not supported, only \"little\""));
        }
    }
    let state = state_dict(&program).map_err(|e| format!("data.pkl: {e}"))?;

    let mut storages: HashMap<Rc<str>, Tensor> = HashMap::new();
    let mut claimed: u64 = 0;
    let mut tensors = Named::new();
    for (name, view) in state {
        let about = |message: String| format!("tensor {name:?}: {message}");
        let Storage { key, kind, .. } = &view.storage;
        if !storages.contains_key(key) {
            let bytes = archive.read(&format!("data/{key}")).map_err(about)?;
            let tensor = view.storage.tensor(&bytes).map_err(about)?;
            storages.insert(Rc::clone(key), tensor);
        }
        let storage = &storages[key];
        if storage.kind() != *kind {
            let found = storage.kind();
            return Err(about(format!("storage {key:?} is used as both {found:?} and {kind:?}")));
        }
        let tensor = view.tensor(storage).map_err(about)?;
        claimed += (tensor.numel() * kind.elt_size_in_bytes()) as u64;
        if claimed > length.saturating_mul(MAX_CLAIM) {
            return Err(about(format!(
                "tensors up to this one claim {claimed} bytes, more than {MAX_CLAIM} times the file size of {length}"
            )));
        }
        tensors.push((name.to_string(), tensor));
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tensors)
}

const LEGACY: &str = "the legacy format of PyTorch before 1.6 (not a ZIP) is not supported; convert it once: \
    python -c \"import torch, sys; torch.save(torch.load(sys.argv[1], weights_only=True), sys.argv[1])\" FILE";

#[cfg(test)]
mod tests {
    use super::{view::TensorView, *};
    use tch::Kind;

    /// The pickle that `torch.save({"w": torch.zeros(2, 3)})` writes, opcode by opcode.
    fn program() -> Vec<u8> {
        let mut p =
            b"\x80\x02}q\x00X\x01\x00\x00\x00wq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02"
                .to_vec();
        p.extend(
            b"((X\x07\x00\x00\x00storageq\x03ctorch\nFloatStorage\nq\x04X\x01\x00\x00\x000q\x05",
        );
        p.extend(
            b"X\x03\x00\x00\x00cpuq\x06K\x06tq\x07QK\x00K\x02K\x03\x86q\x08K\x03K\x01\x86q\x09\x89",
        );
        p.extend(b"ccollections\nOrderedDict\nq\x0a)Rq\x0btq\x0cRq\x0ds.");
        p
    }

    #[test]
    fn a_state_dict_is_read() {
        let state = state_dict(&program()).expect("valid");
        let storage = Storage { kind: Kind::Float, key: "0".into(), elements: 6 };
        let view = TensorView { storage, offset: 0, shape: vec![2, 3], strides: vec![3, 1] };
        assert_eq!(state, [("w".into(), Rc::new(view))]);
    }

    #[test]
    fn a_function_that_no_tensor_needs_is_rejected_by_name() {
        let attack = b"\x80\x02cposix\nsystem\nX\x07\x00\x00\x00echo hi\x85R.";
        let error = state_dict(attack).expect_err("it would run a command");
        assert!(error.contains("refers to posix.system, which no tensor needs"), "{error}");
    }

    #[test]
    fn views_that_exceed_their_storage_are_rejected() {
        let storage = Storage { kind: Kind::Float, key: "0".into(), elements: 6 };
        let view = |offset, shape: &[u64], strides: &[u64]| TensorView {
            storage: storage.clone(),
            offset,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
        };
        let whole = storage.tensor(&[0; 24]).expect("valid");
        let transposed = view(0, &[3, 2], &[1, 3]).tensor(&whole).expect("within the storage");
        assert_eq!(transposed.size(), [3, 2]);
        for invalid in [
            view(1, &[2, 3], &[3, 1]),
            view(0, &[7], &[1]),
            view(0, &[1 << 40], &[0]),
            view(u64::MAX, &[2], &[u64::MAX]),
            view(0, &[2], &[3, 1]),
        ] {
            invalid.tensor(&whole).expect_err("exceeds the storage");
        }
        storage.tensor(&[0; 20]).expect_err("the storage is truncated");
        view(0, &[2, 3], &[3, 1]).tensor(&whole.narrow(0, 0, 5)).expect_err("another size");
    }

    #[test]
    fn the_size_of_a_program_is_limited() {
        let program = vec![b'N'; machine::MAX_PROGRAM + 1];
        let error = state_dict(&program).expect_err("too long");
        assert!(error.contains("the limit is 4194304"), "{error}");
    }
}
