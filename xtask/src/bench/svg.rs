//! Line charts side by side, as SVG.

use std::fmt::Write as _;

/// Width and height of a chart, and the room around its lines.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 15.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;

/// One set of axes.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) lines: Vec<Line<'a>>,
}

/// Points in the order of x.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) label: &'a str,
    pub(super) colour: &'a str,
    /// What is drawn and what is left out in turn, in pixels; empty for a solid line.
    pub(super) dashes: &'a str,
    pub(super) points: Vec<(f64, f64)>,
}

/// The smallest and the largest value of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    low: f64,
    high: f64,
}

impl Range {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let start = Self { low: f64::INFINITY, high: f64::NEG_INFINITY };
        let range = values.fold(start, |r, x| Self { low: r.low.min(x), high: r.high.max(x) });
        // A single value has room above it.
        if range.high > range.low { range } else { Self { low: range.low, high: range.low + 1.0 } }
    }

    /// Where `x` is, as a share of the range.
    fn share(self, x: f64) -> f64 {
        (x - self.low) / (self.high - self.low)
    }

    /// Multiples of 1, 2 or 5 times a power of ten, three to seven of them.
    fn ticks(self) -> Vec<f64> {
        let rough = (self.high - self.low) / 4.0;
        let power = 10f64.powf(rough.log10().floor());
        let step =
            [5.0, 2.0, 1.0].map(|m| m * power).into_iter().find(|&s| s <= rough).unwrap_or(power);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|n| n as f64 * step).collect()
    }
}

/// The picture; all charts have the same label under their x axis.
pub(super) fn draw(charts: &[Chart<'_>], x_label: &str) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        WIDTH * charts.len() as f64
    );
    for (place, chart) in charts.iter().enumerate() {
        let _ = writeln!(svg, "<g transform=\"translate({},0)\">", WIDTH * place as f64);
        axes(&mut svg, chart, x_label);
        svg.push_str("</g>\n");
    }
    svg + "</svg>\n"
}

// Writing to a string does not fail.
fn axes(svg: &mut String, chart: &Chart<'_>, x_label: &str) {
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let (xs, ys) = (Range::of(points().map(|p| p.0)), Range::of(points().map(|p| p.1)));
    let x = |value: f64| LEFT + xs.share(value) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - ys.share(value) * (HEIGHT - TOP - BOTTOM);
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let middle = f64::midpoint(LEFT, right);
    let _ = writeln!(
        svg,
        "<text x=\"{middle}\" y=\"18\" text-anchor=\"middle\" font-size=\"13\">{}</text>\n<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{x_label}</text>",
        chart.title,
        HEIGHT - 8.0
    );
    for tick in ys.ticks() {
        let at = y(tick);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT},{at:.1}H{right}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            shown(tick)
        );
    }
    for tick in xs.ticks() {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(tick),
            bottom + 15.0,
            shown(tick)
        );
    }
    let _ = writeln!(
        svg,
        "<path d=\"M{LEFT},{TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"black\"/>"
    );
    for (place, line) in chart.lines.iter().enumerate() {
        let path: Vec<String> =
            line.points.iter().map(|&(a, b)| format!("{:.1},{:.1}", x(a), y(b))).collect();
        let style = format!(
            "fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" stroke-dasharray=\"{}\"",
            line.colour, line.dashes
        );
        let at = TOP + 12.0 + 16.0 * place as f64;
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" {style}/>\n<path d=\"M{},{at}h24\" {style}/><text x=\"{}\" y=\"{}\">{}</text>",
            path.join(" "),
            right - 80.0,
            right - 50.0,
            at + 4.0,
            line.label
        );
    }
}

/// A tick's number, without what rounding left.
fn shown(tick: f64) -> String {
    let text = format!("{tick:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_where_they_belong() {
        let line = Line {
            label: "f32",
            colour: "red",
            dashes: "",
            points: vec![(0.0, 1.0), (5.0, 2.0), (10.0, 3.0)],
        };
        let svg = draw(&[Chart { title: "loss", lines: vec![line] }], "updates");
        // From (50, 260) at the lower left to (405, 30) at the upper right.
        assert!(svg.contains("points=\"50.0,260.0 227.5,145.0 405.0,30.0\""), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 1);
    }

    #[test]
    fn ticks_are_round_numbers_in_the_range() {
        let ticks = |low, high| Range { low, high }.ticks();
        assert_eq!(ticks(0.0, 5300.0), [0.0, 1000.0, 2000.0, 3000.0, 4000.0, 5000.0]);
        assert_eq!(ticks(4.4, 8.3), [4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 8.0]);
        assert_eq!(Range::of([2.0].into_iter()), Range { low: 2.0, high: 3.0 });
        assert_eq!([0.30000000000000004, 1000.0, 0.0].map(shown), ["0.3", "1000", "0"]);
    }
}
