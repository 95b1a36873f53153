//! Scan of a list of codes: a first pass in bytes, 64 codes at a time, then exact distances for the
//! codes that pass it.

use crate::tables::{ByteTables, Source, SumLimit};
use ivf_core::Sink;
use ivf_core::scanner::ScanRange;
use ivf_cpu::simd::{Kernel, Simd};
use std::ops::Range;

/// Number of codes in a block.
pub(crate) const BLOCK: usize = 64;

/// Maximum number of codes selected by a filter for which the scan omits the first pass.
const FEW: usize = 8;

/// Exact distances of codes.
pub(crate) trait Exact {
    /// Returns the number of subquantizers.
    fn subquantizers(&self) -> usize;

    /// Returns the distance of a code: a fold over its subquantizers, in order.
    fn distance<S: Simd>(&mut self, simd: S, code: impl Iterator<Item = u8>) -> f32;
}

/// Scan of a range of a list for one query.
///
/// ```text
/// a block of 64 codes, 3 subquantizers:  | first bytes of all 64 | second bytes | third bytes |
/// ```
///
/// The first pass has a table of 256 bytes for each subquantizer. An entry is the contribution of
/// one code byte to the distance, rounded down. A permutation in registers looks up 64 codes in a
/// table, and the looked-up bytes of a code are summed. A code passes if its sum is at most a
/// limit, which follows from the sink's threshold and includes all rounding errors. So no code
/// within the threshold is lost, and the hits are the same as with exact distances for every code.
pub(crate) struct ScanCodes<'a, 's, F, E> {
    pub(crate) exact: E,
    /// Term that the distances of all codes have in common. The first pass adds it; `exact` has it
    /// already.
    pub(crate) start: f64,
    /// Source of the first pass. Without it, or if the instruction set has no lookups, all
    /// distances are computed exactly.
    pub(crate) source: Option<F>,
    /// Bytes made from `source`, or bytes for which [`ByteTables::forget`] was called.
    pub(crate) bytes: &'a mut ByteTables,
    pub(crate) scan_range: &'a ScanRange<'a>,
    pub(crate) sink: &'s mut Sink,
}

impl<F: Source, E: Exact> Kernel for ScanCodes<'_, '_, F, E> {
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

impl<F: Source, E: Exact> ScanCodes<'_, '_, F, E> {
    /// Scans blocks one after the other.
    #[inline(always)]
    fn run_of_blocks<S: Simd>(&mut self, simd: S, columns: &[[u8; BLOCK]], mut unscanned: Range<usize>) {
        while !unscanned.is_empty() {
            // Until the sink is full, every code needs an exact distance. One block at a time then
            // gives a threshold as early as possible. After that, up to 8 blocks share the loads of
            // the tables.
            let together = if self.sink.threshold() < f32::MAX { unscanned.len() } else { 1 };
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
        let blocks: [&[[u8; BLOCK]]; B] =
            std::array::from_fn(|b| &columns[(first + b) * subquantizers..][..subquantizers]);
        let limit = match self.source {
            Some(source) if S::HAS_LOOKUP => {
                self.bytes.sum_limit(source, subquantizers, self.start, self.sink.threshold())
            }
            _ => SumLimit::All,
        };
        let candidates = match limit {
            SumLimit::All => [u64::MAX; B],
            SumLimit::AtMost(limit) => simd.lookups_at_most(&self.bytes.entries, blocks, limit),
            SumLimit::None => return B,
        };
        for (b, candidates) in candidates.into_iter().enumerate() {
            let block = first + b;
            let selected =
                if candidates == 0 { 0 } else { candidates & self.scan_range.selected(block * BLOCK, BLOCK) };
            self.exact_distances(simd, columns, block, selected);
        }
        B
    }

    /// Computes the exact distances of the codes of a block whose bits are set in `lanes`. Pushes
    /// the near ones to the sink.
    #[inline(always)]
    fn exact_distances<S: Simd>(&mut self, simd: S, columns: &[[u8; BLOCK]], block: usize, mut lanes: u64) {
        let subquantizers = self.exact.subquantizers();
        let block_columns = &columns[block * subquantizers..][..subquantizers];
        while lanes != 0 {
            let lane = lanes.trailing_zeros() as usize;
            lanes &= lanes - 1;
            let distance = self.exact.distance(simd, block_columns.iter().map(|column| column[lane]));
            if distance <= self.sink.threshold() {
                self.sink.push(self.scan_range.neighbor(block * BLOCK + lane, distance));
            }
        }
    }
}
