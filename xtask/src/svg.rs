//! Line charts side by side, as SVG.

use anyhow::Result;
use plotters::{coord::Shift, prelude::*};
use std::ops::Range;

/// Width and height of a chart.
const SIZE: (u32, u32) = (420, 300);
/// Lengths of a dash and of the gap after it.
const DASH: (u32, u32) = (5, 3);

const FONT: (&str, u32) = ("sans-serif", 14);

/// One set of axes.
#[derive(Debug)]
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) lines: Vec<Line<'a>>,
}

/// Points in the order of x.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    /// Its text in the legend; lines without one are not listed.
    pub(crate) label: Option<&'a str>,
    pub(crate) color: RGBColor,
    pub(crate) stroke: Stroke,
    pub(crate) points: Vec<(f64, f64)>,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stroke {
    Solid,
    Dashed,
}

/// The picture; all charts have the same label under their x axis.
pub(crate) fn draw(charts: &[Chart<'_>], x_label: &str) -> Result<String> {
    let mut svg = String::new();
    {
        let size = (SIZE.0 * charts.len() as u32, SIZE.1);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        for (chart, area) in charts.iter().zip(area.split_evenly((1, charts.len()))) {
            draw_one(chart, &area, x_label)?;
        }
        area.present()?;
    }
    Ok(svg)
}

fn draw_one(
    chart: &Chart<'_>,
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    x_label: &str,
) -> Result<()> {
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let mut axes = ChartBuilder::on(area)
        .caption(chart.title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(35)
        .y_label_area_size(40)
        .build_cartesian_2d(range(points().map(|p| p.0)), range(points().map(|p| p.1)))?;
    axes.configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(6)
        .label_style(FONT)
        .x_desc(x_label)
        .draw()?;
    for line in &chart.lines {
        let (points, color) = (line.points.iter().copied(), line.color);
        let series = match line.stroke {
            Stroke::Solid => axes.draw_series(LineSeries::new(points, color))?,
            Stroke::Dashed => {
                axes.draw_series(DashedLineSeries::new(points, DASH.0, DASH.1, color.into()))?
            }
        };
        let sample = move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color);
        if let Some(label) = line.label {
            series.label(label).legend(sample);
        }
    }
    axes.configure_series_labels()
        .label_font(FONT)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    Ok(())
}

/// The smallest and the largest value; above a single value there is room.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let ends = |(low, high): (f64, f64), x: f64| (low.min(x), high.max(x));
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), ends);
    low..if high > low { high } else { low + 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_drawn_to_scale() {
        let line = |stroke, color| {
            let points = vec![(0.0, 1.0), (5.0, 2.0), (10.0, 3.0)];
            Line { label: Some("f32"), color, stroke, points }
        };
        let lines = vec![line(Stroke::Solid, RED), line(Stroke::Dashed, BLUE)];
        let svg = draw(&[Chart { title: "loss", lines }], "updates").unwrap();
        let of = |color: &str| -> Vec<&str> {
            svg.lines().filter(|line| line.contains(color) && line.contains("<polyline")).collect()
        };
        let (_, points) = of("#FF0000")[0].split_once("points=\"").unwrap();
        let points: Vec<(i32, i32)> = points
            .trim_end_matches("\"/>")
            .split_whitespace()
            .map(|point| point.split_once(',').unwrap())
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        let [(x0, y0), (x1, y1), (x2, y2)] = points[..] else { panic!("{points:?}") };
        assert!(x0 < x1 && (2 * x1 - x0 - x2).abs() <= 1, "{points:?}");
        assert!(y0 > y1 && (2 * y1 - y0 - y2).abs() <= 1, "{points:?}");
        // The dashes, and a sample beside the label.
        assert!(of("#0000FF").len() > 10);
        assert_eq!(range([2.0].into_iter()), 2.0..3.0);
    }
}
