//! The plot of scores against FLOPs, as SVG with the colors of the reader's light or dark theme.

use super::results::{Results, RowResults};
use anyhow::Result;
use plotters::{coord::types::RangedCoordf64, prelude::*};
use std::ops::Range;

const SIZE: (u32, u32) = (760, 420);
const FONT: &str = "sans-serif";

/// Colors in the light theme, and in the dark one.
const BACKGROUND: (RGBColor, &str) = (RGBColor(255, 255, 255), "#0D1117");
const TEXT: (RGBColor, &str) = (RGBColor(31, 35, 40), "#E6EDF3");
const GRID: (RGBColor, &str) = (RGBColor(209, 217, 224), "#3D444D");

/// Colors of rows, readable in both themes.
const ROWS: [RGBColor; 8] = [
    RGBColor(46, 125, 209),
    RGBColor(217, 123, 30),
    RGBColor(42, 157, 103),
    RGBColor(163, 100, 214),
    RGBColor(214, 69, 80),
    RGBColor(24, 154, 168),
    RGBColor(191, 138, 0),
    RGBColor(138, 143, 152),
];

/// FLOPs that differ less are one column per row, not a position.
const SAME: f64 = 0.02;

type Axes<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A score with its standard deviation at a position.
#[derive(Clone, Copy, Debug)]
struct Mark {
    x: f64,
    mean: f64,
    sd: f64,
}

/// Draws the mean over the tasks of each row, with a bar of one standard deviation to both sides. `None` without scores.
pub(super) fn draw(results: &Results) -> Result<Option<String>> {
    let rows: Vec<&RowResults> = results.rows.iter().collect();
    let flops = || rows.iter().map(|row| row.flops);
    let (least, most) = (flops().fold(f64::INFINITY, f64::min), flops().fold(0.0, f64::max));
    // At equal FLOPs, positions would hide each other.
    let columns = most / least - 1.0 < SAME && rows.iter().all(|row| row.points.len() == 1);
    let marks: Vec<Vec<Mark>> = rows
        .iter()
        .enumerate()
        .map(|(index, row)| {
            let of = |x: f64, mean: super::statistics::Summary| Mark {
                x,
                mean: mean.mean,
                sd: mean.sd.unwrap_or(0.0),
            };
            let points = row.points.iter();
            let x = |flops: f64| if columns { index as f64 } else { flops };
            points.filter_map(|point| Some(of(x(point.flops), point.mean?))).collect()
        })
        .collect();
    if marks.iter().all(Vec::is_empty) {
        return Ok(None);
    }
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&BACKGROUND.0)?;
        let all = || marks.iter().flatten();
        let x = match columns {
            true => -0.5..rows.len() as f64 - 0.5,
            false => beside_labels(padded(all().map(|mark| mark.x))),
        };
        let y = padded(all().flat_map(|mark| [mark.mean - mark.sd, mark.mean + mark.sd]));
        let mut axes = ChartBuilder::on(&area)
            .caption(&results.title, (FONT, 17).into_font().color(&TEXT.0))
            .margin(12)
            .x_label_area_size(45)
            .y_label_area_size(50)
            .build_cartesian_2d(x, y)?;
        let label = |x: &f64| match columns {
            true => column(*x, &rows),
            false => format!("{x:.1e}"),
        };
        let flops = format!("{most:.1e} FLOPs of pre-training for each row");
        axes.configure_mesh()
            .bold_line_style(GRID.0)
            .light_line_style(TRANSPARENT)
            .axis_style(TEXT.0)
            .x_labels(if columns { rows.len() + 1 } else { 6 })
            .x_label_formatter(&label)
            .y_label_formatter(&|y| format!("{y:.1}"))
            .label_style((FONT, 13).into_font().color(&TEXT.0))
            .axis_desc_style((FONT, 14).into_font().color(&TEXT.0))
            .x_desc(if columns { &flops } else { "FLOPs of pre-training" })
            .y_desc("mean dev score, %")
            .draw()?;
        for (index, (row, marks)) in rows.iter().zip(&marks).enumerate() {
            draw_row(&mut axes, row, marks, ROWS[index % ROWS.len()])?;
        }
        if !columns {
            axes.configure_series_labels()
                .label_font((FONT, 13).into_font().color(&TEXT.0))
                .background_style(BACKGROUND.0)
                .border_style(GRID.0)
                .position(SeriesLabelPosition::LowerRight)
                .draw()?;
        }
        area.present()?;
    }
    Ok(Some(themed(&svg)))
}

fn draw_row(
    axes: &mut Axes<'_, '_>,
    row: &RowResults,
    marks: &[Mark],
    color: RGBColor,
) -> Result<()> {
    let style = ShapeStyle { color: color.to_rgba(), filled: true, stroke_width: 2 };
    let line = marks.iter().map(|mark| (mark.x, mark.mean));
    axes.draw_series(LineSeries::new(line, style))?
        .label(&row.label)
        .legend(move |(x, y)| Circle::new((x + 10, y), 5, style));
    axes.draw_series(marks.iter().map(|mark| {
        PathElement::new([(mark.x, mark.mean - mark.sd), (mark.x, mark.mean + mark.sd)], style)
    }))?;
    axes.draw_series(marks.iter().map(|mark| Circle::new((mark.x, mark.mean), 5, style)))?;
    Ok(())
}

/// The label of a column, at whole numbers.
fn column(x: f64, rows: &[&RowResults]) -> String {
    let index = x.round();
    let row = ((x - index).abs() < 1e-6 && index >= 0.0).then(|| rows.get(index as usize));
    row.flatten().map_or_else(String::new, |row| row.label.clone())
}

/// The range of the values, with some room at both ends.
fn padded(values: impl Iterator<Item = f64>) -> Range<f64> {
    let ends = |(low, high): (f64, f64), x: f64| (low.min(x), high.max(x));
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), ends);
    let room = if high > low { 0.08 * (high - low) } else { 0.05 * high.abs().max(1.0) };
    low - room..high + room
}

/// The range with free space at its right end, for the labels of the rows.
fn beside_labels(x: Range<f64>) -> Range<f64> {
    x.start..x.end + 0.25 * (x.end - x.start)
}

/// Adds a style that replaces the colors in a dark theme.
fn themed(svg: &str) -> String {
    let rule = |(light, dark): (RGBColor, &str)| {
        let RGBColor(r, g, b) = light;
        let light = format!("#{r:02X}{g:02X}{b:02X}");
        format!("[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}")
    };
    let rules: String = [BACKGROUND, TEXT, GRID].map(rule).concat();
    let style = format!("<style>@media (prefers-color-scheme: dark){{{rules}}}</style>");
    match svg.find('>') {
        Some(end) => format!("{}\n{style}{}", &svg[..=end], &svg[end + 1..]),
        None => svg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dark_theme_replaces_every_color_that_is_not_of_a_row() {
        let svg = themed("<svg width=\"1\">\n<rect fill=\"#FFFFFF\"/></svg>");
        assert!(svg.starts_with("<svg width=\"1\">\n<style>@media"), "{svg}");
        assert!(svg.contains("[fill=\"#FFFFFF\"]{fill:#0D1117}"), "{svg}");
        assert!(svg.ends_with("<rect fill=\"#FFFFFF\"/></svg>"), "{svg}");
    }

    #[test]
    fn ranges_have_room() {
        assert_eq!(padded([0.0, 100.0].into_iter()), -8.0..108.0);
        let single = padded([50.0].into_iter());
        assert!(single.start < 50.0 && single.end > 50.0);
    }
}
