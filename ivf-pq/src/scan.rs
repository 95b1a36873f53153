//! Scan of a list of codes: a first pass in bytes, 64 codes at a time, then exact distances for the
//! codes that pass it.

use crate::tables::{ByteTables, Source, SumLimit};
use ivf_core::scanner::ScanRange;
use ivf_core::{Neighbor, Sink};
use ivf_cpu::simd::{Kernel, LANES, Lanes, Simd};
use std::ops::Range;

/// Number of codes in a block.
pub(crate) const BLOCK: usize = 64;

/// Maximum number of codes selected by a filter for which the scan omits the first pass.
const FEW: usize = 8;

/// How a list stores the numbers of the centroids that codes select. One of `K` numbers takes 4 or
/// 8 bits:
///
/// ```text
/// K = 256, 3 subquantizers, 64 codes a b c ...:   | a0 b0 c0 ... | a1 b1 c1 ... | a2 b2 c2 ... |
/// K = 16 (the lower half of a byte first):        | a0a1 b0b1 c0c1 ...          | a2-- b2-- c2-- ... |
/// ```
pub(crate) trait Stored<const K: usize> {
    /// Maximum number of tables for which the sums of bytes are right, or beyond 16 bits and then
    /// the largest number.
    const MOST: usize;

    /// Returns the number of columns of 64 bytes that a block has for these subquantizers.
    fn columns(subquantizers: usize) -> usize;

    /// Returns the number of tables that a lookup takes. The last one may be a table of zeros.
    fn tables(subquantizers: usize) -> usize;

    /// Returns true if the instruction set looks up many numbers at once.
    fn has_lookup<S: Simd>() -> bool;

    /// Returns a bit mask of the codes whose entries add up to at most `limit`, for each block. The
    /// sum of the two entries of tables `2 i` and `2 i + 1` may stop at 255.
    fn at_most<S: Simd, const B: usize>(
        simd: S,
        tables: &[[u8; K]],
        blocks: [&[[u8; BLOCK]]; B],
        limit: u16,
    ) -> [u64; B];

    /// Returns the sums of entries of the codes of each block. The sum of the two entries of tables
    /// `2 i` and `2 i + 1` stops at 255, and the whole sum at 65,535.
    fn byte_sums<S: Simd, const B: usize>(
        simd: S,
        tables: &[[u8; K]],
        blocks: [&[[u8; BLOCK]]; B],
    ) -> [[u16; BLOCK]; B];

    /// Returns the numbers of a code, in order, and possibly one more.
    fn numbers(columns: &[[u8; BLOCK]], lane: usize) -> impl Iterator<Item = u16>;

    /// Returns `start` plus the sum of the entries of a code, in the order of additions that the
    /// distances of these codes have.
    fn sum(start: f32, entries: impl Iterator<Item = f32>) -> f32;

    /// Returns `start` plus the sums of entries of the 16 codes from lane `16 * group` on, or
    /// `None` if the entries of one code after the other are as fast.
    fn sums<S: Simd>(
        simd: S,
        start: f32,
        tables: &[[f32; K]],
        columns: &[[u8; BLOCK]],
        group: usize,
    ) -> Option<[f32; LANES]>;
}

/// The numbers in a list.
pub(crate) struct InList;

impl Stored<256> for InList {
    const MOST: usize = 257;

    #[inline(always)]
    fn columns(subquantizers: usize) -> usize {
        subquantizers
    }

    #[inline(always)]
    fn tables(subquantizers: usize) -> usize {
        subquantizers
    }

    #[inline(always)]
    fn has_lookup<S: Simd>() -> bool {
        S::HAS_LOOKUP
    }

    #[inline(always)]
    fn at_most<S: Simd, const B: usize>(
        simd: S,
        tables: &[[u8; 256]],
        blocks: [&[[u8; BLOCK]]; B],
        limit: u16,
    ) -> [u64; B] {
        simd.lookups_at_most(tables, blocks, limit)
    }

