//! Numbers as the official scripts print them: Python's JSON.

use std::fmt;

/// A number of a report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// An integer count.
    Count(usize),
    /// A finite score.
    Value(f64),
}

/// As Python's `repr`: the fewest digits that identify the number, with a decimal point or an exponent.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match *self {
            Self::Count(count) => return write!(f, "{count}"),
            Self::Value(value) => value,
        };
        let scientific = format!("{value:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let power: i32 = exponent.parse().unwrap_or(0);
        if (-4..16).contains(&power) {
            // `Display` writes whole numbers without a decimal point.
            let plain = value.to_string();
            let point = if plain.contains('.') { "" } else { ".0" };
            return write!(f, "{plain}{point}");
        }
        let sign = if power < 0 { '-' } else { '+' };
        write!(f, "{digits}e{sign}{:02}", power.unsigned_abs())
    }
}

/// The layout of a JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// On one line.
    Line,
    /// One number per line, indented by two spaces.
    Indented,
}

/// A JSON object of numbers, byte for byte as Python's `json.dumps` writes it.
pub fn json(figures: &[(&str, Figure)], layout: Layout) -> String {
    let members = figures.iter().map(|(name, figure)| format!("\"{name}\": {figure}"));
    let members: Vec<String> = members.collect();
    match layout {
        Layout::Line => format!("{{{}}}", members.join(", ")),
        Layout::Indented => format!("{{\n  {}\n}}", members.join(",\n  ")),
    }
}
