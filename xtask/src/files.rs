//! Reading files and the figures in them; an error names the file, the line or the key.

use anyhow::{Context, Result};
use serde_json::Value;
use std::{fs, path::Path};

/// A file's text.
pub(crate) fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// A file of one JSON value.
pub(crate) fn json(path: impl AsRef<Path>) -> Result<Value> {
    let path = path.as_ref();
    serde_json::from_str(&read(path)?).with_context(|| path.display().to_string())
}

/// A file of one JSON value a line.
pub(crate) fn rows(path: impl AsRef<Path>) -> Result<Vec<Value>> {
    let path = path.as_ref();
    let place = |line: usize| format!("{}:{}", path.display(), line + 1);
    let text = read(path)?;
    let rows = text.lines().enumerate();
    rows.map(|(line, row)| serde_json::from_str(row).with_context(|| place(line))).collect()
}

/// Makes a folder, with those above it.
pub(crate) fn make_folder(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    fs::create_dir_all(path).with_context(|| path.display().to_string())
}

/// Writes a file.
pub(crate) fn write(path: impl AsRef<Path>, text: &str) -> Result<()> {
    let path = path.as_ref();
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// The number under `key`.
pub(crate) fn number(value: &Value, key: &str) -> Result<f64> {
    value[key].as_f64().with_context(|| format!("no figure {key:?} in {value}"))
}

/// The median of the numbers under `key`.
pub(crate) fn median_of(values: &[Value], key: &str) -> Result<f64> {
    Ok(median(values.iter().map(|value| number(value, key)).collect::<Result<_>>()?))
}

/// The middle value, or the mean of both middle ones; not a number without values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = number(&json!({"a": 1.5}), "b").unwrap_err().to_string();
        assert!(error.contains("\"b\""), "{error}");
        assert_eq!(number(&json!({"a": 1.5}), "a").unwrap(), 1.5);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        assert!(rows(&path).unwrap_err().to_string().ends_with("metrics.jsonl"));
        fs::write(&path, "{\"a\":1}\n{\"a\":\n").unwrap();
        assert!(rows(&path).unwrap_err().to_string().ends_with("metrics.jsonl:2"));
    }
}
