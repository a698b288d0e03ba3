//! Names of labels: which are allowed, finding one among those of a task, and labels that look alike.

use electra_files::nearest;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use unicode_normalization_alignments::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

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
/// As [`check_label`]; also if a label is empty or a duplicate.
pub(crate) fn check_labels(labels: &[String]) -> Result<(), String> {
    for (place, label) in labels.iter().enumerate() {
        check_label(label)?;
        if label.trim().is_empty() {
            return Err(format!("{label:?} is empty: a label must have a name"));
        }
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

/// Logs a warning for each group of labels that differ only in white space, case, the format of a number, invisible
/// characters, or Unicode normalization; `labels` are those of the file `path` with their lines.
pub fn warn_look_alikes<'a>(path: &Path, labels: impl IntoIterator<Item = (&'a str, u64)>) {
    for message in look_alikes(labels) {
        tracing::warn!("{}: {message}", path.display());
    }
}

/// Logs a warning for each label of sets that seems to be several: another separator than `separator` is between its
/// parts, of which one is a label too.
pub fn warn_joined<'a>(path: &Path, separator: &str, labels: impl IntoIterator<Item = &'a str>) {
    let labels: BTreeSet<&str> = labels.into_iter().collect();
    for message in joined(separator, &labels) {
        tracing::warn!("{}: {message}", path.display());
    }
}

/// A message for each separator that [`warn_joined`] finds, with the first label that has it.
fn joined(separator: &str, labels: &BTreeSet<&str>) -> Vec<String> {
    let others = [",", ";", "|", "/"].into_iter().filter(|other| *other != separator);
    let found = others.filter_map(|other| {
        let is_joined = |label: &&&str| {
            label.contains(other) && label.split(other).any(|part| labels.contains(part.trim()))
        };
        let label = labels.iter().find(is_joined)?;
        Some(format!(
            "the label {label:?} seems to be several labels: the separator is {separator:?}; set separator = {other:?} in \
             task.toml if it should be that"
        ))
    });
    found.collect()
}

/// A message for each group of labels that look alike, with the count and the first line of each.
fn look_alikes<'a>(labels: impl IntoIterator<Item = (&'a str, u64)>) -> Vec<String> {
    let mut found: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (label, line) in labels {
        found.entry(label).or_insert((0, line)).0 += 1;
    }
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for label in found.keys() {
        groups.entry(number(&composed(&visible(label)).to_lowercase())).or_default().push(label);
    }
    let message = |group: &Vec<&str>| {
        let named = |label: &&str| {
            let (count, line) = found[*label];
            format!("{label:?} ({count} times, first in line {line})")
        };
        let named: Vec<String> = group.iter().map(named).collect();
        format!(
            "the labels {} differ only in {}; they are different classes: edit the file if they should be one",
            named.join(" and "),
            difference(group)
        )
    };
    groups.values().filter(|group| group.len() > 1).map(message).collect()
}

/// How labels of a group differ.
fn difference(group: &[&str]) -> &'static str {
    let same =
        |form: &dyn Fn(&str) -> String| group.iter().all(|label| form(label) == form(group[0]));
    let spaced = |label: &str| label.split_whitespace().collect::<Vec<_>>().join(" ");
    if same(&spaced) {
        "white space"
    } else if same(&|label| spaced(label).to_lowercase()) {
        "case"
    } else if same(&|label| visible(label).to_lowercase()) {
        "characters that are not visible"
    } else if same(&|label| composed(&visible(label)).to_lowercase()) {
        "Unicode normalization (a letter and its accent as one character or as two)"
    } else {
        "the format of a number"
    }
}

/// A label without characters that are not visible, and with single spaces.
fn visible(label: &str) -> String {
    let is_visible = |c: &char| c.general_category() != GeneralCategory::Format;
    let visible: String = label.chars().filter(is_visible).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A label in normalization form C.
fn composed(label: &str) -> String {
    label.nfc().map(|(c, _)| c).collect()
}

/// A number in one format; other texts as they are.
fn number(text: &str) -> String {
    match text.parse::<f64>() {
        // -0 is 0.
        Ok(number) if number.is_finite() => (number + 0.0).to_string(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{joined, look_alikes};

    #[test]
    fn labels_that_seem_to_be_several_are_named() {
        let found = joined(",", &["a", "b; a", "c|d", "e/f"].into());
        let [message] = &found[..] else { panic!("{found:?}") };
        assert!(message.contains("\"b; a\"") && message.contains("separator = \";\""), "{message}");
        assert!(joined(";", &["a", "b;a"].into()).is_empty());
    }

    #[test]
    fn labels_that_look_alike_are_named_with_their_lines() {
        let rows = ["pos", "neg", "neg ", "neg", "Pos", "1", "1.0", "01", "2"];
        let found = look_alikes(rows.into_iter().zip(2..));
        let [numbers, spaces, case] = &found[..] else { panic!("{found:?}") };
        for (message, parts) in [
            (
                numbers,
                &["\"01\" (1 times, first in line 9)", "\"1.0\"", "the format of a number"][..],
            ),
            (spaces, &["\"neg\" (2 times, first in line 3)", "\"neg \"", "line 4", "white space"]),
            (case, &["\"Pos\" (1 times, first in line 6)", "\"pos\"", "differ only in case"]),
        ] {
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
        let accents = look_alikes([("cafe\u{301}", 1), ("caf\u{e9}", 2), ("cafe", 3)]);
        let [message] = &accents[..] else { panic!("{accents:?}") };
        assert!(message.contains("differ only in Unicode normalization"), "{message}");
        assert!(!message.contains("\"cafe\" "), "{message}");
        assert!(look_alikes([("new york", 1), ("newyork", 2), ("a", 3), ("b", 4)]).is_empty());
        let hidden = look_alikes([("a", 1), ("a\u{200b}", 2), ("\u{a0}a", 3)]);
        assert!(hidden[0].contains("not visible"), "{hidden:?}");
    }
}
