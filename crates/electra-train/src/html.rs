//! Reports as self-contained HTML files: escaped text, tables, curves as inline SVG.

use crate::metrics::Figures;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:.6em 0 1.6em}th,td{padding:.25em .7em;border-bottom:1px solid #ddd;\
text-align:left;vertical-align:top;overflow-wrap:anywhere}th{background:#f5f5f5}td.n{text-align:right;\
font-variant-numeric:tabular-nums;white-space:nowrap}svg{max-width:100%;height:auto}text{font-size:12px;fill:#444}";

/// The colour-blind safe palette of Okabe and Ito.
const COLOURS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// The size of a plot, and the left and bottom margins of its axes, in pixels.
const SIZE: (f64, f64) = (720.0, 260.0);
const MARGIN: (f64, f64) = (64.0, 28.0);

/// Maximum number of points of a curve; longer curves are downsampled.
const MAX_POINTS: usize = 600;

/// An HTML page.
#[derive(Clone, Debug)]
pub struct Page {
    html: String,
}

/// A named curve, sorted by `x`.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The name.
    pub name: String,
    /// `(x, y)`.
    pub points: Vec<(f64, f64)>,
}

/// A word of [`Page::words`].
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// The word.
    pub text: String,
    /// The font weight.
    pub weight: Weight,
    /// The original word, shown struck through before it.
    pub struck: Option<String>,
    /// Intensity of the background, from 0 to 1.
    pub shade: f64,
}

/// A font weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Regular.
    Plain,
    /// Bold.
    Bold,
}

/// Escapes text for HTML.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

impl Page {
    /// An empty page with a title.
    pub fn new(title: &str) -> Self {
        let title = escape(title);
        let html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n"
        );
        Self { html }
    }

    /// Adds a heading.
    pub fn heading(&mut self, text: &str) {
        let _ = writeln!(self.html, "<h2>{}</h2>", escape(text));
    }

    /// Adds a subheading.
    pub fn subheading(&mut self, text: &str) {
        let _ = writeln!(self.html, "<h3>{}</h3>", escape(text));
    }

    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.html, "<p>{}</p>", escape(text));
    }

    /// Adds a paragraph of words, each with its own background.
    pub fn words(&mut self, words: &[Word]) {
        self.html.push_str("<p>");
        for Word { text, weight, struck, shade } in words {
            if let Some(struck) = struck {
                let _ = write!(self.html, "<s>{}</s> ", escape(struck));
            }
            let text = match weight {
                Weight::Plain => escape(text),
                Weight::Bold => format!("<b>{}</b>", escape(text)),
            };
            let opacity = 0.75 * shade;
            let _ = writeln!(
                self.html,
                "<span style=\"background:rgba(213,94,0,{opacity:.2})\">{text}</span>"
            );
        }
        self.html.push_str("</p>\n");
    }

    /// Adds a table; numeric cells are right-aligned.
    pub fn table<H: AsRef<str>, C: AsRef<str>>(
        &mut self,
        header: &[H],
        rows: impl IntoIterator<Item = Vec<C>>,
    ) {
        self.html.push_str("<table>\n");
        if !header.is_empty() {
            let cells = header.iter().map(|cell| format!("<th>{}</th>", escape(cell.as_ref())));
            let _ = writeln!(self.html, "<tr>{}</tr>", cells.collect::<String>());
        }
        for row in rows {
            let cells = row.iter().map(|cell| {
                let cell = cell.as_ref();
                let class = if cell.parse::<f64>().is_ok() { " class=\"n\"" } else { "" };
                format!("<td{class}>{}</td>", escape(cell))
            });
            let _ = writeln!(self.html, "<tr>{}</tr>", cells.collect::<String>());
        }
        self.html.push_str("</table>\n");
    }

    /// Adds a heat map of counts, such as a confusion matrix, with a row and a column for each of `labels`.
    pub fn matrix(&mut self, corner: &str, labels: &[String], counts: &[Vec<u64>]) {
        let max = counts.iter().flatten().copied().max().unwrap_or(0).max(1) as f64;
        let head = labels.iter().map(|label| format!("<th>{}</th>", escape(label)));
        let _ = write!(
            self.html,
            "<table class=\"matrix\">\n<tr><th>{}</th>{}</tr>\n",
            escape(corner),
            head.collect::<String>()
        );
        for (label, row) in labels.iter().zip(counts) {
            let cells = row.iter().map(|&count| {
                let opacity = 0.75 * count as f64 / max;
                format!(
                    "<td class=\"n\" style=\"background:rgba(0,114,178,{opacity:.2})\">{count}</td>"
                )
            });
            let cells: String = cells.collect();
            let _ = writeln!(self.html, "<tr><th>{}</th>{cells}</tr>", escape(label));
        }
        self.html.push_str("</table>\n");
    }

    /// Adds a table of a config: full keys, and values in TOML syntax.
    pub fn config(&mut self, config: &impl Serialize) {
        let table = toml::Table::try_from(config).expect("a config of plain values serialises");
        let mut rows = Vec::new();
        keys("", &table, &mut rows);
        self.table(&["key", "value"], rows);
    }

    /// Adds a plot of curves with common axes. Skips non-finite points; adds nothing if there are no points.
    pub fn plot(&mut self, title: &str, x: &str, curves: &[Curve]) {
        let curves: Vec<Curve> = curves
            .iter()
            .map(Curve::downsampled)
            .filter(|curve| !curve.points.is_empty())
            .collect();
        let points = || curves.iter().flat_map(|curve| curve.points.iter().copied());
        let (Some(xs), Some(ys)) = (range(points().map(|p| p.0)), range(points().map(|p| p.1)))
        else {
            return;
        };
        let ((width, height), (left, bottom)) = (SIZE, MARGIN);
        let to_pixels = |(px, py): (f64, f64)| {
            let across = left + (px - xs.0) / (xs.1 - xs.0) * (width - left - 8.0);
            (across, height - bottom - (py - ys.0) / (ys.1 - ys.0) * (height - bottom - 8.0))
        };
        let _ = writeln!(
            self.html,
            "<h3>{}</h3>\n<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\">",
            escape(title)
        );
        let axes = [xs.0, xs.1].map(|px| (px, ys.0)).map(to_pixels);
        let top = to_pixels((xs.0, ys.1));
        let _ = writeln!(
            self.html,
            "<path d=\"M{:.1} {:.1}V{:.1}H{:.1}\" fill=\"none\" stroke=\"#888\"/>",
            top.0, top.1, axes[0].1, axes[1].0
        );
        for y in [ys.0, (ys.0 + ys.1) / 2.0, ys.1] {
            let (across, up) = to_pixels((xs.0, y));
            let _ = writeln!(
                self.html,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                across - 6.0,
                up + 4.0,
                axis_label(y)
            );
        }
        for (value, anchor) in [(xs.0, "start"), (xs.1, "end")] {
            let (across, _) = to_pixels((value, ys.0));
            let _ = writeln!(
                self.html,
                "<text x=\"{across:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                height - 10.0,
                axis_label(value)
            );
        }
        let _ = writeln!(
            self.html,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            width / 2.0,
            height - 10.0,
            escape(x)
        );
        for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
            let line: Vec<String> = curve
                .points
                .iter()
                .map(|&point| {
                    let (px, py) = to_pixels(point);
                    format!("{px:.1},{py:.1}")
                })
                .collect();
            let _ = writeln!(
                self.html,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>",
                line.join(" ")
            );
        }
        self.html.push_str("</svg>\n<p>");
        for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
            let name = escape(&curve.name);
            let _ = write!(self.html, "<span style=\"color:{colour}\">&#9632;</span> {name} ");
        }
        self.html.push_str("</p>\n");
    }

    /// The complete HTML text.
    pub fn finish(self) -> String {
        self.html + "</body></html>\n"
    }
}

