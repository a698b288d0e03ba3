//! Reports as self-contained HTML files: text, tables, curves as inline SVG. Readable on light and dark backgrounds.

use crate::metrics::Figures;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::prelude::*;
use serde::Serialize;
use serde_json::Value;

const STYLE: &str = ":root{color-scheme:light dark}\
body{font:15px/1.45 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse;margin:.6em 0 1.6em}th,td{padding:.25em .7em;border-bottom:1px solid rgba(128,128,128,.3);\
text-align:left;vertical-align:top;overflow-wrap:anywhere}.scroll{overflow-x:auto}.scroll :is(th,td):not(.n){min-width:5.5em}th{background:rgba(128,128,128,.12)}td:first-child{white-space:nowrap}.n{text-align:right;\
font-variant-numeric:tabular-nums;white-space:nowrap}svg{width:48em;max-width:100%;height:auto}\
svg text{fill:currentColor}svg [stroke=\"#000000\"]{stroke:currentColor}\
.line{display:inline-block;width:1.6em;margin:0 .3em .2em 0;border-top:3px solid;vertical-align:middle}\
.dashed{border-top-style:dashed}.legend span{white-space:nowrap;margin-right:1.2em}\
body:has(.beside){max-width:100em}.beside{display:flex;flex-wrap:wrap;gap:0 3em}.beside>*{flex:1 1 22em;min-width:0}.beside>:first-child{flex:3 1 34em}";

/// The color-blind safe palette of Okabe and Ito, with grey instead of black.
const COLORS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x99, 0x99, 0x99),
];

/// The size of a plot in pixels (shown at half size), its margin, and the sizes of the label areas of both axes.
const SIZE: (u32, u32) = (1440, 520);
const MARGIN: u32 = 16;
const LABELS: (u32, u32) = (112, 72);
/// Line height of text: a font size of 24 pixels, shown as 12.
const TEXT: u32 = 30;

/// Length of dashes and gaps, and the radius of a curve with a single point, in pixels.
const DASH: u32 = 10;
const DOT: u32 = 5;

/// Maximum number of points of a curve; longer curves are downsampled.
const MAX_POINTS: usize = 600;

/// An HTML page.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
}

/// A named curve, sorted by `x`; its color is that of its place in a plot.
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
    /// The word that it replaces, shown struck through before it.
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

impl Page {
    /// An empty page with a title.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), body: String::new() }
    }

    /// Adds a line of markup.
    fn push(&mut self, markup: Markup) {
        self.body.push_str(&markup.into_string());
        self.body.push('\n');
    }

    /// Adds a heading.
    pub fn heading(&mut self, text: &str) {
        self.push(html! { h2 { (text) } });
    }

    /// Adds a subheading.
    pub fn subheading(&mut self, text: &str) {
        self.push(html! { h3 { (text) } });
    }

    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: &str) {
        self.push(html! { p { (text) } });
    }

    /// Adds a paragraph of words, each with its own background.
    pub fn words(&mut self, words: &[Word]) {
        self.push(html! {
            p {
                @for Word { text, weight, struck, shade } in words {
                    @if let Some(struck) = struck { s { (struck) } " " }
                    span style=(shaded("213,94,0", *shade)) {
                        @match weight {
                            Weight::Plain => (text),
                            Weight::Bold => b { (text) },
                        }
                    }
                    " "
                }
            }
        });
    }

    /// Adds a table; columns of numbers, with `-` for missing ones, are right-aligned. A table without a header has names in
    /// its first column and their values in the second.
    pub fn table<H: AsRef<str>, C: AsRef<str>>(
        &mut self,
        header: &[H],
        rows: impl IntoIterator<Item = Vec<C>>,
    ) {
        let rows: Vec<Vec<C>> = rows.into_iter().collect();
        let is_number = |cell: &str| cell == "-" || cell.parse::<f64>().is_ok();
        let is_numeric = |column: usize| {
            let mut cells = rows.iter().filter_map(|row| row.get(column));
            !header.is_empty() && cells.all(|cell| is_number(cell.as_ref()))
        };
        let class = |column| is_numeric(column).then_some("n");
        self.push(html! {
            div.scroll {
                table {
                    @if !header.is_empty() {
                        tr {
                            @for (column, cell) in header.iter().enumerate() {
                                th class=[class(column)] { (cell.as_ref()) }
                            }
                        }
                    }
                    @for row in &rows {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                td class=[class(column)] { (cell.as_ref()) }
                            }
                        }
                    }
                }
            }
        });
    }

    /// Adds a heat map of counts, such as a confusion matrix, with a row and a column for each of `labels`.
    pub fn matrix(&mut self, corner: &str, labels: &[String], counts: &[Vec<u64>]) {
        let max = counts.iter().flatten().copied().max().unwrap_or(0).max(1) as f64;
        self.push(html! {
            table.matrix {
                tr { th { (corner) } @for label in labels { th { (label) } } }
                @for (label, row) in labels.iter().zip(counts) {
                    tr {
                        th { (label) }
                        @for &count in row {
                            td.n style=(shaded("0,114,178", count as f64 / max)) { (count) }
                        }
                    }
                }
            }
        });
    }

    /// Adds a table of a config: full keys, and values in TOML syntax.
    pub fn config(&mut self, config: &impl Serialize) {
        let table = toml::Table::try_from(config).expect("a config of plain values serializes");
        let rows = keys(&table).into_iter().map(|(key, value)| vec![key, value]);
        self.table(&["key", "value"], rows);
    }

    /// Adds the contents of pages side by side, or below each other on a narrow screen; the first is wider.
    pub fn beside(&mut self, pages: impl IntoIterator<Item = Self>) {
        self.push(html! {
            div.beside { @for page in pages { div { (PreEscaped(page.body)) } } }
        });
    }

    /// Adds the colors of curves by their names, in the order of [`Self::plot`].
    pub fn legend<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        self.push(legend(names.into_iter().zip(LineStyle::all())));
    }

    /// Adds a plot of curves with common axes, and a legend. Skips non-finite points and curves without points; adds
    /// nothing if there are no points.
    pub fn plot(&mut self, title: &str, x: &str, curves: &[Curve]) {
        let curves: Vec<(Curve, LineStyle)> = curves
            .iter()
            .map(Curve::downsampled)
            .zip(LineStyle::all())
            .filter(|(curve, _)| !curve.points.is_empty())
            .collect();
        let points = || curves.iter().flat_map(|(curve, _)| curve.points.iter().copied());
        let (Some(xs), Some(ys)) = (range(points().map(|p| p.0)), range(points().map(|p| p.1)))
        else {
            return;
        };
        let drawing = draw(&curves, x, xs, ys).expect("writing to memory does not fail");
        self.push(html! {
            h3 { (title) }
            (PreEscaped(drawing))
            (legend(curves.iter().map(|(curve, style)| (curve.name.as_str(), *style))))
        });
    }

    /// The complete HTML text.
    pub fn finish(self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body { h1 { (self.title) } (PreEscaped("\n")) (PreEscaped(self.body)) }
            }
        };
        page.into_string() + "\n"
    }
}