    #[inline(always)]
    fn byte_sums<S: Simd, const B: usize>(
        _simd: S,
        tables: &[[u8; 256]],
        blocks: [&[[u8; BLOCK]]; B],
    ) -> [[u16; BLOCK]; B] {
        blocks.map(|block| {
            let mut sums = [0_u16; BLOCK];
            for (tables, columns) in tables.chunks(2).zip(block.chunks(2)) {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    let entries = tables.iter().zip(columns).map(|(table, codes)| table[usize::from(codes[lane])]);
                    *sum = sum.saturating_add(entries.fold(0, u8::saturating_add).into());
                }
            }
            sums
        })
    }

    #[inline(always)]
    fn numbers(columns: &[[u8; BLOCK]], lane: usize) -> impl Iterator<Item = u16> {
        columns.iter().map(move |column| u16::from(column[lane]))
    }

    #[inline(always)]
    fn sum(start: f32, entries: impl Iterator<Item = f32>) -> f32 {
        entries.fold(start, |sum, entry| sum + entry)
    }

    #[inline(always)]
    fn sums<S: Simd>(
        _simd: S,
        _start: f32,
        _tables: &[[f32; 256]],
        _columns: &[[u8; BLOCK]],
        _group: usize,
    ) -> Option<[f32; LANES]> {
        None
    }
}

impl Stored<16> for InList {
    const MOST: usize = usize::MAX;

    #[inline(always)]
    fn columns(subquantizers: usize) -> usize {
        subquantizers.div_ceil(2)
    }

    #[inline(always)]
    fn tables(subquantizers: usize) -> usize {
        subquantizers.next_multiple_of(2)
    }

    #[inline(always)]
    fn has_lookup<S: Simd>() -> bool {
        S::HAS_HALF_BYTES
    }

    #[inline(always)]
    fn at_most<S: Simd, const B: usize>(
        simd: S,
        tables: &[[u8; 16]],
        blocks: [&[[u8; BLOCK]]; B],
        limit: u16,
    ) -> [u64; B] {
        simd.half_bytes_at_most(tables, blocks, limit)
    }

    #[inline(always)]
    fn byte_sums<S: Simd, const B: usize>(
        simd: S,
        tables: &[[u8; 16]],
        blocks: [&[[u8; BLOCK]]; B],
    ) -> [[u16; BLOCK]; B] {
        simd.half_byte_sums::<true, B>(tables, blocks)
    }

    #[inline(always)]
    fn numbers(columns: &[[u8; BLOCK]], lane: usize) -> impl Iterator<Item = u16> {
        columns.iter().flat_map(move |column| [column[lane] & 15, column[lane] >> 4].map(u16::from))
    }

    /// Four sums, of every fourth entry each, need not wait for one another.
    #[inline(always)]
    fn sum(start: f32, entries: impl Iterator<Item = f32>) -> f32 {
        let mut sums = [start, 0.0, 0.0, 0.0];
        entries.enumerate().for_each(|(m, entry)| sums[m % 4] += entry);
        let [a, b, c, d] = sums;
        (a + b) + (c + d)
    }

    #[inline(always)]
    fn sums<S: Simd>(
        simd: S,
        start: f32,
        tables: &[[f32; 16]],
        columns: &[[u8; BLOCK]],
        group: usize,
    ) -> Option<[f32; LANES]> {
        let bytes = |j: usize| &columns[j].as_chunks::<LANES>().0[group];
        let zero = simd.splat(0.0);
        // Four variables: in an array, the sums would be in memory.
        let (mut a, mut b, mut c, mut d) = (simd.splat(start), zero, zero, zero);
        let (fours, rest) = tables.as_chunks::<4>();
        for (i, tables) in fours.iter().enumerate() {
            let [first, second] = simd.lookup_half_bytes([&tables[0], &tables[1]], bytes(2 * i));
            (a, b) = (simd.add(a, first), simd.add(b, second));
            let [first, second] = simd.lookup_half_bytes([&tables[2], &tables[3]], bytes(2 * i + 1));
            (c, d) = (simd.add(c, first), simd.add(d, second));
        }
        // Zeros stand for tables past the last one.
        let none = [0.0; 16];
        if let [table, rest @ ..] = rest {
            let tables = [table, rest.first().unwrap_or(&none)];
            let [first, second] = simd.lookup_half_bytes(tables, bytes(2 * fours.len()));
            (a, b) = (simd.add(a, first), simd.add(b, second));
        }
        if let [_, _, table] = rest {
            let [first, _] = simd.lookup_half_bytes([table, &none], bytes(2 * fours.len() + 1));
            c = simd.add(c, first);
        }
        let sums = simd.add(simd.add(a, b), simd.add(c, d));
        Some(simd.to_array(sums))
    }
}

