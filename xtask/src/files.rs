//! Reads and writes files, and the numbers in them. Errors name the file, the line or the key.

use anyhow::{Context, Result};
use serde_json::Value;
use std::{fs, path::Path};

/// Reads a text file.
pub(crate) fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Reads a JSON file.
pub(crate) fn json(path: impl AsRef<Path>) -> Result<Value> {
    let path = path.as_ref();
    serde_json::from_str(&read(path)?).with_context(|| path.display().to_string())
}

/// Reads a JSON-lines file.
pub(crate) fn rows(path: impl AsRef<Path>) -> Result<Vec<Value>> {
    let path = path.as_ref();
    let location = |line: usize| format!("{}:{}", path.display(), line + 1);
    let text = read(path)?;
    let rows = text.lines().enumerate();
    rows.map(|(line, row)| serde_json::from_str(row).with_context(|| location(line))).collect()
}

/// Creates a folder and its parents.
pub(crate) fn make_folder(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    fs::create_dir_all(path).with_context(|| path.display().to_string())
}

/// Writes a file.
pub(crate) fn write(path: impl AsRef<Path>, text: &str) -> Result<()> {
    let path = path.as_ref();
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// The number of a key.
pub(crate) fn number(value: &Value, key: &str) -> Result<f64> {
    value[key].as_f64().with_context(|| format!("no number {key:?} in {value}"))
}

/// The median of the numbers of a key.
pub(crate) fn median_of(values: &[Value], key: &str) -> Result<f64> {
    Ok(median(values.iter().map(|value| number(value, key)).collect::<Result<_>>()?))
}

/// The middle value, or the mean of the two middle ones; NaN if there are no values.
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
    fn errors_name_the_file_line_or_key() {
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
