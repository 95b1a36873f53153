//! Distances that are sums of tables rounded to bytes, for callers that need no exact ones: an
//! index that re-ranks its candidates.

use crate::product::Table;
use crate::scan::{BLOCK, Found, InList, Stored, prefetch_ids};
use crate::tables::least_and_most;
use ivf_core::Sink;
use ivf_core::scanner::ScanRange;
use ivf_cpu::simd::{Kernel, Lanes, Simd};

/// Tables of a query, rounded to bytes in steps that do not depend on a threshold. (Faiss's fast
/// scan has such distances.)
#[derive(Clone, Debug, Default)]
pub(crate) struct RawTables<const K: usize> {
    entries: Vec<[u8; K]>,
    step: f32,
    /// Sum of the least entries.
    low: f32,
}

/// Rounds the tables of a query. Returns false if they are not finite, or too many.
pub(crate) struct SetRaw<'a, const K: usize> {
    pub(crate) tables: &'a [Table<K>],
    pub(crate) raw: &'a mut RawTables<K>,
}

impl<const K: usize> Kernel for SetRaw<'_, K>
where
    InList: Stored<K>,
{
    type Output = bool;
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> bool {
        let Self { tables, raw } = self;
        let (mut low, mut width, mut total) = (0.0_f32, 0.0_f32, 0.0_f32);
        for pair in tables.chunks(2) {
            let mut of_pair = 0.0;
            for table in pair {
                let (least, most) = least_and_most(table);
                low += least;
                of_pair += most - least;
            }
            width = width.max(of_pair);
            total += of_pair;
        }
        // Rounding to nearest adds at most half a step to each entry. So a pair of at most 254
        // steps stays within 255, and a sum of as many steps as there are left within 16 bits.
        let most = f32::from(u16::MAX) - tables.len() as f32 / 2.0;
        raw.step = (width / 254.0).max(total / most).max(f32::MIN_POSITIVE);
        raw.low = low;
        raw.entries.clear();
        raw.entries.resize(InList::tables(tables.len()), [0; K]);
        let scale = 1.0 / raw.step;
        for (table, bytes) in tables.iter().zip(&mut raw.entries) {
            let least = least_and_most(table).0;
            for i in 0..K {
                // A number whose last place is 1 (2^23) rounds the sum to a whole number.
                let steps = ((table[i] - least) * scale).clamp(0.0, 255.0);
                bytes[i] = (steps + 8_388_608.0).to_bits() as u8;
            }
        }
        // Beyond 65,534 tables, rounding needs more than half of the range of a sum. The steps
        // would then be so wide that most entries become 0.
        low.is_finite() && total.is_finite() && scale.is_finite() && most >= 32_768.0
    }
}

impl<const K: usize> RawTables<K>
where
    InList: Stored<K>,
{
    /// Returns the distance of a code, where `start` is added to the sums.
    pub(crate) fn distance(&self, start: f32, numbers: impl Iterator<Item = u16>) -> f32 {
        let mut entries = self.entries.iter().zip(numbers).map(|(table, number)| table[usize::from(number) % K]);
        let mut sum = 0_u16;
        while let Some(first) = entries.next() {
            sum = sum.saturating_add(first.saturating_add(entries.next().unwrap_or(0)).into());
        }
        self.of_sum(start, sum)
    }

    #[inline(always)]
    fn of_sum(&self, start: f32, sum: u16) -> f32 {
        f32::from(sum).mul_add(self.step, start + self.low)
    }

    /// Returns the largest sum whose distance is at most `threshold`, or `None` if no distance is.
    #[inline(always)]
    fn limit(&self, start: f32, threshold: f32) -> Option<u16> {
        let is_near = |sum: u16| self.of_sum(start, sum) <= threshold;
        // The distance is monotone in the sum, so a bisection finds the limit. The quotient is
        // nearly always within one of it, and leaves nothing to bisect.
        let (mut low, mut high) = (0, u16::MAX);
        let guess = ((threshold - (start + self.low)) / self.step) as u16;
        for sum in [guess.saturating_sub(1), guess, guess.saturating_add(1)] {
            if is_near(sum) { low = low.max(sum) } else { high = high.min(sum.saturating_sub(1)) }
        }
        if !is_near(low) {
            return None;
        }
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if is_near(middle) { low = middle } else { high = middle - 1 }
        }
        Some(low)
    }
}

/// Scan of a range of a list for one query.
pub(crate) struct ScanRaw<'a, 's, const K: usize> {
    pub(crate) raw: &'a RawTables<K>,
    pub(crate) subquantizers: usize,
    pub(crate) start: f32,
    pub(crate) scan_range: &'a ScanRange<'a>,
    pub(crate) sink: &'s mut Sink,
    /// Tables that the next scan will read, which are prefetched.
    pub(crate) next: Option<&'a RawTables<K>>,
}