/// Results among the codes of a block. (An iterator of its own, since closures are not compiled for
/// the instructions of a kernel.)
pub(crate) struct Found<'a> {
    pub(crate) scan_range: &'a ScanRange<'a>,
    /// Slot of the first code of the block.
    pub(crate) first: usize,
    pub(crate) lanes: Lanes,
    pub(crate) distances: &'a [f32; BLOCK],
}

impl Iterator for Found<'_> {
    type Item = Neighbor;

    #[inline(always)]
    fn next(&mut self) -> Option<Neighbor> {
        let lane = self.lanes.next()?;
        Some(self.scan_range.neighbor(self.first + lane, self.distances[lane]))
    }

    #[inline(always)]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.lanes.size_hint()
    }
}

impl ExactSizeIterator for Found<'_> {}

/// Prefetches the ids of the entries of a block whose bits are set in `lanes`. Most of them will be
/// results, whose ids are scattered over a list.
#[inline(always)]
pub(crate) fn prefetch_ids<S: Simd>(simd: S, scan_range: &ScanRange<'_>, block: usize, lanes: u64) {
    for lane in Lanes(lanes) {
        simd.prefetch(scan_range.stored_id(block * BLOCK + lane));
    }
}

/// Exact distances of codes.
pub(crate) trait Exact {
    /// Returns the number of subquantizers.
    fn subquantizers(&self) -> usize;

    /// Returns the distance of a code: a sum over the numbers of its centroids. Numbers past the
    /// last subquantizer are ignored.
    fn distance<S: Simd>(&mut self, simd: S, code: impl Iterator<Item = u16>) -> f32;

    /// Returns the distances of the 16 codes of a block from lane `16 * group` on, or `None` if one
    /// after the other is as fast.
    fn distances<S: Simd>(&mut self, simd: S, columns: &[[u8; BLOCK]], group: usize) -> Option<[f32; LANES]>;
}

/// Scan of a range of a list for one query.
///
/// The first pass has a table of `K` bytes for each subquantizer. An entry is the contribution of
/// one centroid to the distance, rounded down. A permutation in registers looks up 64 codes in a
/// table, and the looked-up bytes of a code are summed. A code passes if its sum is at most a
/// limit, which follows from the sink's threshold and includes all rounding errors. So no code
/// within the threshold is lost, and the hits are the same as with exact distances for every code.
pub(crate) struct ScanCodes<'a, 's, F, E, const K: usize> {
    pub(crate) exact: E,
    /// Term that the distances of all codes have in common. The first pass adds it; `exact` has it
    /// already.
    pub(crate) start: f64,
    /// Source of the first pass. Without it, or if the instruction set has no lookups, all
    /// distances are computed exactly.
    pub(crate) source: Option<F>,
    /// Bytes made from `source`, or bytes for which [`ByteTables::forget`] was called.
    pub(crate) bytes: &'a mut ByteTables<K>,
    pub(crate) scan_range: &'a ScanRange<'a>,
    pub(crate) sink: &'s mut Sink,
}

impl<F: Source<K>, E: Exact, const K: usize> Kernel for ScanCodes<'_, '_, F, E, K>
where
    InList: Stored<K>,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        // The codes have one plane of whole blocks. A column has one byte of each of 64 codes.
        let columns = bytemuck::cast_slice::<u8, [u8; BLOCK]>(self.scan_range.segment().plane(0));
        let mut unscanned = self.scan_range.blocks();
        if !self.scan_range.is_masked() {
            return self.run_of_blocks(simd, columns, unscanned);
        }
        if self.scan_range.selected_len() <= FEW {
            for block in unscanned {
                let selected = self.scan_range.selected(block * BLOCK, BLOCK);
                self.exact_distances(simd, columns, block, selected);
            }
            return;
        }
        // Scans runs of blocks with selected codes: blocks without selected codes cost nothing.
        let scan_range = self.scan_range;
        let wanted = |block: usize| scan_range.selected(block * BLOCK, BLOCK) != 0;
        while let Some(first) = unscanned.find(|&block| wanted(block)) {
            let end = unscanned.find(|&block| !wanted(block)).unwrap_or(unscanned.end);
            self.run_of_blocks(simd, columns, first..end);
        }
    }
}

