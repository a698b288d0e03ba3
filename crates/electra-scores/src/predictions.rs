//! Files of predictions that say which row of the gold file each is for.

use crate::{
    error::{Error, Result},
    table::{Format, Header, Row, Rows},
};
use std::{collections::HashMap, fs::File, path::Path};

/// The predictions for the rows of a gold file, in their order, read by `parse`; `None` for rows without gold and those
/// of `without_text`, which is asked where there are such.
///
/// Predictions are TSV with the columns `index` (the number of the gold file's row, from 0) and `prediction`; others are
/// passed over.
///
/// # Errors
/// Naming file and line of a prediction that cannot be read, an index that no row has or that is a duplicate; or the first
/// row with gold that has no prediction.
pub(crate) fn read<G, T>(
    path: &Path,
    gold: &Path,
    gold_rows: &[Option<G>],
    without_text: impl FnOnce() -> Vec<usize>,
    parse: impl Fn(&str) -> std::result::Result<T, String>,
) -> Result<Vec<Option<T>>> {
    let mut predicted: Vec<Option<T>> = gold_rows.iter().map(|_| None).collect();
    let name = path.display().to_string();
    let file = File::open(path).map_err(Error::io(path))?;
    let columns = ["index", "prediction"];
    let mut lines = HashMap::new();
    for row in Rows::from_reader(file, Format::Tsv, &name, &columns, Header::FirstLine)? {
        let Row { line, fields, .. } = row?;
        let fail = |message: String| Error::row(&name, line, message);
        let index = fields[0].parse().ok().filter(|&index: &usize| index < predicted.len());
        let index = index.ok_or_else(|| {
            fail(format!(
                "index {:?}: must be the number of a row of {}, 0 to {}",
                fields[0],
                gold.display(),
                gold_rows.len() - 1
            ))
        })?;
        if let Some(before) = lines.insert(index, line) {
            return Err(fail(format!("duplicate index {index}, first in line {before}")));
        }
        predicted[index] = Some(parse(&fields[1]).map_err(fail)?);
    }
    let lacking = |index: &usize| gold_rows[*index].is_some() && predicted[*index].is_none();
    let mut lacking: Vec<usize> = (0..gold_rows.len()).filter(lacking).collect();
    if !lacking.is_empty() {
        let without_text = without_text();
        lacking.retain(|index| !without_text.contains(index));
    }
    match lacking.first() {
        None => Ok(predicted),
        Some(first) => {
            let message = format!("no prediction for index {first} ({} lack one)", lacking.len());
            Err(Error::file(path, message))
        }
    }
}
