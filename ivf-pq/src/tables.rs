//! Tables of bytes for a first pass: sums of them are never above what the whole tables' sums come to.

use crate::product::{CENTROIDS, Table};
use ivf_cpu::simd::LANES;

/// Sums of so many bytes fit 16 bits.
pub(crate) const MOST_PARTS: usize = 257;

/// More than a byte can be too high by, in steps: the roundings of one multiplication and two additions.
const ROUNDING: f64 = 1e-4;

/// The tables of a query, in bytes: `(entry - least of its table) / step`, rounded down, at most 255.
#[derive(Debug, Default)]
pub(crate) struct ByteTables {
    pub(crate) bytes: Vec<[u8; CENTROIDS]>,
    /// The sum of the least entries, and of the largest sizes.
    low: f64,
    size: f64,
    step: f64,
}

impl ByteTables {
    /// The bytes of these tables, for codes whose entries come to about `reach`. False if there are none: numbers that are not
    /// finite, or too many tables.
    #[inline(always)]
    pub(crate) fn make(&mut self, tables: &[Table], reach: f64) -> bool {
        if tables.len() > MOST_PARTS {
            return false;
        }
        let (mut low, mut size, mut width) = (0.0, 0.0, 0.0_f32);
        let mut lows = Vec::with_capacity(tables.len());
        for table in tables {
            let (least, most) = ends(table);
            low += f64::from(least);
            size += f64::from(least.abs().max(most.abs()));
            width = width.max(most - least);
            lows.push(least);
        }
        let (width, above) = (f64::from(width), reach - low);
        if !(size + width + above).is_finite() {
            return false;
        }
        // Entries beyond the reach rule a code out whatever the others are: they may all be 255.
        self.step = (above.clamp(width / 16.0, width) / 255.0).max(1e-30);
        (self.low, self.size) = (low, size);
        let scale = (1.0 / self.step) as f32;
        self.bytes.resize(tables.len(), [0; CENTROIDS]);
        for ((bytes, table), low) in self.bytes.iter_mut().zip(tables).zip(lows) {
            for (byte, &entry) in bytes.iter_mut().zip(table) {
                // Rounded to the nearest of what is half a step less, by way of a number whose last place is 1.
                let steps = ((entry - low) * scale - 0.5).clamp(0.0, 255.0);
                *byte = (steps + 8_388_608.0).to_bits() as u8;
            }
        }
        true
    }

    /// The greatest sum of bytes of a code that comes to at most `threshold` from `start` on; `None` if no code does.
    #[inline(always)]
    pub(crate) fn limit(&self, start: f32, threshold: f32) -> Option<u16> {
        // Where a sum could overflow on its way, it says nothing: all are looked up in the whole tables.
        if self.size + f64::from(start.abs()) >= f64::from(f32::MAX) / 2.0 {
            return Some(u16::MAX);
        }
        let parts = self.bytes.len() as f64;
        // By how much the sum of `f32` can be below the true one.
        let slack = (self.size + f64::from(start.abs())) * (parts + 4.0) * f64::from(f32::EPSILON);
        let steps = (f64::from(threshold) - f64::from(start) - self.low + slack) / self.step + ROUNDING * parts;
        (steps >= 0.0).then(|| steps.min(f64::from(u16::MAX)) as u16)
    }
}

/// The least and the greatest entry.
#[inline(always)]
fn ends(table: &Table) -> (f32, f32) {
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    for lanes in table.as_chunks::<LANES>().0 {
        for i in 0..LANES {
            low[i] = if lanes[i] < low[i] { lanes[i] } else { low[i] };
            high[i] = if lanes[i] > high[i] { lanes[i] } else { high[i] };
        }
    }
    (low.into_iter().fold(f32::INFINITY, f32::min), high.into_iter().fold(f32::NEG_INFINITY, f32::max))
}
