//! Plot of an evaluation: queries per second against recall, with a line for each series.
//!
//! The same code draws SVG and PNG. The colours are those of Okabe and Ito, which people with any
//! colour vision tell apart. Each series also has a marker of its own.

mod axis;
mod bitmap;
mod labels;

use crate::failure::Failure;
use axis::Axis;
use labels::{Labels, Spot};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Size of a plot in points. A point of an SVG is one pixel.
const SIZE: (u32, u32) = (800, 500);

/// Edges of the area of the points: left (at least), right, top (with one line of series), bottom.
const AREA: [f64; 4] = [76.0, 770.0, 104.0, 436.0];

/// Distance between the area of the points and the numbers left of it.
const TICK_GAP: f64 = 10.0;

/// Minimum distance between these numbers and the edge of the picture.
const MARGIN: f64 = 10.0;

/// Distance between lines of text.
const LINE: f64 = 22.0;

const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
const INK: RGBColor = RGBColor(34, 34, 34);
const GREY: RGBColor = RGBColor(105, 105, 105);

const TITLE_SIZE: f64 = 19.0;
const TEXT_SIZE: f64 = 14.0;
const LABEL_SIZE: f64 = 12.5;

/// Mean width of a character divided by the size of the text.
const CHARACTER: f64 = 0.55;

/// [`Pixels::text_shift`] of SVG, whose viewers place text by half the height of an x.
const SVG_SHIFT: f64 = 0.08;

/// The family of the bundled font. An SVG names it, and its viewer chooses a font.
const FAMILY: &str = "sans-serif";

/// Basic Latin of Roboto Regular. `data/README.md` documents its source.
const FONT: &[u8] = include_bytes!("../../data/Roboto-Regular.ttf");

/// Result of one setting.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// Name of the line.
    pub(crate) series: String,
    /// Text at the point: its nprobe.
    pub(crate) label: Option<String>,
    pub(crate) recall: f64,
    pub(crate) qps: f64,
}

/// The file of a plot. Its name determines the format.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    path: PathBuf,
    format: Format,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Svg,
    Png,
}

impl FromStr for Plot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let extension = path.extension().unwrap_or_default();
        let formats = [("svg", Format::Svg), ("png", Format::Png)];
        match formats.into_iter().find(|(name, _)| extension.eq_ignore_ascii_case(name)) {
            Some((_, format)) => Ok(Self { path, format }),
            None => Err("the file name of a plot should end in .svg or .png".to_owned()),
        }
    }
}

impl Plot {
    /// Returns the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Draws points to the file. The points of a series are joined in the order of their recall.
    ///
    /// # Errors
    /// [`Failure`] if the file cannot be written.
    pub(crate) fn draw(&self, title: &str, recall_name: &str, points: &[Point]) -> Result<(), Failure> {
        let picture = Picture { title, recall_name, points };
        let bytes = match self.format {
            Format::Svg => {
                let mut svg = String::new();
                let pixels = Pixels { per_point: 1, text_shift: SVG_SHIFT };
                picture.draw(SVGBackend::with_string(&mut svg, SIZE), pixels).map(|()| svg.into_bytes())
            }
            Format::Png => bitmap::render(SIZE, |backend, pixels| picture.draw(backend, pixels)),
        };
        let bytes = bytes.map_err(|error| Failure::failed("cannot draw the plot", &*error))?;
        std::fs::write(&self.path, bytes)
            .map_err(|error| Failure::failed(format_args!("cannot write {}", self.path.display()), &error))
    }
}

/// What can go wrong with a drawing: anything that the backend reports.
type Drawn<T> = Result<T, Box<dyn std::error::Error>>;

/// The content of a plot.
struct Picture<'a> {
    title: &'a str,
    recall_name: &'a str,
    points: &'a [Point],
}

