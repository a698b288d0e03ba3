//! Files of predictions for the rows of a labeled file.

use crate::{
    error::{Error, Result},
    form::{Form, LabelColumns},
    table::{Format, Row, Rows},
};
use std::{collections::HashMap, path::Path};

/// The predictions in `path`, read by `parse`, and the gold labels of the same rows of the file `gold`.
///
/// Predictions have the columns `index` (the row's number in the gold file, from 0) and `prediction`; other columns are
/// ignored. The format is that of the extension, else TSV. `labels` are the gold labels of all rows. Each row that has one needs a prediction, except a row
/// with an empty text that `form` allows to be left out.
///
/// # Errors
/// Naming file and line of a prediction that cannot be read, or of an index that is a duplicate or not that of a row;
/// or the first row without a prediction.
pub(crate) fn read_with_gold<T>(
    path: &Path,
    gold: &Path,
    labels: Vec<Option<T>>,
    form: &Form<'_>,
    parse: impl Fn(&str) -> std::result::Result<T, String>,
) -> Result<(Vec<T>, Vec<T>)> {
    let mut predictions: Vec<Option<T>> = labels.iter().map(|_| None).collect();
    let name = path.display().to_string();
    let format = Format::of(path).unwrap_or(Format::Tsv);
    let rows = Rows::open_with(path, format, &["index", "prediction"])?;
    let rows = match form.labels {
        LabelColumns::Set { separator, .. } => rows.with_label("prediction", Some(separator)),
        _ => rows,
    };
    let mut lines = HashMap::new();
    for row in rows {
        let Row { line, fields, .. } = row?;
        let fail = |message: String| Error::row(&name, line, message);
        let index = fields[0].parse().ok().filter(|&index: &usize| index < labels.len());
        let index = index.ok_or_else(|| {
            let (gold, last) = (gold.display(), labels.len() - 1);
            fail(format!(
                "index {:?}: must be the number of a row of {gold}, 0 to {last}",
                fields[0]
            ))
        })?;
        if let Some(before) = lines.insert(index, line) {
            return Err(fail(format!("duplicate index {index}, first in line {before}")));
        }
        predictions[index] = Some(parse(&fields[1]).map_err(fail)?);
    }

    let is_missing = |index: &usize| labels[*index].is_some() && predictions[*index].is_none();
    let mut missing: Vec<usize> = (0..labels.len()).filter(is_missing).collect();
    if !missing.is_empty() {
        let without_text = form.without_text(gold);
        missing.retain(|index| !without_text.contains(index));
    }
    if let Some(first) = missing.first() {
        let message =
            format!("no prediction for index {first} (missing predictions: {})", missing.len());
        return Err(Error::file(path, message));
    }
    let rows = labels.len();
    let pairs: (Vec<T>, Vec<T>) =
        predictions.into_iter().zip(labels).filter_map(|(p, label)| p.zip(label)).unzip();
    let unscored = rows - pairs.0.len();
    if unscored > 0 {
        tracing::warn!(
            "{}: {unscored} rows are not scored: they have no gold label, or neither a text nor a prediction",
            gold.display()
        );
    }
    Ok(pairs)
}
