//! Plot of an evaluation: queries per second against recall, with a line for each number of
//! threads.

use crate::failure::Failure;
use plotters::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

const SIZE: (u32, u32) = (800, 500);

/// Result of one setting.
pub(crate) struct Point {
    pub(crate) threads: usize,
    pub(crate) recall: f64,
    pub(crate) qps: f64,
}

/// Draws the points to an SVG file.
pub(crate) fn plot(path: &Path, title: &str, points: &[Point]) -> Result<(), Failure> {
    let mut svg = String::new();
    draw(&mut svg, title, points).map_err(|error| Failure::failed("cannot draw the plot", &*error))?;
    std::fs::write(path, svg).map_err(|error| Failure::failed(format_args!("cannot write {}", path.display()), &error))
}

fn draw(svg: &mut String, title: &str, points: &[Point]) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let recalls = points.iter().map(|point| point.recall);
    let low = recalls.fold(1.0, f64::min);
    // A margin of a factor of 2 on each side, so that a single point has an axis too.
    let slowest = points.iter().map(|point| point.qps).fold(f64::INFINITY, f64::min);
    let fastest = points.iter().map(|point| point.qps).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((low - 0.02).max(0.0)..1.0, (slowest * 0.5..fastest * 2.0).log_scale())?;
    chart.configure_mesh().x_desc("recall@10").y_desc("queries per second (batch)").draw()?;
    let mut lines: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
    for point in points {
        lines.entry(point.threads).or_default().push((point.recall, point.qps));
    }
    for (number, (threads, mut line)) in lines.into_iter().enumerate() {
        line.sort_by(|a, b| a.0.total_cmp(&b.0));
        let color = Palette99::pick(number).to_rgba();
        chart
            .draw_series(LineSeries::new(line.iter().copied(), color.stroke_width(2)).point_size(3))?
            .label(if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") })
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}
