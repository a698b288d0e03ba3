//! Rows of the tables in the page of figures.

use super::PAGE;
use anyhow::{Result, bail};
use std::fmt;

/// A row beside a peer; what was not measured is a dash.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// Its first cell.
    pub(super) name: &'a str,
    pub(super) pairs: u16,
    /// Times the eager peer.
    pub(super) eager: Option<f64>,
    /// Times the second peer.
    pub(super) second: Option<f64>,
    /// Shares of the matrix rate, of this project and of the eager peer.
    pub(super) shares: Option<(f64, f64)>,
    /// Peak memory as a share of the eager peer's.
    pub(super) memory: Option<f64>,
}

impl<'a> Row<'a> {
    pub(super) fn new(name: &'a str, pairs: u16) -> Self {
        Self { name, pairs, eager: None, second: None, shares: None, memory: None }
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dash = || "-".to_owned();
        let ratio = |x: Option<f64>| x.map_or_else(dash, |x| format!("{x:.2}"));
        let percent = |x: Option<f64>| x.map_or_else(dash, |x| format!("{:.0} %", 100.0 * x));
        let cells = [
            self.name.to_owned(),
            ratio(self.eager),
            ratio(self.second),
            percent(self.shares.map(|(own, _)| own)),
            percent(self.shares.map(|(_, peer)| peer)),
            ratio(self.memory),
            self.pairs.to_string(),
        ];
        f.write_str(&line(&cells))
    }
}

/// A line of a table.
pub(super) fn line(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// The page with `row` in the place of the one that begins with the same cell.
pub(super) fn with_row(page: &str, row: &str) -> Result<String> {
    let first = |line: &str| line.split('|').nth(1).map(str::trim).map(str::to_owned);
    let name = first(row);
    let mut found = false;
    let lines: Vec<&str> = page
        .lines()
        .map(|line| {
            let same = line.starts_with('|') && first(line) == name;
            found |= same;
            if same { row } else { line }
        })
        .collect();
    if !found {
        bail!("{PAGE} has no row for {}", name.unwrap_or_default());
    }
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_its_own_place() {
        let page = "| a | 1 |\n| b | 2 |\n";
        assert_eq!(with_row(page, "| b | 3 |").unwrap(), "| a | 1 |\n| b | 3 |\n");
        assert!(with_row(page, "| c | 3 |").is_err());
    }

    #[test]
    fn what_was_not_measured_is_a_dash() {
        let row = Row { eager: Some(1.5), shares: Some((0.75, 0.5)), ..Row::new("x", 7) };
        assert_eq!(row.to_string(), "| x | 1.50 | - | 75 % | 50 % | - | 7 |");
    }
}
