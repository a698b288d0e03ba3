//! Which files of a folder hold its weights.

use crate::{Error, Result, formats::pickle, tensors, tensors::Named};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

/// The second kind of file of a sharded model.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Reads `model.safetensors`, the shards that its index names, `pytorch_model.bin` or its shards: the first
/// that is there, as `transformers` does. Also says which file it was.
pub(super) fn read(dir: &Path) -> Result<(PathBuf, Named)> {
    type Reader = fn(&Path) -> Result<Named>;
    const SINGLE: [(&str, Reader); 2] =
        [("model.safetensors", tensors::read), ("pytorch_model.bin", pickle::read)];
    for (name, reader) in SINGLE {
        let path = dir.join(name);
        if path.exists() {
            let tensors = reader(&path)?;
            return Ok((path, tensors));
        }
        let index = dir.join(format!("{name}.index.json"));
        if index.exists() {
            let tensors = read_shards(dir, &index, reader)?;
            return Ok((index, tensors));
        }
    }
    let expected = "no model.safetensors, pytorch_model.bin or index of either in this folder";
    Err(Error::format(dir, expected))
}

fn read_shards(dir: &Path, index: &Path, reader: impl Fn(&Path) -> Result<Named>) -> Result<Named> {
    let text = fs::read_to_string(index).map_err(Error::io(index))?;
    let map: Index = serde_json::from_str(&text).map_err(|e| Error::format(index, e))?;
    let files: BTreeSet<&String> = map.weight_map.values().collect();
    let mut all = Named::new();
    let mut differences = Vec::new();
    for file in files {
        let inside = Path::new(file).components().collect::<Vec<_>>();
        if !matches!(inside.as_slice(), [Component::Normal(_)]) {
            let message =
                format!("names {file:?}, which leaves the folder: a plain file name is expected");
            return Err(Error::format(index, message));
        }
        let path = dir.join(file);
        if !path.is_file() {
            return Err(Error::format(
                index,
                format!("names {file:?}, which is not in the folder"),
            ));
        }
        for (name, tensor) in reader(&path)? {
            match map.weight_map.get(&name) {
                Some(place) if place == file => all.push((name, tensor)),
                Some(place) => {
                    differences.push(format!("{name} is in {file}, the index says {place}"))
                }
                None => differences.push(format!("{name} is in {file} and not in the index")),
            }
        }
    }
    let found: BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let missing = map.weight_map.iter().filter(|(name, _)| !found.contains(name.as_str()));
    differences.extend(
        missing.map(|(name, file)| format!("{name} is not in {file}, where the index has it")),
    );
    if !differences.is_empty() {
        return Err(Error::Mismatch { path: index.to_owned(), differences });
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}
