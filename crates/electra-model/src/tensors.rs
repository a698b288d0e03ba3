//! Strict safetensors: a file must have exactly the tensors of the model.
//!
//! `tch`'s own loader adopts the file's kinds and ignores extra tensors; this one compares names,
//! shapes and kinds in both directions and lists every difference.

use crate::{
    error::{Error, Result},
    formats::{START, instead},
};
use safetensors::{Dtype, SafeTensorError, SafeTensors, View, serialize_to_file};
use serde::Deserialize;
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    io::Read,
    path::Path,
};
use tch::{Kind, Tensor, nn, no_grad};

/// Named tensors.
pub type Named = Vec<(String, Tensor)>;

/// The variables of a store, sorted by name.
///
/// # Errors
/// [`Error::DuplicateVariable`] for a duplicate name: tch renames the second to `name__1`.
pub fn variables(vs: &nn::VarStore) -> Result<Named> {
    let mut all: Named = vs.variables().into_iter().collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    match all.iter().find(|(name, _)| name.contains("__")) {
        Some((name, _)) => {
            let original = name.split("__").next().unwrap_or(name);
            Err(Error::DuplicateVariable(original.to_owned()))
        }
        None => Ok(all),
    }
}

/// Writes tensors, made contiguous, with Hugging Face's metadata (`format = pt`).
///
/// # Errors
/// [`Error::Files`] or [`Error::Format`] naming the file, also for kinds that safetensors does not support.
pub fn write(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    write_with(path, tensors, &[])
}

/// [`write()`] with additional metadata.
///
/// # Errors
/// As [`write()`].
pub fn write_with(
    path: &Path,
    tensors: &[(String, Tensor)],
    more: &[(&str, String)],
) -> Result<()> {
    let views = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), Bytes::new(tensor, path)?)))
        .collect::<Result<Vec<_>>>()?;
    // The crate writes a hash map in its random order. For equal bytes each time, make maps until one is in sorted order.
    let metadata = std::iter::repeat_with(|| {
        let mut map = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        map.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        map
    })
    .find(|map| map.keys().is_sorted())
    .expect("the iterator is infinite");
    serialize_to_file(views, Some(metadata), path).map_err(|e| match e {
        SafeTensorError::IoError(error) => Error::io(path)(error),
        other => Error::format(path, other),
    })
}

/// Reads every tensor of a file, on the CPU, sorted by name.
///
/// # Errors
/// [`Error::Files`] if it cannot be read, [`Error::Format`] if it is not a valid safetensors file.
pub fn read(path: &Path) -> Result<Named> {
    let bytes = electra_files::read_bytes(path)?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| Error::format(path, problem(&bytes, error)))?;
    let mut tensors = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let kind = kind(view.dtype()).ok_or_else(|| {
                Error::format(
                    path,
                    format!("tensor {name:?}: unsupported dtype {:?}", view.dtype()),
                )
            })?;
            let invalid_shape = |e: &dyn std::fmt::Display| {
                Error::format(
                    path,
                    format!("tensor {name:?}: invalid shape {:?}: {e}", view.shape()),
                )
            };
            let shape =
                view.shape().iter().map(|&d| i64::try_from(d)).collect::<Result<Vec<_>, _>>();
            let shape = shape.map_err(|e| invalid_shape(&e))?;
            let tensor = Tensor::f_from_data_size(view.data(), &shape, kind);
            let tensor = tensor.map_err(|e| invalid_shape(&electra_torch::Error::from(e)))?;
            Ok((name, tensor))
        })
        .collect::<Result<Named>>()?;
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tensors)
}

/// The metadata of a file: `__metadata__` in its header.
///
/// # Errors
/// [`Error::Files`] if it cannot be read, [`Error::Format`] if its header is invalid.
pub fn metadata(path: &Path) -> Result<HashMap<String, String>> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__", default)]
        metadata: HashMap<String, String>,
    }
    let mut file = electra_files::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(invalid(path))?;
    // `take` allocates no more than the file has, whatever length it claims.
    let mut header = Vec::new();
    file.take(u64::from_le_bytes(length)).read_to_end(&mut header).map_err(Error::io(path))?;
    let header: Header = serde_json::from_slice(&header).map_err(invalid(path))?;
    Ok(header.metadata)
}

