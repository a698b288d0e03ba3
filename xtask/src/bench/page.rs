//! Rows of the tables in docs/performance.md: what was measured, the machine, and the results.

use anyhow::{Result, bail};
use std::fs;

/// The page with the results.
pub(super) const PAGE: &str = "docs/performance.md";

/// A row of a comparison with a peer. Missing measurements are dashes.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// The first cell.
    pub(super) name: &'a str,
    pub(super) pairs: u16,
    /// Speed relative to the eager peer.
    pub(super) eager: Option<f64>,
    /// Speed relative to the second peer.
    pub(super) second: Option<f64>,
    /// Fraction of the peak matrix throughput, of this project and of the eager peer.
    pub(super) shares: Option<(f64, f64)>,
    /// Peak memory relative to the eager peer.
    pub(super) memory: Option<f64>,
}

impl<'a> Row<'a> {
    pub(super) fn new(name: &'a str, pairs: u16) -> Self {
        Self { name, pairs, eager: None, second: None, shares: None, memory: None }
    }
}

impl Row<'_> {
    /// The row as Markdown, for this machine.
    pub(super) fn line(&self) -> String {
        let dash = || "-".to_owned();
        let ratio = |x: Option<f64>| x.map_or_else(dash, |x| format!("{x:.2}"));
        let percent = |x: Option<f64>| x.map_or_else(dash, |x| format!("{:.0} %", 100.0 * x));
        let cells = [
            ratio(self.eager),
            ratio(self.second),
            percent(self.shares.map(|(own, _)| own)),
            percent(self.shares.map(|(_, peer)| peer)),
            ratio(self.memory),
            self.pairs.to_string(),
        ];
        line(self.name, &cells)
    }
}

/// A row of any table, for this machine.
pub(super) fn line(name: &str, cells: &[String]) -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    format!("| {name} | {} | {} |", machine(&info), cells.join(" | "))
}

/// The CPU and its widest vector unit, from Linux's /proc/cpuinfo: "Intel Xeon, AMX". Model numbers and clock are left
/// out, so that similar machines share a row.
fn machine(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value)
    };
    let model = field("model name").replace("(R)", "").replace("(TM)", "").replace("(tm)", "");
    let name = model.split_whitespace().filter(|word| !["Processor", "CPU"].contains(word));
    let name = name.take(2).collect::<Vec<_>>().join(" ");
    let has = |unit: &str| field("flags").split(' ').any(|flag| flag == unit);
    let units = [("amx_bf16", "AMX"), ("avx512f", "AVX-512"), ("avx2", "AVX2")];
    match units.into_iter().find(|(flag, _)| has(flag)) {
        Some((_, unit)) => format!("{name}, {unit}"),
        None => std::env::consts::ARCH.to_owned(),
    }
}

/// Replaces the row of the same name and machine, or inserts `row` after the last one of the same name.
///
/// # Errors
/// The page has no row of that name.
pub(super) fn with_row(page: &str, row: &str) -> Result<String> {
    let key = |line: &str, cells: usize| -> Vec<String> {
        line.split('|').skip(1).take(cells).map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines: Vec<&str> = page.lines().collect();
    let last_match = |cells: usize| {
        let matches = |line: &&str| line.starts_with('|') && key(line, cells) == key(row, cells);
        lines.iter().rposition(matches)
    };
    match (last_match(2), last_match(1)) {
        (Some(same), _) => lines[same] = row,
        (None, Some(other)) => lines.insert(other + 1, row),
        (None, None) => bail!("{PAGE} has no row for {}", key(row, 1).concat()),
    }
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_replaces_that_of_its_machine_or_is_inserted_below() {
        let page = "| a | x | 1 |\n| b | x | 2 |\n| c | x | 3 |\n";
        let same = with_row(page, "| b | x | 5 |").unwrap();
        assert_eq!(same, "| a | x | 1 |\n| b | x | 5 |\n| c | x | 3 |\n");
        let other = with_row(page, "| b | y | 5 |").unwrap();
        assert_eq!(other, "| a | x | 1 |\n| b | x | 2 |\n| b | y | 5 |\n| c | x | 3 |\n");
        assert!(with_row(page, "| d | x | 3 |").is_err());
    }

    #[test]
    fn missing_measurements_are_dashes() {
        let row = Row { eager: Some(1.5), shares: Some((0.75, 0.5)), ..Row::new("x", 7) };
        let line = row.line();
        assert!(line.starts_with("| x | "), "{line}");
        assert!(line.ends_with(" | 1.50 | - | 75 % | 50 % | - | 7 |"), "{line}");
    }

    #[test]
    fn machines_are_named_by_cpu_and_vector_unit() {
        let intel = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum 8488C\nflags\t\t: fpu avx2 avx512f amx_bf16\n";
        assert_eq!(machine(intel), "Intel Xeon, AMX");
        let amd = "model name\t: AMD EPYC 9R14 96-Core Processor\nflags\t\t: fpu avx2 avx512f\n";
        assert_eq!(machine(amd), "AMD EPYC, AVX-512");
        assert_eq!(machine(""), std::env::consts::ARCH);
    }
}