impl<F: Source<K>, E: Exact, const K: usize> ScanCodes<'_, '_, F, E, K>
where
    InList: Stored<K>,
{
    /// Scans blocks one after the other.
    #[inline(always)]
    fn run_of_blocks<S: Simd>(&mut self, simd: S, columns: &[[u8; BLOCK]], mut unscanned: Range<usize>) {
        let first = unscanned.start;
        let is_first = self.sink.threshold() >= f32::MAX;
        while !unscanned.is_empty() {
            // Until the sink is full, every code needs an exact distance. One block at a time then
            // gives a threshold as early as possible. While it falls fast, few blocks are scanned
            // with the same one. After that, up to 8 blocks share the loads of the tables.
            let together = match self.sink.threshold() {
                f32::MAX.. => 1,
                _ if is_first => unscanned.len().min(unscanned.start - first),
                _ => unscanned.len(),
            };
            unscanned.start += match together {
                8.. => self.blocks::<S, 8>(simd, columns, unscanned.start),
                7 => self.blocks::<S, 7>(simd, columns, unscanned.start),
                6 => self.blocks::<S, 6>(simd, columns, unscanned.start),
                5 => self.blocks::<S, 5>(simd, columns, unscanned.start),
                4 => self.blocks::<S, 4>(simd, columns, unscanned.start),
                3 => self.blocks::<S, 3>(simd, columns, unscanned.start),
                2 => self.blocks::<S, 2>(simd, columns, unscanned.start),
                _ => self.blocks::<S, 1>(simd, columns, unscanned.start),
            };
        }
    }

    /// Scans blocks `first..first + B`. Returns `B`.
    #[inline(always)]
    fn blocks<S: Simd, const B: usize>(&mut self, simd: S, columns: &[[u8; BLOCK]], first: usize) -> usize {
        let subquantizers = self.exact.subquantizers();
        let blocks: [&[[u8; BLOCK]]; B] = std::array::from_fn(|b| self.block(columns, first + b));
        let limit = match self.source {
            Some(source) if InList::has_lookup::<S>() => {
                self.bytes.sum_limit(source, subquantizers, self.start, self.sink.threshold())
            }
            _ => SumLimit::All,
        };
        let mut candidates = match limit {
            SumLimit::All => [u64::MAX; B],
            SumLimit::AtMost(limit) => InList::at_most(simd, &self.bytes.entries, blocks, limit),
            SumLimit::None => return B,
        };
        for (b, candidates) in candidates.iter_mut().enumerate() {
            if *candidates != 0 {
                *candidates &= self.scan_range.selected((first + b) * BLOCK, BLOCK);
                prefetch_ids(simd, self.scan_range, first + b, *candidates);
            }
        }
        for (b, candidates) in candidates.into_iter().enumerate() {
            self.exact_distances(simd, columns, first + b, candidates);
        }
        B
    }

    /// Returns the columns of a block that hold the numbers of the subquantizers. A block may have
    /// more, with the unused last bits of a code.
    #[inline(always)]
    fn block<'c>(&self, columns: &'c [[u8; BLOCK]], block: usize) -> &'c [[u8; BLOCK]] {
        let stride = self.scan_range.layout().block_bytes(0) / BLOCK;
        &columns[block * stride..][..InList::columns(self.exact.subquantizers())]
    }

    /// Computes the exact distances of the codes of a block whose bits are set in `lanes`. Pushes
    /// the near ones to the sink.
    #[inline(always)]
    fn exact_distances<S: Simd>(&mut self, simd: S, columns: &[[u8; BLOCK]], block: usize, mut lanes: u64) {
        let block_columns = self.block(columns, block);
        while lanes != 0 {
            let group = lanes.trailing_zeros() as usize / LANES;
            let of_group = lanes & (0xffff << (group * LANES));
            lanes &= !of_group;
            let distances = self.exact.distances(simd, block_columns, group);
            for lane in Lanes(of_group) {
                let distance = match &distances {
                    Some(distances) => distances[lane % LANES],
                    None => self.exact.distance(simd, InList::numbers(block_columns, lane)),
                };
                if distance <= self.sink.threshold() {
                    self.sink.push(self.scan_range.neighbor(block * BLOCK + lane, distance));
                }
            }
        }
    }
}