/// Why a file is not a safetensors file: what it is instead, or where it is damaged.
fn problem(bytes: &[u8], error: SafeTensorError) -> String {
    // Its header has a length of at most 100 MB.
    let instead =
        if bytes.get(8) == Some(&b'{') { None } else { instead(&bytes[..bytes.len().min(START)]) };
    match (instead, error) {
        (Some(instead), _) => instead.to_owned(),
        (None, SafeTensorError::HeaderTooLarge | SafeTensorError::InvalidHeaderLength) => {
            let size = bytes.len();
            format!(
                "invalid safetensors file: the header's length exceeds the file of {size} bytes; the file is truncated or damaged: \
                 download or copy it again"
            )
        }
        (None, SafeTensorError::HeaderTooSmall) => {
            "invalid safetensors file: shorter than a header; download or copy it again".to_owned()
        }
        (None, SafeTensorError::MetadataIncompleteBuffer) => {
            format!(
                "invalid safetensors file: the tensors do not cover its {} bytes exactly; the file is truncated or damaged: \
                 download or copy it again",
                bytes.len()
            )
        }
        (None, error) => format!("invalid safetensors file: {error}"),
    }
}

fn invalid<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> Error {
    move |e| Error::format(path, format!("invalid safetensors file: {e}"))
}

/// Copies a file's tensors into a model's variables. Every name must be on both sides, except those that
/// `file_may_have` or `model_may_have` accepts on one side only.
///
/// # Errors
/// [`Error::Mismatch`] listing every missing or unexpected tensor and every different shape or kind.
pub fn load(
    path: &Path,
    file: &[(String, Tensor)],
    model: &[(String, Tensor)],
    file_may_have: impl Fn(&str) -> bool,
    model_may_have: impl Fn(&str) -> bool,
) -> Result<()> {
    let by_name: HashMap<&str, &Tensor> = file.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let expected: HashSet<&str> = model.iter().map(|(name, _)| name.as_str()).collect();
    let mut differences = Vec::new();
    for (name, variable) in model {
        match by_name.get(name.as_str()) {
            None if model_may_have(name) => {}
            None => {
                differences.push(format!("missing from the file: {name} {:?}", variable.size()))
            }
            Some(t) if t.size() != variable.size() => differences.push(format!(
                "{name}: the file has shape {:?}, the model {:?}",
                t.size(),
                variable.size()
            )),
            Some(t) if t.kind() != variable.kind() => differences.push(format!(
                "{name}: the file has kind {:?}, the model {:?}",
                t.kind(),
                variable.kind()
            )),
            Some(_) => {}
        }
    }
    for (name, tensor) in file {
        if !expected.contains(name.as_str()) && !file_may_have(name) {
            differences.push(format!("not in the model: {name} {:?}", tensor.size()));
        }
    }
    if !differences.is_empty() {
        return Err(Error::Mismatch { path: path.to_owned(), differences });
    }
    no_grad(|| {
        for (name, variable) in model {
            if let Some(tensor) = by_name.get(name.as_str()) {
                variable.shallow_clone().f_copy_(tensor)?;
            }
        }
        Ok(())
    })
}

/// A tensor whose bytes are copied only when the file is written.
struct Bytes {
    tensor: Tensor,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl Bytes {
    fn new(tensor: &Tensor, path: &Path) -> Result<Self> {
        let dtype = dtype(tensor.kind()).ok_or_else(|| {
            Error::format(path, format!("cannot write tensors of kind {:?}", tensor.kind()))
        })?;
        let tensor = tensor.detach().to_device(tch::Device::Cpu).contiguous();
        let shape = tensor.size().iter().map(|&d| d as usize).collect();
        Ok(Self { tensor, dtype, shape })
    }
}

impl View for Bytes {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = vec![0; self.data_len()];
        self.tensor.copy_data_u8(&mut bytes, self.tensor.numel());
        Cow::Owned(bytes)
    }
    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}

const KINDS: [(Dtype, Kind); 7] = [
    (Dtype::F32, Kind::Float),
    (Dtype::F64, Kind::Double),
    (Dtype::F16, Kind::Half),
    (Dtype::BF16, Kind::BFloat16),
    (Dtype::I64, Kind::Int64),
    (Dtype::I32, Kind::Int),
    (Dtype::U8, Kind::Uint8),
];

fn kind(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(d, _)| *d == dtype).map(|(_, k)| *k)
}

fn dtype(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|(_, k)| *k == kind).map(|(d, _)| *d)
}
