//! Compares two sets of tensors: names, shapes, kinds, largest differences.

use crate::{Error, Result, formats::bundle, hf, tensors::Named, tf};
use electra_files::{PathKind, read_json};
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path};
use tch::{Kind, Tensor};

/// The comparison of two models, tensor by tensor.
#[derive(Debug)]
pub struct Comparison {
    /// Sorted by name.
    pub rows: Vec<Row>,
}

/// The comparison of one tensor.
#[derive(Debug, PartialEq)]
pub struct Row {
    /// The tensor's name.
    pub name: String,
    /// The result.
    pub verdict: Verdict,
}

/// How the two tensors of one name compare.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Bit for bit equal.
    Same,
    /// Equal shape and kind, different values.
    Differs {
        /// Largest absolute difference: NaN if either side has a NaN, 0 between 0 and -0.
        largest: f64,
        /// Largest absolute difference divided by the largest absolute value of the first.
        relative: f64,
    },
    /// Different shapes or kinds: kind and shape of each.
    ShapeOrKind(String, String),
    /// Only in the first: kind and shape.
    OnlyFirst(String),
    /// Only in the second: kind and shape.
    OnlySecond(String),
}

/// Compares two sets of tensors.
pub fn compare(first: &[(String, Tensor)], second: &[(String, Tensor)]) -> Comparison {
    let mut pairs: BTreeMap<&str, (Option<&Tensor>, Option<&Tensor>)> = BTreeMap::new();
    for (name, tensor) in first {
        pairs.entry(name).or_default().0 = Some(tensor);
    }
    for (name, tensor) in second {
        pairs.entry(name).or_default().1 = Some(tensor);
    }
    let rows = pairs.into_iter().filter_map(|(name, pair)| {
        let verdict = match pair {
            (Some(a), Some(b)) => verdict(a, b),
            (Some(a), None) => Verdict::OnlyFirst(form(a)),
            (None, Some(b)) => Verdict::OnlySecond(form(b)),
            (None, None) => return None,
        };
        Some(Row { name: name.to_owned(), verdict })
    });
    Comparison { rows: rows.collect() }
}

impl Comparison {
    /// Whether all tensors are bit for bit equal.
    pub fn same(&self) -> bool {
        self.rows.iter().all(|row| row.verdict == Verdict::Same)
    }

    /// The largest absolute difference; `None` unless names, shapes and kinds all match.
    pub fn largest(&self) -> Option<f64> {
        self.rows.iter().try_fold(0.0, |max: f64, row| match row.verdict {
            Verdict::Same => Some(max),
            Verdict::Differs { largest, .. } if largest.is_nan() => Some(f64::NAN),
            Verdict::Differs { largest, .. } => {
                Some(if max.is_nan() { max } else { max.max(largest) })
            }
            _ => None,
        })
    }
}

/// The part in each seam of the network at a path, as `seam=part`: a model folder, a checkpoint, or a file in one. `None` if
/// nothing there names its parts.
pub fn parts(path: &Path) -> Option<Vec<String>> {
    /// The keys of a checkpoint's `state.json` that are read.
    #[derive(Deserialize)]
    struct State {
        parts: Vec<String>,
    }
    let folder = if path.is_dir() { path } else { path.parent()? };
    let of_checkpoint = read_json::<State>(&folder.join("state.json")).map(|state| state.parts);
    of_checkpoint.ok().or_else(|| Some(hf::read_config(folder).ok()?.encoder.part_names()))
}

/// The seams in which two networks have different parts, each with both parts. A seam that only one of them names does not
/// count.
pub fn different_parts(first: &[String], second: &[String]) -> Vec<(String, String, String)> {
    let seams = |parts: &[String]| -> BTreeMap<String, String> {
        let pairs = parts.iter().filter_map(|part| part.split_once('='));
        pairs.map(|(seam, part)| (seam.to_owned(), part.to_owned())).collect()
    };
    let (first, second) = (seams(first), seams(second));
    let both = first.into_iter().filter_map(|(seam, part)| {
        let other = second.get(&seam)?.clone();
        (part != other).then_some((seam, part, other))
    });
    both.collect()
}

/// Reads tensors, without renaming, from a safetensors file, a PyTorch file, an index of shards, a TensorFlow checkpoint
/// (its prefix, its index or one of its data files), or a folder with one of them (a checkpoint of a run, a model folder).
///
/// # Errors
/// If it is not one of these, or is damaged.
pub fn read(path: &Path) -> Result<Named> {
    if let Some(file) = hf::find(path) {
        return hf::read_file(&file);
    }
    if path.is_dir() && PathKind::of(path).is_some_and(|kind| kind != PathKind::Model) {
        PathKind::Checkpoint.require(path)?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let looks_like_tensorflow =
        path.is_dir() || name.ends_with(".index") || name.contains(".data-");
    let prefix = tf::prefix(path);
    if looks_like_tensorflow || prefix.as_ref().is_ok_and(|prefix| bundle::exists(prefix)) {
        return match prefix {
            Err(Error::Format { path, message }) if path.is_dir() => {
                let others = hf::no_weights(&path);
                Err(Error::format(path, format!("{others}; {message}")))
            }
            prefix => bundle::read(&prefix?),
        };
    }
    if !path.exists() {
        PathKind::Model.require(path)?;
    }
    hf::read_file(path)
}

fn form(tensor: &Tensor) -> String {
    format!("{:?} {:?}", tensor.kind(), tensor.size())
}

fn verdict(a: &Tensor, b: &Tensor) -> Verdict {
    if a.kind() != b.kind() || a.size() != b.size() {
        return Verdict::ShapeOrKind(form(a), form(b));
    }
    if bits(a).equal(&bits(b)) {
        return Verdict::Same;
    }
    let wide = |t: &Tensor| t.to_kind(Kind::Double);
    let largest = (wide(a) - wide(b)).abs().max().double_value(&[]);
    let scale = wide(a).abs().max().double_value(&[]);
    // 0 and -0 differ by 0, also if all values are zero.
    let relative = if largest == 0.0 { 0.0 } else { largest / scale };
    Verdict::Differs { largest, relative }
}

/// The bits as integers, so that 0 and -0 differ and a NaN equals itself.
fn bits(tensor: &Tensor) -> Tensor {
    let kind = match tensor.kind() {
        Kind::Float => Kind::Int,
        Kind::Double => Kind::Int64,
        Kind::Half | Kind::BFloat16 => Kind::Int16,
        _ => return tensor.shallow_clone(),
    };
    tensor.contiguous().view_dtype(kind)
}
