//! Labels at the points of a plot, placed where they cover neither lines nor one another.

use super::{CHARACTER, LABEL_SIZE};
use plotters::style::RGBColor;

/// Distance between the samples of a line that labels avoid.
const STEP: f64 = 4.0;

/// Distance of a label from the middle of a line or of another point's marker.
const CLEAR: f64 = 5.0;

/// Directions from a point to its label, the best first.
const DIRECTIONS: [[f64; 2]; 8] =
    [[1.0, -1.0], [-1.0, 1.0], [0.0, -1.3], [0.0, 1.3], [1.3, 0.0], [-1.3, 0.0], [1.0, 1.0], [-1.0, -1.0]];

/// A label at its place, which is its middle.
pub(super) struct Spot {
    pub(super) text: String,
    pub(super) at: [f64; 2],
    pub(super) color: RGBColor,
}

/// The labels of a plot.
pub(super) struct Labels {
    /// Edges that labels stay within: left, right, top, bottom.
    edges: [f64; 4],
    /// Places of the lines and markers.
    taken: Vec<[f64; 2]>,
    wanted: Vec<Spot>,
}

impl Labels {
    pub(super) fn new(edges: [f64; 4]) -> Self {
        Self { edges, taken: Vec::new(), wanted: Vec::new() }
    }

    /// Keeps labels off a line through these places.
    pub(super) fn avoid(&mut self, line: &[[f64; 2]]) {
        self.taken.extend(line);
        for ends in line.windows(2) {
            let [dx, dy] = [ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]];
            let samples = (dx.hypot(dy) / STEP) as usize;
            self.taken.extend((1..=samples).map(|i| {
                let part = i as f64 / (samples + 1) as f64;
                [ends[0][0] + part * dx, ends[0][1] + part * dy]
            }));
        }
    }

    /// Adds a label for the point at this place.
    pub(super) fn add(&mut self, text: &str, at: [f64; 2], color: RGBColor) {
        self.wanted.push(Spot { text: text.to_owned(), at, color });
    }

    /// Returns the labels at places where they cover nothing. A label without such a place is left
    /// out.
    pub(super) fn placed(self) -> Vec<Spot> {
        let (mut placed, mut boxes): (Vec<Spot>, Vec<[f64; 4]>) = (Vec::new(), Vec::new());
        let [left, right, top, bottom] = self.edges;
        for spot in self.wanted {
            let half = [spot.text.chars().count() as f64 * CHARACTER * LABEL_SIZE / 2.0, LABEL_SIZE / 2.0 - 1.0];
            let candidates = DIRECTIONS.iter().map(|[x, y]| {
                let at = [spot.at[0] + x * (half[0] + 6.0), spot.at[1] + y * (half[1] + 6.0)];
                (at, [at[0] - half[0], at[0] + half[0], at[1] - half[1], at[1] + half[1]])
            });
            let is_free = |(_, [x0, x1, y0, y1]): &([f64; 2], [f64; 4])| {
                let inside = *x0 >= left && *x1 <= right && *y0 >= top && *y1 <= bottom;
                let apart = |other: &[f64; 4]| other[0] > *x1 || other[1] < *x0 || other[2] > *y1 || other[3] < *y0;
                let covered =
                    |[x, y]: &[f64; 2]| (x0 - CLEAR..=x1 + CLEAR).contains(x) && (y0 - CLEAR..=y1 + CLEAR).contains(y);
                inside && boxes.iter().all(apart) && !self.taken.iter().any(covered)
            };
            if let Some((at, outline)) = candidates.into_iter().find(is_free) {
                boxes.push(outline);
                placed.push(Spot { at, ..spot });
            }
        }
        placed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cover_neither_lines_nor_labels() {
        let black = RGBColor(0, 0, 0);
        let mut labels = Labels::new([0.0, 200.0, 0.0, 200.0]);
        labels.avoid(&[[20.0, 20.0], [100.0, 100.0], [180.0, 180.0]]);
        labels.add("16", [100.0, 100.0], black);
        labels.add("17", [102.0, 100.0], black);
        let places: Vec<[f64; 2]> = labels.placed().iter().map(|spot| spot.at).collect();
        // Right of the line and above it, then left of it and below.
        assert_eq!(places.len(), 2);
        assert!(places[0][0] > 100.0 && places[0][1] < 100.0, "{places:?}");
        assert!((places[1][0] - places[0][0]).abs() > 10.0 || (places[1][1] - places[0][1]).abs() > 10.0, "{places:?}");
        // A label without room is left out.
        let mut labels = Labels::new([0.0, 10.0, 0.0, 10.0]);
        labels.add("100", [5.0, 5.0], black);
        assert!(labels.placed().is_empty());
    }
}
