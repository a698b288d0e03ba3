//! What two sets of tensors have in common: names, shapes, kinds, largest differences.

use crate::{Error, Result, formats::bundle, hf, tensors::Named, tf};
use std::{collections::BTreeMap, path::Path};
use tch::{Kind, Tensor};

/// Two models, name by name.
#[derive(Debug)]
pub struct Comparison {
    /// Sorted by name.
    pub rows: Vec<Row>,
}

/// One name.
#[derive(Debug, PartialEq)]
pub struct Row {
    /// The tensor's name.
    pub name: String,
    /// What the two sides have.
    pub verdict: Verdict,
}

/// What two sides have under one name.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Bit for bit the same.
    Same,
    /// The same shape and kind; the largest absolute difference (NaN where either side has one, 0 between zeros of
    /// either sign), and that difference over the largest absolute value of the first.
    Differs {
        /// Largest absolute difference.
        largest: f64,
        /// Over the largest absolute value of the first.
        relative: f64,
    },
    /// Other shapes or kinds, as text.
    Form(String, String),
    /// Only the first has it: its form.
    OnlyFirst(String),
    /// Only the second has it: its form.
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
    /// Whether all is the same bit for bit.
    pub fn same(&self) -> bool {
        self.rows.iter().all(|row| row.verdict == Verdict::Same)
    }

    /// The largest absolute difference where shapes and kinds agree; `None` if they do not everywhere.
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

/// The tensors of whatever a path is, under the names that they have there: a safetensors file, a PyTorch file, an
/// index of shards, a TensorFlow checkpoint (its prefix, its index or one of its data files), or a folder with one of
/// them (a checkpoint of a run, a model folder).
///
/// # Errors
/// If it is none of these, or not whole.
pub fn read(path: &Path) -> Result<Named> {
    if let Some(file) = hf::find(path) {
        return hf::read_file(&file);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let of_tensorflow = path.is_dir() || name.ends_with(".index") || name.contains(".data-");
    let prefix = tf::prefix(path);
    if of_tensorflow || prefix.as_ref().is_ok_and(|prefix| bundle::is_there(prefix)) {
        return match prefix {
            Err(Error::Format { path, message }) if path.is_dir() => {
                let others =
                    "holds no model.safetensors, pytorch_model.bin or index of either, and";
                Err(Error::format(path, format!("{others} {message}")))
            }
            prefix => bundle::read(&prefix?),
        };
    }
    hf::read_file(path)
}

fn form(tensor: &Tensor) -> String {
    format!("{:?} {:?}", tensor.kind(), tensor.size())
}

fn verdict(a: &Tensor, b: &Tensor) -> Verdict {
    if a.kind() != b.kind() || a.size() != b.size() {
        return Verdict::Form(form(a), form(b));
    }
    if bits(a).equal(&bits(b)) {
        return Verdict::Same;
    }
    let wide = |t: &Tensor| t.to_kind(Kind::Double);
    let largest = (wide(a) - wide(b)).abs().max().double_value(&[]);
    let scale = wide(a).abs().max().double_value(&[]);
    // Zeros of either sign differ by nothing.
    let relative = if largest == 0.0 { 0.0 } else { largest / scale };
    Verdict::Differs { largest, relative }
}

/// The bits as integers, by which zeros of either sign differ and a NaN is itself.
fn bits(tensor: &Tensor) -> Tensor {
    let kind = match tensor.kind() {
        Kind::Float => Kind::Int,
        Kind::Double => Kind::Int64,
        Kind::Half | Kind::BFloat16 => Kind::Int16,
        _ => return tensor.shallow_clone(),
    };
    tensor.contiguous().view_dtype(kind)
}