impl<const K: usize> Kernel for ScanRaw<'_, '_, K>
where
    InList: Stored<K>,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if let Some(next) = self.next {
            simd.prefetch(&next.entries);
        }
        let mut left = self.scan_range.blocks();
        let (start, is_first) = (left.start, self.sink.threshold() >= f32::MAX);
        // Blocks without selected codes cost nothing.
        while let Some(first) = self.scan_range.first_block(left.clone()) {
            // As for exact distances, few blocks are scanned together while the threshold falls
            // fast.
            let together = match self.sink.threshold() {
                f32::MAX.. => 1,
                _ if is_first => (left.end - first).min((first - start).max(1)),
                _ => left.end - first,
            };
            left.start = first
                + match together {
                    8.. => self.blocks::<S, 8>(simd, first),
                    6.. => self.blocks::<S, 6>(simd, first),
                    4.. => self.blocks::<S, 4>(simd, first),
                    3 => self.blocks::<S, 3>(simd, first),
                    2 => self.blocks::<S, 2>(simd, first),
                    _ => self.blocks::<S, 1>(simd, first),
                };
        }
    }
}

impl<const K: usize> ScanRaw<'_, '_, K>
where
    InList: Stored<K>,
{
    /// Scans blocks `first..first + B`. Returns `B`.
    #[inline(always)]
    fn blocks<S: Simd, const B: usize>(&mut self, simd: S, first: usize) -> usize {
        let columns = bytemuck::cast_slice::<u8, [u8; BLOCK]>(self.scan_range.segment().plane(0));
        let stride = self.scan_range.layout().block_bytes(0) / BLOCK;
        let used = InList::columns(self.subquantizers);
        let blocks: [&[[u8; BLOCK]]; B] = std::array::from_fn(|b| &columns[(first + b) * stride..][..used]);
        let Some(limit) = self.raw.limit(self.start, self.sink.threshold()) else { return B };
        let sums = InList::byte_sums(simd, &self.raw.entries, blocks);
        let (step, base) = (simd.splat(self.raw.step), simd.splat(self.start + self.raw.low));
        for (b, sums) in sums.iter().enumerate() {
            let mut near = simd.at_most_u16(sums, limit);
            if near == 0 {
                continue;
            }
            near &= self.scan_range.selected((first + b) * BLOCK, BLOCK);
            prefetch_ids(simd, self.scan_range, first + b, near);
            let mut distances = [0.0; BLOCK];
            for (distances, sums) in distances.as_chunks_mut().0.iter_mut().zip(sums.as_chunks().0) {
                *distances = simd.to_array(simd.mul_add(simd.load_u16(sums), step, base));
            }
            let (scan_range, lanes) = (self.scan_range, Lanes(near));
            self.sink.push_all(Found { scan_range, first: (first + b) * BLOCK, lanes, distances: &distances });
        }
        B
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_cpu::simd::Level;

    /// A sum that stopped at the largest number of 16 bits would make all codes equally far.
    #[test]
    fn distances_are_near_the_sums_of_whole_tables_however_many_there_are() {
        for subquantizers in [1, 7, 64, 514, 576, 2048, 5001] {
            let entry = |i: usize| (i * 7919 % 1013) as f32 / 100.0 - 3.0;
            let tables: Vec<Table<16>> = (0..subquantizers)
                .map(|m| std::array::from_fn(|i| entry(m * 16 + i) * (1.0 + (m % 5) as f32)))
                .collect();
            let mut raw = RawTables::default();
            assert!(Level::get().run(SetRaw { tables: &tables, raw: &mut raw }));
            for code in 0..20 {
                let number = |m: usize| ((m * 31 + code * 17) % 16) as u16;
                let exact: f64 =
                    tables.iter().enumerate().map(|(m, table)| f64::from(table[usize::from(number(m))])).sum();
                let found = f64::from(raw.distance(2.0, (0..subquantizers).map(number))) - 2.0;
                let most = f64::from(raw.step) / 2.0 * subquantizers as f64 + 1e-5 * exact.abs();
                assert!((found - exact).abs() <= most, "{subquantizers}: {found} for {exact}, at most {most} off");
            }
        }
    }

    #[test]
    fn a_limit_is_the_largest_sum_within_the_threshold() {
        for (step, low) in [(1.0, 0.0), (0.013, -3.0), (1e-3, 1e6), (f32::MIN_POSITIVE, 0.0), (1e-20, 1.0), (0.5, -1e4)]
        {
            let raw = RawTables::<16> { entries: Vec::new(), step, low };
            for start in [0.0, 17.5, -1e7, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
                for sum in [0, 1, 2, 999, 32_768, u16::MAX - 1, u16::MAX] {
                    let at = raw.of_sum(start, sum);
                    for threshold in [at, at.next_up(), at.next_down(), f32::INFINITY, f32::MAX, f32::MIN] {
                        // Distances do not fall as sums grow, so the neighbours of the limit are
                        // enough.
                        let is_near = |sum: u16| raw.of_sum(start, sum) <= threshold;
                        let is_right = match raw.limit(start, threshold) {
                            Some(limit) => is_near(limit) && (limit == u16::MAX || !is_near(limit + 1)),
                            None => !is_near(0),
                        };
                        assert!(is_right, "{step} {low} {start} {threshold}");
                    }
                }
            }
        }
    }
}
