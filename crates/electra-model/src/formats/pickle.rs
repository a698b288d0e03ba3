//! Reads PyTorch's `pytorch_model.bin` without executing code: a ZIP of a pickle and raw storages, or before PyTorch 1.6
//! pickles followed by the storages (`legacy.rs`).
//!
//! A pickle is a program for a stack machine that may call any function. This reader supports only the opcodes and
//! names of a state dict of plain tensors, and rejects all others by name. Its memory is bounded by the file: members do
//! not overlap, each storage is read once and tensors are views of it, all tensors together claim at most twice the file
//! size (a tied matrix has two names), and the program size is limited.
//!
//! Source: Python's `pickletools`; the names in `torch._utils` and `torch.storage`.

mod archive;
mod legacy;
mod machine;
mod storages;
mod view;

use super::{PROTO, START, ZIP, instead};
use crate::{Error, Result, tensors::Named};
use archive::Archive;
use machine::{MAX_PROGRAM, Pickle};
use std::{
    collections::HashMap,
    io::{BufReader, Read, Seek},
    path::Path,
};
use storages::tensors;

/// Reads the tensors of a `pytorch_model.bin`, on the CPU, sorted by name. Tensors that share a storage in the file
/// share memory.
///
/// # Errors
/// [`Error::Files`] if it cannot be read; [`Error::Format`] if it is damaged, or has anything but plain tensors.
pub fn read(path: &Path) -> Result<Named> {
    let file = electra_files::open(path)?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    parse(BufReader::new(file), length).map_err(|message| Error::format(path, message))
}

/// [`read`] for any reader of `length` bytes.
fn parse(mut file: impl Read + Seek, length: u64) -> Result<Named, String> {
    let mut start = Vec::new();
    file.by_ref().take(START as u64).read_to_end(&mut start).map_err(|e| e.to_string())?;
    if start.first() == Some(&PROTO) {
        return legacy::parse(file, length);
    }
    if !start.starts_with(ZIP)
        && let Some(message) = instead(&start)
    {
        return Err(message.to_owned());
    }
    let mut archive = Archive::open(file, length)?;
    let program = archive.read("data.pkl")?;
    if program.len() > MAX_PROGRAM {
        return Err(format!("data.pkl: has {} bytes, the limit is {MAX_PROGRAM}", program.len()));
    }
    if archive.has("byteorder") {
        let order = archive.read("byteorder")?;
        if order != b"little" {
            let order = String::from_utf8_lossy(&order).into_owned();
            return Err(format!("byte order {order:?} is not supported, only \"little\""));
        }
    }
    let state = Pickle::run(&program).and_then(|pickle| pickle.state_dict());
    let state = state.map_err(|e| format!("data.pkl: {e}"))?;
    tensors(&state, length, HashMap::new(), |storage| {
        storage.tensor(&archive.read(&format!("data/{}", storage.key))?)
    })
}

#[cfg(test)]
mod tests {
    use super::{
        view::{Storage, TensorView},
        *,
    };
    use std::rc::Rc;
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
        let state = Pickle::run(&program()).and_then(|p| p.state_dict()).expect("valid");
        let storage = Storage { kind: Kind::Float, key: "0".into(), elements: 6 };
        let view = TensorView { storage, offset: 0, shape: vec![2, 3], strides: vec![3, 1] };
        assert_eq!(state, [("w".into(), Rc::new(view))]);
    }

    #[test]
    fn a_function_that_no_tensor_needs_is_rejected_by_name() {
        let attack = b"\x80\x02cposix\nsystem\nX\x07\x00\x00\x00echo hi\x85R.";
        let error = Pickle::run(attack).err().expect("it would run a command");
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
        let program = vec![b'N'; MAX_PROGRAM + 1];
        let error = Pickle::run(&program).err().expect("too long");
        assert!(error.contains("longer than 4194304 bytes"), "{error}");
    }
}
