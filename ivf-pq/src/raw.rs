//! Distances that are sums of tables rounded to bytes, for callers that need no exact ones: an
//! index that re-ranks its candidates.

use crate::product::Table;
use crate::scan::{BLOCK, InList, Stored, prefetch_ids};
use crate::tables::least_and_most;
use ivf_core::Sink;
use ivf_core::scanner::ScanRange;
use ivf_cpu::simd::{Kernel, LANES, Simd};

/// Number of blocks that share the loads of the tables.
const TOGETHER: usize = 4;

/// Tables of a query, rounded to bytes in steps that do not depend on a threshold. (Faiss's fast
/// scan has such distances.)
#[derive(Clone, Debug, Default)]
pub(crate) struct RawTables<const K: usize> {
    entries: Vec<[u8; K]>,
    step: f32,
    /// Sum of the least entries.
    low: f32,
}

/// Rounds the tables of a query. Returns false if they are not finite.
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
        let (mut low, mut width) = (0.0_f32, 0.0_f32);
        for table in tables {
            let (least, most) = least_and_most(table);
            low += least;
            width = width.max(most - least);
        }
        raw.step = (width / 255.0).max(f32::MIN_POSITIVE);
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
        low.is_finite() && width.is_finite() && scale.is_finite()
    }
}

impl<const K: usize> RawTables<K>
where
    InList: Stored<K>,
{
    /// Returns the distance of a code, where `start` is added to the sums.
    pub(crate) fn distance(&self, start: f32, numbers: impl Iterator<Item = u16>) -> f32 {
        let entries = self.entries.iter().zip(numbers).map(|(table, number)| table[usize::from(number) % K]);
        let sum = entries.map(u32::from).sum::<u32>().min(u16::MAX.into());
        (sum as f32).mul_add(self.step, start + self.low)
    }
}

/// Scan of a range of a list for one query.
pub(crate) struct ScanRaw<'a, 's, const K: usize> {
    pub(crate) raw: &'a RawTables<K>,
    pub(crate) subquantizers: usize,
    pub(crate) start: f32,
    pub(crate) scan_range: &'a ScanRange<'a>,
    pub(crate) sink: &'s mut Sink,
}

impl<const K: usize> Kernel for ScanRaw<'_, '_, K>
where
    InList: Stored<K>,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
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
                    TOGETHER.. => self.blocks::<S, TOGETHER>(simd, first),
                    2.. => self.blocks::<S, 2>(simd, first),
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
        let sums = InList::byte_sums(simd, &self.raw.entries, blocks);
        let (step, base) = (simd.splat(self.raw.step), simd.splat(self.start + self.raw.low));
        let (mut distances, mut near) = ([[0.0; BLOCK]; B], [0; B]);
        for (b, sums) in sums.iter().enumerate() {
            for (group, sums) in sums.as_chunks::<LANES>().0.iter().enumerate() {
                let found = simd.mul_add(simd.load_u16(sums), step, base);
                near[b] |= u64::from(simd.at_most(found, self.sink.threshold())) << (group * LANES);
                distances[b].as_chunks_mut::<LANES>().0[group] = simd.to_array(found);
            }
            if near[b] != 0 {
                near[b] &= self.scan_range.selected((first + b) * BLOCK, BLOCK);
                prefetch_ids(simd, self.scan_range, first + b, near[b]);
            }
        }
        for (b, mut near) in near.into_iter().enumerate() {
            while near != 0 {
                let lane = near.trailing_zeros() as usize;
                near &= near - 1;
                if distances[b][lane] <= self.sink.threshold() {
                    self.sink.push(self.scan_range.neighbor((first + b) * BLOCK + lane, distances[b][lane]));
                }
            }
        }
        B
    }
}
