//! Reads the files of PyTorch before 1.6: pickles of a magic number, the format's version, facts about the machine, the state
//! dict and the list of storage keys; then each storage, its number of elements before its bytes.
//!
//! Source: `_legacy_save` in `torch/serialization.py`.

use super::{
    machine::{MAX_PROGRAM, Pickle},
    storages::tensors,
    view::Storage,
};
use crate::tensors::Named;
use std::{
    collections::HashMap,
    io::{Read, Seek, SeekFrom},
    rc::Rc,
};

/// The version of the format.
const VERSION: i64 = 1001;

/// Reads a file of `length` bytes.
pub(super) fn parse(mut file: impl Read + Seek, length: u64) -> Result<Named, String> {
    let mut head = Vec::new();
    file.rewind()
        .and_then(|()| file.by_ref().take(2 * MAX_PROGRAM as u64).read_to_end(&mut head))
        .map_err(|e| e.to_string())?;
    let mut at = 0;
    let mut next = |what: &str| {
        let pickle = Pickle::run(&head[at..]).map_err(|e| format!("{what}: {e}"))?;
        at += pickle.length;
        Ok::<_, String>(pickle)
    };
    if !next("magic number").is_ok_and(|pickle| pickle.is_magic()) {
        return Err("a pickle, but not one that torch.save wrote".to_owned());
    }
    match next("version")?.integer() {
        Some(VERSION) => {}
        Some(other) => return Err(format!("version {other} is not supported, only {VERSION}")),
        None => return Err("no version after the magic number".to_owned()),
    }
    if next("system")?.flag("little_endian") != Some(true) {
        return Err("big-endian files are not supported".to_owned());
    }
    let object = next("state dict")?;
    let state = object.state_dict().map_err(|e| format!("state dict: {e}"))?;
    let keys =
        next("storage keys")?.strings().ok_or("the storage keys are not a list of strings")?;

    let known: HashMap<&str, &Storage> =
        object.storages().map(|storage| (&*storage.key, storage)).collect();
    let mut end = at as u64;
    file.seek(SeekFrom::Start(end)).map_err(|e| e.to_string())?;
    let mut storages = HashMap::new();
    for key in keys {
        let about = |message: String| format!("storage {key:?}: {message}");
        let storage = known.get(&*key).ok_or_else(|| about("not in the state dict".to_owned()))?;
        let mut elements = [0; 8];
        file.read_exact(&mut elements).map_err(|e| about(e.to_string()))?;
        let elements = u64::from_le_bytes(elements);
        let size = elements.checked_mul(storage.kind.elt_size_in_bytes() as u64);
        let size = size.filter(|size| end.checked_add(8 + size).is_some_and(|end| end <= length));
        let size = size.ok_or_else(|| {
            about(format!("{elements} elements exceed the file of {length} bytes: it is truncated"))
        })?;
        let mut bytes = vec![0; size as usize];
        file.read_exact(&mut bytes).map_err(|e| about(e.to_string()))?;
        storages.insert(Rc::clone(&key), storage.tensor(&bytes).map_err(about)?);
        end += 8 + size;
    }
    tensors(&state, length, storages, |storage| {
        Err(format!("storage {:?} is missing", storage.key))
    })
}
