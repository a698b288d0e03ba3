//! Finds and reads the weights of a folder.

use crate::{Error, Result, formats::pickle, tensors, tensors::Named};
use electra_files::read_json;
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
    let path = find(dir).ok_or_else(|| Error::format(dir, no_weights(dir)))?;
    let tensors = read_file(&path)?;
    Ok((path, tensors))
}

/// The message about a folder without weights, which names a file that may have them under another name.
pub(crate) fn no_weights(dir: &Path) -> String {
    const MISSING: &str = "no model.safetensors, pytorch_model.bin or index of either";
    let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut names: Vec<String> = files.filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    let ends = |name: &&String, endings: &[&str]| endings.iter().any(|end| name.ends_with(end));
    if let Some(name) =
        names.iter().find(|name| ends(name, &[".safetensors", ".bin", ".pt", ".pth"]))
    {
        let usual =
            if name.ends_with(".safetensors") { "model.safetensors" } else { "pytorch_model.bin" };
        return format!("{MISSING}; if {name} has the weights, rename it to {usual}");
    }
    if let Some(name) = names.iter().find(|name| ends(name, &[".h5", ".msgpack", ".onnx"])) {
        return format!(
            "{MISSING}; {name} is of another framework, which is not supported: use the model's PyTorch or safetensors weights"
        );
    }
    MISSING.to_owned()
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
    let map: Index = read_json(index)?;
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