/// The color and the dashes of a curve.
#[derive(Clone, Copy)]
struct LineStyle {
    color: RGBColor,
    dashed: bool,
}

impl LineStyle {
    /// One for each place in a plot: every color solid, then every color dashed, and so on.
    fn all() -> impl Iterator<Item = Self> {
        [false, true]
            .into_iter()
            .flat_map(|dashed| COLORS.map(|color| Self { color, dashed }))
            .cycle()
    }
}

fn legend<'a>(curves: impl Iterator<Item = (&'a str, LineStyle)>) -> Markup {
    html! {
        p.legend {
            @for (name, LineStyle { color: RGBColor(r, g, b), dashed }) in curves {
                span {
                    i.line.dashed[dashed] style={ "border-color:rgb(" (r) "," (g) "," (b) ")" } {}
                    (name)
                }
                " "
            }
        }
    }
}

/// A background style of color `rgb` and intensity `share`, from 0 to 1.
fn shaded(rgb: &str, share: f64) -> String {
    format!("background:rgba({rgb},{:.2})", 0.75 * share)
}

/// Draws curves as SVG, with axes of these ranges.
fn draw(
    curves: &[(Curve, LineStyle)],
    x: &str,
    xs: (f64, f64),
    ys: (f64, f64),
) -> Result<String, DrawingAreaErrorKind<std::io::Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(MARGIN)
            // The last label of the x axis is centered on the end of the axis.
            .margin_right(3 * MARGIN)
            .y_label_area_size(LABELS.0)
            .x_label_area_size(LABELS.1)
            .build_cartesian_2d(xs.0..xs.1, ys.0..ys.1)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .label_style(("sans-serif", TEXT))
            .x_label_formatter(&axis_label)
            .y_label_formatter(&axis_label)
            .x_desc(x)
            .draw()?;
        for (curve, LineStyle { color, dashed }) in curves {
            let (points, line) = (curve.points.iter().copied(), color.stroke_width(3));
            if let [point] = curve.points[..] {
                chart.draw_series([Circle::new(point, DOT, color.filled())])?;
            }
            match dashed {
                false => chart.draw_series(LineSeries::new(points, line))?,
                true => chart.draw_series(DashedLineSeries::new(points, DASH, DASH, line))?,
            };
        }
        area.present()?;
    }
    // Inline SVG in HTML needs no namespace.
    Ok(svg.replace(" xmlns=\"http://www.w3.org/2000/svg\"", ""))
}

impl Curve {
    /// The curve of a metric over updates, from rows of one `kind`.
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

/// The full keys of a config and its sections, with values in TOML syntax.
pub fn keys(config: &toml::Table) -> Vec<(String, String)> {
    let of_key = |(key, value): (&String, &toml::Value)| match value {
        toml::Value::Table(section) => keys(section)
            .into_iter()
            .map(|(rest, value)| (format!("{key}.{rest}"), value))
            .collect(),
        other => vec![(key.clone(), other.to_string())],
    };
    config.iter().flat_map(of_key).collect()
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

/// Formats a number on an axis, without floating-point noise.
fn axis_label(x: &f64) -> String {
    ((x * 1e6).round() / 1e6).to_string()
}
