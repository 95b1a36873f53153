//! The axes of a plot: from values to places, and few round ticks.

/// Maximum number of ticks.
const MOST_TICKS: usize = 8;

/// An axis: its ticks, and the place of a value.
pub(super) struct Axis {
    is_logarithmic: bool,
    /// The values at the two ends, on a linear scale.
    ends: [f64; 2],
    /// The places of the two ends.
    places: [f64; 2],
    ticks: Vec<f64>,
}

impl Axis {
    /// Makes an axis for fractions, which ends at 1 or just above the largest value.
    pub(super) fn linear(values: impl Iterator<Item = f64>, places: [f64; 2]) -> Self {
        let (low, high) = bounds(values);
        let margin = 0.04 * (high - low).max(0.02);
        let steps = [0.01, 0.02, 0.05, 0.1, 0.2];
        let fits = |step: &f64| ((high / step).ceil() - ((low - margin) / step).floor()) as usize <= MOST_TICKS;
        let step = steps.into_iter().find(fits).unwrap_or(0.2);
        let first = ((low - margin) / step).floor().max(0.0) as usize;
        let last = (high / step).ceil().min(1.0 / step + 0.5) as usize;
        let ticks: Vec<f64> = (first..=last.max(first + 1)).map(|i| i as f64 * step).collect();
        let end = ticks[ticks.len() - 1];
        // A point at the end has room for its marker.
        Self { is_logarithmic: false, ends: [ticks[0], end + 0.02 * (end - ticks[0])], places, ticks }
    }

    /// Makes a logarithmic axis for numbers above 0, with ticks at 1, 2 and 5 times powers of ten,
    /// or at powers of ten only.
    pub(super) fn logarithmic(values: impl Iterator<Item = f64>, places: [f64; 2]) -> Self {
        let (low, high) = bounds(values.filter(|value| *value > 0.0 && value.is_finite()));
        let (low, high) = (low / 1.25, high * 1.25);
        let decades = low.log10().floor() as i32 - 1..=high.log10().ceil() as i32 + 1;
        let round = |factors: &[f64]| -> Vec<f64> {
            decades.clone().flat_map(|decade| factors.iter().map(move |f| f * 10_f64.powi(decade))).collect()
        };
        let fine = round(&[1.0, 2.0, 5.0]);
        let within =
            |ticks: &[f64]| -> Vec<f64> { ticks.iter().copied().filter(|tick| (low..=high).contains(tick)).collect() };
        let (mut ends, mut ticks) = ([low, high], within(&fine));
        if ticks.len() < 2 {
            // The ticks around all values.
            let first = fine.iter().rposition(|tick| *tick <= low).unwrap_or(0);
            let last = fine.iter().position(|tick| *tick >= high).unwrap_or(fine.len() - 1);
            ticks = fine[first..=last].to_vec();
            ends = [fine[first], fine[last]];
        }
        if ticks.len() > MOST_TICKS {
            ticks = within(&round(&[1.0]));
        }
        let ends = ends.map(f64::log10);
        while ticks.len() > MOST_TICKS {
            ticks = ticks.into_iter().step_by(2).collect();
        }
        Self { is_logarithmic: true, ends, places, ticks }
    }

    /// Returns the place of a value.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = if self.is_logarithmic { value.log10() } else { value };
        let [from, to] = self.places;
        from + (value - self.ends[0]) / (self.ends[1] - self.ends[0]) * (to - from)
    }

    /// Returns the places and texts of the ticks.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        self.ticks.iter().map(|tick| (self.place(*tick), self.text(*tick)))
    }

    fn text(&self, tick: f64) -> String {
        if !self.is_logarithmic {
            let is_fine = self.ticks[1] - self.ticks[0] < 0.099;
            return if is_fine { format!("{tick:.2}") } else { format!("{tick:.1}") };
        }
        if tick < 1.0 {
            return format!("{tick}");
        }
        // Digits in groups of three.
        let digits = format!("{tick:.0}");
        let mut text = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    }
}

/// Returns the smallest and the largest value, or 1 and 1 if there is none.
fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low <= high { (low, high) } else { (1.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_round_and_all_values_are_within() {
        let texts = |axis: &Axis| axis.ticks().map(|(_, text)| text).collect::<Vec<_>>();
        for (values, expected) in [
            (vec![1300.0, 9000.0], "2,000 5,000 10,000"),
            (vec![3.0, 900_000.0], "10 100 1,000 10,000 100,000 1,000,000"),
            (vec![700.0], "500 1,000"),
            (vec![0.3, 0.4], "0.2 0.5"),
            (vec![], "0.5 1 2"),
        ] {
            let axis = Axis::logarithmic(values.iter().copied(), [400.0, 100.0]);
            assert_eq!(texts(&axis).join(" "), expected, "{values:?}");
            assert!(values.iter().all(|value| (100.0..=400.0).contains(&axis.place(*value))), "{values:?}");
        }
        for (values, expected) in [
            (vec![0.37, 0.98], "0.3 0.4 0.5 0.6 0.7 0.8 0.9 1.0"),
            (vec![0.955, 0.99], "0.95 0.96 0.97 0.98 0.99"),
            (vec![1.0], "0.99 1.00"),
            (vec![0.0, 0.004], "0.00 0.01"),
            (vec![0.0, 1.0], "0.0 0.2 0.4 0.6 0.8 1.0"),
        ] {
            let axis = Axis::linear(values.iter().copied(), [100.0, 400.0]);
            assert_eq!(texts(&axis).join(" "), expected, "{values:?}");
            assert!(values.iter().all(|value| (100.0..=400.0).contains(&axis.place(*value))), "{values:?}");
        }
    }
}
