//! Finds and reads the weights of a folder.

use crate::{Error, Result, formats::pickle, tensors, tensors::Named};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

/// The index of a sharded model.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

type Reader = fn(&Path) -> Result<Named>;

/// File names of unsharded weights, in search order.
const SINGLE: [(&str, Reader); 2] =
    [("model.safetensors", tensors::read), ("pytorch_model.bin", pickle::read)];

/// Suffix of an index's file name.
const INDEX: &str = ".index.json";

/// The first that exists of `model.safetensors`, its shard index, `pytorch_model.bin` and its shard index, as in
/// `transformers`.
pub(crate) fn find(dir: &Path) -> Option<PathBuf> {
    SINGLE
        .iter()
        .flat_map(|(name, _)| [dir.join(name), dir.join(format!("{name}{INDEX}"))])
        .find(|path| path.exists())
}

/// Reads the weights that [`find`] finds; also returns the path of the file or index.
pub(super) fn read(dir: &Path) -> Result<(PathBuf, Named)> {
    let path = find(dir).ok_or_else(|| {
        Error::format(dir, "no model.safetensors, pytorch_model.bin or index of either")
    })?;
    let tensors = read_file(&path)?;
    Ok((path, tensors))
}

/// Reads a safetensors or PyTorch file, or the shards that an index names.
pub(crate) fn read_file(path: &Path) -> Result<Named> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (whole, shards) = match name.strip_suffix(INDEX) {
        Some(whole) => (whole, true),
        None => (&*name, false),
    };
    let reader = match Path::new(whole).extension().and_then(|e| e.to_str()) {
        Some("safetensors") => tensors::read,
        Some("bin" | "pt") => pickle::read,
        _ => {
            return Err(Error::format(
                path,
                "expected a .safetensors, .bin or .pt file, or its index",
            ));
        }
    };
    match shards {
        true => read_shards(path, reader),
        false => reader(path),
    }
}

fn read_shards(index: &Path, reader: Reader) -> Result<Named> {
    let dir = index.parent().unwrap_or(Path::new(""));
    let text = fs::read_to_string(index).map_err(Error::io(index))?;
    let map: Index = serde_json::from_str(&text).map_err(|e| Error::format(index, e))?;
    let files: BTreeSet<&String> = map.weight_map.values().collect();
    let mut all = Named::new();
    let mut differences = Vec::new();
    for file in files {
        let inside = Path::new(file).components().collect::<Vec<_>>();
        if !matches!(inside.as_slice(), [Component::Normal(_)]) {
            let message = format!("{file:?} is outside the folder: expected a plain file name");
            return Err(Error::format(index, message));
        }
        let path = dir.join(file);
        if !path.is_file() {
            return Err(Error::format(index, format!("shard {file:?} is missing from the folder")));
        }
        for (name, tensor) in reader(&path)? {
            match map.weight_map.get(&name) {
                Some(place) if place == file => all.push((name, tensor)),
                Some(place) => {
                    differences.push(format!("{name} is in {file}, but the index says {place}"))
                }
                None => differences.push(format!("{name} is in {file}, but not in the index")),
            }
        }
    }
    let found: BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let missing = map.weight_map.iter().filter(|(name, _)| !found.contains(name.as_str()));
    differences.extend(
        missing
            .map(|(name, file)| format!("{name} is missing from {file}, where the index has it")),
    );
    if !differences.is_empty() {
        return Err(Error::Mismatch { path: index.to_owned(), differences });
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}
