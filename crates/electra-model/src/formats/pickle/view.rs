//! Tensors of a pickle: views of storages, checked before they are read.

use std::rc::Rc;
use tch::{Kind, Tensor};

/// A tensor as described by the pickle: a view of a storage.
#[derive(Debug, PartialEq)]
pub(super) struct TensorView {
    pub(super) storage: Storage,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Storage {
    pub(super) kind: Kind,
    pub(super) key: Rc<str>,
    pub(super) elements: u64,
}

impl Storage {
    /// The whole storage as a tensor `[elements]`.
    pub(super) fn tensor(&self, bytes: &[u8]) -> Result<Tensor, String> {
        let width = self.kind.elt_size_in_bytes() as u64;
        if self.elements.checked_mul(width) != Some(bytes.len() as u64) {
            return Err(format!(
                "storage {:?} claims {} elements of {width} bytes but has {} bytes",
                self.key,
                self.elements,
                bytes.len()
            ));
        }
        Tensor::f_from_data_size(bytes, &[self.elements as i64], self.kind)
            .map_err(|e| electra_torch::Error::from(e).to_string())
    }
}

impl TensorView {
    /// The tensor, given its storage `[elements]`.
    pub(super) fn tensor(&self, storage: &Tensor) -> Result<Tensor, String> {
        let available = storage.numel() as u64;
        if self.storage.elements != available {
            return Err(format!(
                "storage {:?} claims {} elements but has {available}",
                self.storage.key, self.storage.elements
            ));
        }
        if self.shape.len() != self.strides.len() {
            return Err(format!(
                "shape {:?} and strides {:?} differ in length",
                self.shape, self.strides
            ));
        }
        // Both the last element's index and the number of elements must be within the storage.
        let last = self.shape.iter().zip(&self.strides).try_fold(self.offset, |last, (&d, &s)| {
            last.checked_add(d.saturating_sub(1).checked_mul(s)?)
        });
        let count = self.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
        let inside = match (last, count) {
            (_, Some(0)) => true,
            (Some(last), Some(count)) => last < available && count <= available,
            _ => false,
        };
        if !inside {
            return Err(format!(
                "shape {:?} with strides {:?} at offset {} exceeds the storage of {available} elements",
                self.shape, self.strides, self.offset
            ));
        }
        let signed = |values: &[u64]| values.iter().map(|&x| x as i64).collect::<Vec<_>>();
        storage
            .f_as_strided(signed(&self.shape), signed(&self.strides), self.offset as i64)
            .map_err(|e| electra_torch::Error::from(e).to_string())
    }
}
