//! Tables of bytes for a first pass: sums of them are never above what the whole tables' sums come to.

use crate::product::{CENTROIDS, Table};
use ivf_cpu::simd::LANES;

/// A table in bytes.
pub(crate) type Bytes = [u8; CENTROIDS];

/// Sums of so many bytes fit 16 bits.
pub(crate) const MOST_PARTS: usize = 257;

/// More than a byte can be too high by, in steps: the roundings of one multiplication and three additions.
const ROUNDING: f64 = 1e-3;

/// Where the bytes of a first pass come from.
pub(crate) trait Source: Copy {
    /// How far the entries go.
    fn ends(self) -> Ends;

    /// Writes for each part `(entry - least) / step`, rounded down, at most 255. Gives the step, which need not be the one asked for.
    fn fill(self, step: f64, bytes: &mut [Bytes]) -> f64;
}

/// Of all tables together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends {
    /// The sum of the least entries.
    pub(crate) low: f64,
    /// At least what a sum of entries can come to, whatever their signs; not finite if it can overflow. (NaN entries count for nothing:
    /// a distance that has one is no hit.)
    pub(crate) size: f64,
    /// By how much a sum in `f32` can be below the true one.
    pub(crate) slack: f64,
    /// How far the widest goes; 0 if the step is not to be chosen.
    pub(crate) width: f64,
}

/// Which codes need the whole tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Near {
    /// All: bytes say nothing.
    All,
    /// Those whose bytes come to at most so much.
    AtMost(u16),
    /// None.
    None,
}

/// The bytes of a first pass, and what they bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByteTables {
    pub(crate) bytes: Vec<Bytes>,
    ends: Ends,
    step: f64,
    /// What the step was chosen for.
    reach: f64,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unknown,
    /// There are none: too many tables, or numbers that are not finite.
    Impossible,
    /// The ends are known.
    Measured,
    Made,
}

impl ByteTables {
    /// Tells them that the tables have changed.
    pub(crate) fn forget(&mut self) {
        self.state = State::Unknown;
    }

    /// What can come to at most `threshold` from `start` on. The bytes are made when they are needed, and anew where the threshold
    /// has come so close that finer ones rule out more.
    #[inline(always)]
    pub(crate) fn near(&mut self, source: impl Source, parts: usize, start: f64, threshold: f32) -> Near {
        if self.state == State::Unknown {
            self.ends = source.ends();
            let finite = (self.ends.low + self.ends.size + self.ends.slack + self.ends.width).is_finite();
            self.state = if finite && parts <= MOST_PARTS { State::Measured } else { State::Impossible };
        }
        let Ends { low, size, slack, width } = self.ends;
        // Where a sum could overflow on its way, a bound says nothing.
        let fits = size + start.abs() < f64::from(f32::MAX) / 2.0;
        if self.state == State::Impossible || threshold == f32::INFINITY || !fits {
            return Near::All;
        }
        let slack = slack + start.abs() * rounding(parts);
        let above = f64::from(threshold) - start - low + slack;
        if above < 0.0 {
            return Near::None;
        }
        // Entries beyond the reach rule a code out whatever the others are: they may all be 255.
        let reach = above.clamp(width / 16.0, width);
        if self.state == State::Measured || reach < self.reach / 2.0 {
            self.bytes.resize(parts, [0; CENTROIDS]);
            self.step = source.fill((reach / 255.0).max(1e-30), &mut self.bytes);
            (self.reach, self.state) = (reach, State::Made);
        }
        let steps = above / self.step + ROUNDING * parts as f64;
        Near::AtMost(steps.min(f64::from(u16::MAX)) as u16)
    }
}

/// More than a sum of so many numbers in `f32` is off by, as a share of their sizes.
pub(crate) fn rounding(numbers: usize) -> f64 {
    (numbers + 4) as f64 * f64::from(f32::EPSILON)
}

/// Tables of floats.
#[derive(Clone, Copy)]
pub(crate) struct Whole<'a>(pub(crate) &'a [Table]);

impl Source for Whole<'_> {
    #[inline(always)]
    fn ends(self) -> Ends {
        let mut ends = Ends::default();
        for table in self.0 {
            let (least, most) = least_and_most(table);
            ends.low += f64::from(least);
            ends.size += f64::from(least.abs().max(most.abs()));
            ends.width = ends.width.max(f64::from(most) - f64::from(least));
        }
        ends.slack = ends.size * rounding(self.0.len());
        ends
    }

    #[inline(always)]
    fn fill(self, step: f64, bytes: &mut [Bytes]) -> f64 {
        for (table, bytes) in self.0.iter().zip(bytes) {
            round_down(table, 1.0, least_and_most(table).0, step, 255, bytes);
        }
        step
    }
}

/// Writes `(factor * entry - low) / step`, rounded down, from 0 to `most`.
#[inline(always)]
pub(crate) fn round_down(table: &Table, factor: f32, low: f32, step: f64, most: u8, bytes: &mut Bytes) {
    let (scale, most) = ((1.0 / step) as f32, f32::from(most));
    for i in 0..CENTROIDS {
        // Rounded to the nearest of what is half a step less, by way of a number whose last place is 1.
        let steps = ((factor * table[i] - low) * scale - 0.5).clamp(0.0, most);
        bytes[i] = (steps + 8_388_608.0).to_bits() as u8;
    }
}

/// The least and the greatest entry.
#[inline(always)]
pub(crate) fn least_and_most(table: &Table) -> (f32, f32) {
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    for lanes in table.as_chunks::<LANES>().0 {
        for i in 0..LANES {
            low[i] = if lanes[i] < low[i] { lanes[i] } else { low[i] };
            high[i] = if lanes[i] > high[i] { lanes[i] } else { high[i] };
        }
    }
    // Halves onto halves.
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            low[i] = if low[i + width] < low[i] { low[i + width] } else { low[i] };
            high[i] = if high[i + width] > high[i] { high[i + width] } else { high[i] };
        }
        width /= 2;
    }
    (low[0], high[0])
}
