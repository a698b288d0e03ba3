//! Tables of text on standard output, and short numbers for them.

/// The lines of a table: a header, and groups of rows with an empty line between them. The first `texts` columns are
/// aligned to the left, the others to the right.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    texts: usize,
    groups: &[Vec<[String; N]>],
) -> Vec<String> {
    let header = header.map(str::to_owned);
    let widths: Vec<usize> = (0..N)
        .map(|column| {
            let rows = groups.iter().flatten().chain([&header]);
            rows.map(|row| row[column].chars().count()).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &[String; N]| {
        let padded = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column < texts { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        padded.collect::<Vec<_>>().join("  ")
    };
    let mut lines = vec![line(&header)];
    for (i, rows) in groups.iter().filter(|rows| !rows.is_empty()).enumerate() {
        if i > 0 {
            lines.push(String::new());
        }
        lines.extend(rows.iter().map(line));
    }
    lines
}

/// A number with one decimal, or none if that is 0.
pub(crate) fn short(x: f64) -> String {
    let text = format!("{x:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A number of parameters or tokens: 16.4G, 335M, 13.5M, 41K.
pub(crate) fn count(number: u64) -> String {
    match number as f64 {
        n if n >= 1e9 => format!("{}G", short(n / 1e9)),
        n if n >= 1e8 => format!("{:.0}M", n / 1e6),
        n if n >= 1e6 => format!("{}M", short(n / 1e6)),
        n if n >= 1e3 => format!("{:.0}K", n / 1e3),
        n => n.to_string(),
    }
}
