//! The tensors of a state dict, as views of its storages.

use super::{machine::State, view::Storage};
use crate::tensors::Named;
use std::{collections::HashMap, rc::Rc};
use tch::Tensor;

/// Maximum total size of the tensors, in multiples of the file size: a tied matrix has two names.
const MAX_CLAIM: u64 = 2;

/// The tensors of a state dict in a file of `length` bytes: views of `storages`, to which `read` adds those that are
/// missing.
pub(super) fn tensors(
    state: &State,
    length: u64,
    mut storages: HashMap<Rc<str>, Tensor>,
    mut read: impl FnMut(&Storage) -> Result<Tensor, String>,
) -> Result<Named, String> {
    let mut claimed: u64 = 0;
    let mut tensors = Named::new();
    for (name, view) in state {
        let about = |message: String| format!("tensor {name:?}: {message}");
        let Storage { key, kind, .. } = &view.storage;
        if !storages.contains_key(key) {
            storages.insert(Rc::clone(key), read(&view.storage).map_err(about)?);
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