impl Picture<'_> {
    /// Draws everything.
    fn draw<B: DrawingBackend<ErrorType: 'static>>(&self, backend: B, pixels: Pixels) -> Drawn<()> {
        register_font(FAMILY, FontStyle::Normal, FONT).map_err(|_| "the bundled font is damaged")?;
        let area = backend.into_drawing_area();
        area.fill(&WHITE)?;
        let canvas = Canvas { area: &area, pixels };
        let series = self.series();
        let [_, right, top, bottom] = AREA;
        canvas.text(self.title, TITLE_SIZE, INK, [20.0, 30.0], HPos::Left)?;
        let top = top + LINE * self.draw_names(&canvas, &series)?;

        let y = Axis::logarithmic(self.points.iter().map(|point| point.qps), [bottom, top]);
        let left = left_edge(&y);
        let x = Axis::linear(self.points.iter().map(|point| point.recall), [left, right]);
        canvas.line(&[[left, top - 8.0], [left, bottom], [right, bottom]], GREY, 1.0)?;
        for (position, text) in x.ticks() {
            canvas.line(&[[position, bottom], [position, bottom + 5.0]], GREY, 1.0)?;
            canvas.text(&text, TEXT_SIZE, INK, [position, bottom + 17.0], HPos::Center)?;
        }
        for (position, text) in y.ticks() {
            canvas.line(&[[left - 5.0, position], [left, position]], GREY, 1.0)?;
            canvas.text(&text, TEXT_SIZE, INK, [left - TICK_GAP, position], HPos::Right)?;
        }
        canvas.text("queries per second", TEXT_SIZE, GREY, [20.0, top - 24.0], HPos::Left)?;
        canvas.text(self.recall_name, TEXT_SIZE, GREY, [right, bottom + 42.0], HPos::Right)?;

        let mut labels = Labels::new([left, right, top - 12.0, bottom]);
        for (number, (_, points)) in series.iter().enumerate() {
            let places: Vec<[f64; 2]> =
                points.iter().map(|point| [x.place(point.recall), y.place(point.qps)]).collect();
            canvas.line(&places, COLORS[number % COLORS.len()], 2.0)?;
            labels.avoid(&places);
        }
        for (number, (_, points)) in series.iter().enumerate() {
            for point in points {
                let place = [x.place(point.recall), y.place(point.qps)];
                canvas.marker(number, place)?;
                if let Some(text) = &point.label {
                    labels.add(text, place, COLORS[number % COLORS.len()]);
                }
            }
        }
        for Spot { text, at, color } in labels.placed() {
            canvas.text(&text, LABEL_SIZE, color, at, HPos::Center)?;
        }
        area.present()?;
        Ok(())
    }

    /// Returns the series in the order of their first points, each in the order of recall.
    fn series(&self) -> Vec<(&str, Vec<&Point>)> {
        let mut series: Vec<(&str, Vec<&Point>)> = Vec::new();
        for point in self.points {
            match series.iter_mut().find(|(name, _)| *name == point.series) {
                Some((_, points)) => points.push(point),
                None => series.push((&point.series, vec![point])),
            }
        }
        for (_, points) in &mut series {
            points.sort_by(|a, b| a.recall.total_cmp(&b.recall).then(b.qps.total_cmp(&a.qps)));
        }
        series
    }

    /// Draws the names of the series below the title. Returns the number of lines that they need
    /// beyond the first.
    fn draw_names<B: DrawingBackend<ErrorType: 'static>>(
        &self,
        canvas: &Canvas<'_, B>,
        series: &[(&str, Vec<&Point>)],
    ) -> Drawn<f64> {
        let (mut at, mut lines) = ([20.0, 58.0], 0.0);
        let has_labels = self.points.iter().any(|point| point.label.is_some());
        let explained = has_labels.then_some("number at a point: nprobe");
        for (number, name) in series.iter().map(|(name, _)| *name).chain(explained).enumerate() {
            let is_series = number < series.len();
            let width = if is_series { 24.0 } else { 0.0 } + name.chars().count() as f64 * CHARACTER * TEXT_SIZE;
            if at[0] + width > AREA[1] && at[0] > 20.0 {
                at = [20.0, at[1] + LINE];
                lines += 1.0;
            }
            if is_series {
                canvas.marker(number, [at[0] + 7.0, at[1]])?;
                canvas.text(name, TEXT_SIZE, INK, [at[0] + 20.0, at[1]], HPos::Left)?;
            } else {
                canvas.text(name, TEXT_SIZE, GREY, at, HPos::Left)?;
            }
            at[0] += width + 20.0;
        }
        Ok(lines)
    }
}

/// Returns the left edge of the area of the points, with room for the widest number of the axis.
fn left_edge(y: &Axis) -> f64 {
    let characters = y.ticks().map(|(_, text)| text.chars().count()).max().unwrap_or(0);
    AREA[0].max(MARGIN + characters as f64 * CHARACTER * TEXT_SIZE + TICK_GAP)
}

/// The pixels of a backend.
#[derive(Clone, Copy, Debug)]
struct Pixels {
    /// Number of pixels per point, in each direction.
    per_point: u32,
    /// How far below its place the backend must draw text for digits to be in the middle, divided
    /// by the size of the text.
    text_shift: f64,
}

/// A drawing area whose coordinates are points, not pixels.
struct Canvas<'a, B: DrawingBackend> {
    area: &'a DrawingArea<B, Shift>,
    pixels: Pixels,
}

impl<B: DrawingBackend<ErrorType: 'static>> Canvas<'_, B> {
    /// Returns a length in pixels.
    fn length(&self, points: f64) -> i32 {
        (points * f64::from(self.pixels.per_point)).round() as i32
    }

    fn pixel(&self, [x, y]: [f64; 2]) -> (i32, i32) {
        (self.length(x), self.length(y))
    }

    /// Draws text whose middle is at the height of `at`.
    fn text(&self, text: &str, size: f64, color: RGBColor, at: [f64; 2], side: HPos) -> Drawn<()> {
        // The library divides a size by this number.
        let font = (FAMILY, size * f64::from(self.pixels.per_point) * 1.24).into_font();
        let style = font.color(&color).pos(Pos::new(side, VPos::Center));
        let at = [at[0], at[1] + self.pixels.text_shift * size];
        Ok(self.area.draw(&Text::new(text, self.pixel(at), style))?)
    }

    fn line(&self, points: &[[f64; 2]], color: RGBColor, width: f64) -> Drawn<()> {
        let points: Vec<_> = points.iter().map(|point| self.pixel(*point)).collect();
        let style = color.stroke_width(self.length(width).unsigned_abs());
        Ok(self.area.draw(&PathElement::new(points, style))?)
    }

    /// Draws the marker of a series, with a white edge.
    fn marker(&self, series: usize, at: [f64; 2]) -> Drawn<()> {
        let color = COLORS[series % COLORS.len()];
        for (radius, color) in [(6.0, WHITE), (4.5, color)] {
            let corners: &[[f64; 2]] = match series % 4 {
                0 => {
                    let radius = self.length(radius);
                    self.area.draw(&Circle::new(self.pixel(at), radius, color.filled()))?;
                    continue;
                }
                1 => &[[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
                2 => &[[0.0, -1.2], [1.1, 0.8], [-1.1, 0.8]],
                _ => &[[0.0, -1.25], [1.25, 0.0], [0.0, 1.25], [-1.25, 0.0]],
            };
            let corners: Vec<_> =
                corners.iter().map(|[x, y]| self.pixel([at[0] + x * radius, at[1] + y * radius])).collect();
            self.area.draw(&Polygon::new(corners, color.filled()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
