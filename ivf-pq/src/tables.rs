//! Tables of bytes for a first pass. Their sums are never above the sums of the whole tables.

use crate::product::Table;
use crate::scan::{InList, Stored};
use ivf_cpu::simd::LANES;

/// Table quantised to bytes.
pub(crate) type Bytes<const K: usize> = [u8; K];

/// Upper bound of the rounding error of one quantised table entry, in quantisation steps: the
/// roundings of one multiplication and three additions.
const ROUNDING: f64 = 1e-3;

/// Source of the bytes of a first pass.
pub(crate) trait Source<const K: usize>: Copy {
    /// Returns the range of the entries.
    fn ends(self) -> Ends;

    /// Writes `(entry - least) / step` for each subquantizer, rounded down and at most 255. Returns
    /// the step, which may differ from the requested one.
    fn fill(self, step: f64, bytes: &mut [Bytes<K>]) -> f64;
}

/// Range of the entries of all tables together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends {
    /// Sum of the least entries.
    pub(crate) low: f64,
    /// Upper bound of the size of a sum of entries, whatever their signs. It is not finite if the
    /// sum can overflow. (NaN entries are ignored: a distance that has one is no hit.)
    pub(crate) size: f64,
    /// Upper bound of the amount by which a sum in `f32` can be below the true one.
    pub(crate) slack: f64,
    /// Width of the range of the widest table; 0 if the source sets the step itself.
    pub(crate) width: f64,
}

/// Codes that need the whole tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SumLimit {
    /// All codes: the bytes exclude none.
    All,
    /// Codes whose bytes add up to at most this.
    AtMost(u16),
    /// No codes.
    None,
}

/// Bytes of a first pass, with the numbers that their bound needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByteTables<const K: usize> {
    /// The tables, and zeros up to the number that the lookups take.
    pub(crate) entries: Vec<Bytes<K>>,
    ends: Ends,
    step: f64,
    /// Distance above the least entry that the bytes cover with the current step.
    reach: f64,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unknown,
    /// No bytes are possible: too many tables, or numbers that are not finite.
    Impossible,
    /// The range of the entries is known.
    Measured,
    Made,
}

impl<const K: usize> ByteTables<K>
where
    InList: Stored<K>,
{
    /// Discards the bytes, because the tables have changed.
    pub(crate) fn forget(&mut self) {
        self.state = State::Unknown;
    }

    /// Returns which codes can have a distance of at most `threshold`, where `start` is added to
    /// the sums. The tables are quantised when they are needed, and again when a smaller
    /// threshold allows finer steps.
    #[inline(always)]
    pub(crate) fn sum_limit(
        &mut self,
        source: impl Source<K>,
        subquantizers: usize,
        start: f64,
        threshold: f32,
    ) -> SumLimit {
        if self.state == State::Unknown {
            self.ends = source.ends();
            let finite = (self.ends.low + self.ends.size + self.ends.slack + self.ends.width).is_finite();
            self.state = if finite && subquantizers <= InList::MOST { State::Measured } else { State::Impossible };
        }
        let Ends { low, size, slack, width } = self.ends;
        // If a sum can overflow on its way, the bound means nothing.
        let fits = size + start.abs() < f64::from(f32::MAX) / 2.0;
        if self.state == State::Impossible || threshold == f32::INFINITY || !fits {
            return SumLimit::All;
        }
        let slack = slack + start.abs() * rounding(subquantizers);
        let above = f64::from(threshold) - start - low + slack;
        if above < 0.0 {
            return SumLimit::None;
        }
        // A byte of 255, or two bytes whose sum stops there, exceed the limit of 254. So an entry
        // beyond the reach excludes a code on its own, and all such entries may be equal.
        let reach = above.clamp(width / 16.0, width);
        if self.state == State::Measured || reach < self.reach / 2.0 {
            self.entries.resize(InList::tables(subquantizers), [0; K]);
            self.step = source.fill((reach / 254.0).max(1e-30), &mut self.entries);
            (self.reach, self.state) = (reach, State::Made);
        }
        let steps = above / self.step + ROUNDING * subquantizers as f64;
        SumLimit::AtMost(steps.min(f64::from(u16::MAX)) as u16)
    }
}

/// Returns an upper bound of the rounding error of a sum of `numbers` numbers in `f32`, relative to
/// the sum of their absolute values.
pub(crate) fn rounding(numbers: usize) -> f64 {
    (numbers + 4) as f64 * f64::from(f32::EPSILON)
}

/// Tables of floats, as a source of bytes.
#[derive(Clone, Copy)]
pub(crate) struct Whole<'a, const K: usize>(pub(crate) &'a [Table<K>]);

impl<const K: usize> Source<K> for Whole<'_, K> {
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
    fn fill(self, step: f64, bytes: &mut [Bytes<K>]) -> f64 {
        for (table, bytes) in self.0.iter().zip(bytes) {
            round_down(table, 1.0, least_and_most(table).0, step, 255, bytes);
        }
        step
    }
}

/// Writes `(factor * entry - low) / step`, rounded down and clamped to `0..=most`.
#[inline(always)]
pub(crate) fn round_down<const K: usize>(
    table: &Table<K>,
    factor: f32,
    low: f32,
    step: f64,
    most: u8,
    bytes: &mut Bytes<K>,
) {
    let (scale, most) = ((1.0 / step) as f32, f32::from(most));
    for i in 0..K {
        // Subtracts half a step and rounds to nearest. The rounding adds a number (2^23) whose last
        // place is 1.
        let steps = ((factor * table[i] - low) * scale - 0.5).clamp(0.0, most);
        bytes[i] = (steps + 8_388_608.0).to_bits() as u8;
    }
}

/// Returns the least and the greatest entry.
#[inline(always)]
pub(crate) fn least_and_most<const K: usize>(table: &Table<K>) -> (f32, f32) {
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    for lanes in table.as_chunks::<LANES>().0 {
        for i in 0..LANES {
            low[i] = if lanes[i] < low[i] { lanes[i] } else { low[i] };
            high[i] = if lanes[i] > high[i] { lanes[i] } else { high[i] };
        }
    }
    // Combines halves of the lanes until one lane is left.
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
