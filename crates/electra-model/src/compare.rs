//! What two sets of tensors have in common: names, shapes, kinds, largest differences.

use crate::{
    Error, Result,
    formats::{bundle, pickle},
    tensors::{self, Named},
};
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
    /// The same shape and kind; the largest absolute difference (NaN where either side has one), and that
    /// difference over the largest absolute value of the first.
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

/// The tensors of whatever a path is: a safetensors file, a `pytorch_model.bin`, a TensorFlow checkpoint, or a
/// folder with one of them (a checkpoint of a run, a model folder).
///
/// # Errors
/// If it is none of these, or not whole.
pub fn read(path: &Path) -> Result<Named> {
    let index = |prefix: &Path| Path::new(&format!("{}.index", prefix.display())).is_file();
    if path.is_dir() {
        return match ["model.safetensors", "pytorch_model.bin"].map(|name| path.join(name)) {
            [file, _] | [_, file] if file.is_file() => read(&file),
            _ => Err(Error::format(path, "holds no model.safetensors or pytorch_model.bin")),
        };
    }
    match path.extension().and_then(|e| e.to_str()) {
        Some("safetensors") => tensors::read(path),
        Some("bin" | "pt") => pickle::read(path),
        Some("index") => bundle::read(&path.with_extension("")),
        _ if index(path) => bundle::read(path),
        _ => Err(Error::format(path, "is no .safetensors, .bin, .index file or folder with one")),
    }
}

fn form(tensor: &Tensor) -> String {
    format!("{:?} {:?}", tensor.kind(), tensor.size())
}

fn verdict(a: &Tensor, b: &Tensor) -> Verdict {
    if a.kind() != b.kind() || a.size() != b.size() {
        return Verdict::Form(form(a), form(b));
    }
    if a.equal(b) {
        return Verdict::Same;
    }
    let wide = |t: &Tensor| t.to_kind(Kind::Double);
    let largest = (wide(a) - wide(b)).abs().max().double_value(&[]);
    let scale = wide(a).abs().max().double_value(&[]);
    Verdict::Differs { largest, relative: largest / scale }
}
