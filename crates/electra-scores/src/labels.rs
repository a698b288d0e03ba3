//! Names of labels: which are allowed, and finding one among those of a task.

use electra_files::nearest;

/// Checks that a label can be written to `predictions.tsv`.
///
/// # Errors
/// If it contains a tab or a line break, which separate columns and rows there.
pub fn check_label(label: &str) -> Result<(), String> {
    match label.contains(['\t', '\n', '\r']) {
        true => Err(format!("{label:?} contains a tab or a line break")),
        false => Ok(()),
    }
}

/// [`check_label`] for all labels of a task.
///
/// # Errors
/// As [`check_label`]; also if a label is a duplicate.
pub(crate) fn check_labels(labels: &[String]) -> Result<(), String> {
    for (place, label) in labels.iter().enumerate() {
        check_label(label)?;
        if labels[..place].contains(label) {
            return Err(format!("duplicate label {label:?}"));
        }
    }
    Ok(())
}

/// The number of `label` among `labels`.
///
/// # Errors
/// If it is not among them: a message that names `origin`, where the labels are given.
pub(crate) fn find_label(label: &str, labels: &[String], origin: &str) -> Result<usize, String> {
    labels.iter().position(|known| known == label).ok_or_else(|| {
        let known = nearest(label, labels.iter().map(String::as_str));
        format!("label {label:?} is not in {origin}{known}")
    })
}
