//! The metrics of rows, and tables of the latest ones.

use crate::{html::Page, metrics::Figures};

/// The metrics to show first.
const FIRST: [&str; 8] = [
    "loss",
    "generator_loss",
    "discriminator_loss",
    "discriminator_auc",
    "reference_loss",
    "reference_auc",
    "probe_accuracy",
    "tokens_per_second",
];

/// Keys of a row that are not plotted: its kind and step, the clock, and a constant.
const NO_CURVES: [&str; 4] = ["kind", "step", "seconds", "tokens"];

/// The metrics of all rows: first those in [`FIRST`], then the others in their order.
pub(super) fn keys<'a>(rows: impl IntoIterator<Item = &'a Figures>) -> Vec<&'a str> {
    let mut keys: Vec<&str> = Vec::new();
    for key in rows.into_iter().flat_map(Figures::keys) {
        if !keys.contains(&key.as_str()) && !NO_CURVES.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    keys.sort_by_key(|key| FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()));
    keys
}

/// Adds a table of the metrics `keys` with a column for each name, rows and kind of row: the last row of that kind.
pub(super) fn latest(page: &mut Page, columns: &[(&str, &[Figures], &str)], keys: &[&str]) {
    let newest: Vec<_> = columns
        .iter()
        .map(|(name, rows, kind)| {
            let of_kind = |row: &&Figures| row.get("kind").is_some_and(|found| found == kind);
            (name, rows.iter().rev().find(of_kind))
        })
        .collect();
    let mut header = vec!["figure".to_owned()];
    header.extend(newest.iter().map(|(name, row)| {
        let step = row.and_then(|row| row.get("step")).map(|step| format!(", update {step}"));
        format!("{name}{}", step.unwrap_or_default())
    }));
    page.table(
        &header,
        keys.iter().map(|&key| {
            let values =
                newest.iter().map(|(_, row)| figure(row.and_then(|row| row.get(key)?.as_f64())));
            std::iter::once(key.to_owned()).chain(values).collect::<Vec<_>>()
        }),
    );
}

fn figure(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(x) if x.fract() == 0.0 => x.to_string(),
        Some(x) if x.abs() < 1e-3 => format!("{x:.3e}"),
        Some(x) => format!("{x:.4}"),
    }
}
