//! Tables of text on standard output.

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