impl Curve {
    /// The curve of a figure over updates, from rows of one `kind`.
    pub fn of(name: &str, rows: &[Figures], kind: &str, figure: &str) -> Self {
        let rows = rows.iter().filter(|row| row.get("kind").is_some_and(|found| found == kind));
        let number = |row: &Figures, key: &str| row.get(key).and_then(Value::as_f64);
        let points = rows.filter_map(|row| Some((number(row, "step")?, number(row, figure)?)));
        Self { name: name.to_owned(), points: points.collect() }
    }

    /// At most [`MAX_POINTS`] evenly spaced finite points, and the last one.
    fn downsampled(&self) -> Self {
        let finite = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
        let points: Vec<_> = self.points.iter().copied().filter(finite).collect();
        let stride = points.len().div_ceil(MAX_POINTS).max(1);
        let mut selected: Vec<_> = points.iter().copied().step_by(stride).collect();
        if let Some(last) = points.last().filter(|last| selected.last() != Some(last)) {
            selected.push(*last);
        }
        Self { name: self.name.clone(), points: selected }
    }
}

/// Adds a row for every key of a table and its nested tables.
fn keys(section: &str, table: &toml::Table, rows: &mut Vec<Vec<String>>) {
    for (key, value) in table {
        match value {
            toml::Value::Table(table) => keys(&format!("{section}{key}."), table, rows),
            other => rows.push(vec![format!("{section}{key}"), other.to_string()]),
        }
    }
}

/// The range of an axis: minimum and maximum of the values, widened if they are equal; `None` without values.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low < high {
        return Some((low, high));
    }
    let margin = (0.1 * low.abs()).max(0.5);
    (low == high).then_some((low - margin, high + margin))
}

/// Formats a number on an axis.
fn axis_label(x: f64) -> String {
    match x.abs() {
        size if size >= 1000.0 || x.fract() == 0.0 => format!("{x:.0}"),
        size if size >= 1.0 => format!("{x:.2}"),
        _ => format!("{x:.4}"),
    }
}
