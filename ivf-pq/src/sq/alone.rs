//! Scan for one query alone, which decodes in registers.

use super::numbers::{Coded, Numbers};
use ivf_core::scanner::{ScanQuery, ScanRange};
use ivf_cpu::kernels::{BLOCK, Distance};
use ivf_cpu::simd::{Kernel, LANES, Lanes, Simd};
use std::ops::Range;

/// Scan of a range for one query, which decodes in registers. It takes blocks in pairs: a pair has
/// four registers of sums. One block has two, and each addition waits for the one before. (Decoding
/// pairs into columns in the cache took 1.6 times as long.)
pub(super) struct ScanAlone<'a, 'q, D, N> {
    pub(super) distance: D,
    pub(super) numbers: N,
    pub(super) steps: &'a [f32],
    pub(super) bases: &'a [f32],
    pub(super) scan_range: &'a ScanRange<'a>,
    pub(super) blocks: Range<usize>,
    pub(super) query: ScanQuery<'q>,
}

impl<D: Distance, N: Numbers> Kernel for ScanAlone<'_, '_, D, N> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        // A block that waits for another one, with a mask of the lanes to compare.
        let mut waiting = None;
        for b in self.blocks.clone() {
            let lanes = self.query.selected(self.scan_range, b * BLOCK, BLOCK) as u32;
            if lanes == 0 {
                continue;
            }
            if const { N::IN_PAIRS } {
                let Some(other) = waiting.take() else {
                    waiting = Some((b, lanes));
                    continue;
                };
                self.compare::<S, 2, 4>(simd, [other, (b, lanes)]);
            } else {
                self.compare::<S, 1, 2>(simd, [(b, lanes)]);
            }
        }
        if let Some(last) = waiting {
            self.compare::<S, 1, 2>(simd, [last]);
        }
    }
}

impl<'a, D: Distance, N: Numbers> ScanAlone<'a, '_, D, N> {
    #[inline(always)]
    fn block(&self, b: usize) -> &'a [N::Column] {
        let columns = self.scan_range.layout().block_bytes(0) / size_of::<N::Column>();
        &bytemuck::cast_slice::<u8, N::Column>(self.scan_range.segment().plane(0))[b * columns..][..columns]
    }

    /// Computes the distances of `M` blocks in `H = 2 M` registers, and passes those in the masks
    /// of lanes that are near to the sink.
    #[inline(always)]
    fn compare<S: Simd, const M: usize, const H: usize>(&mut self, simd: S, pair: [(usize, u32); M]) {
        let blocks = pair.map(|(b, _)| self.block(b));
        let (steps, bases) = (self.steps, &self.bases[..self.steps.len()]);
        let coded = Coded { numbers: self.numbers, blocks, steps, bases };
        let threshold = self.query.sink.threshold();
        let [sums] = self.distance.distances::<S, _, 1, H>(simd, [self.query.query], coded, 0);
        for (sums, (b, lanes)) in sums.as_chunks::<2>().0.iter().zip(pair) {
            let near = simd.at_most(sums[0], threshold) | simd.at_most(sums[1], threshold) << LANES;
            let lanes = lanes & near;
            if lanes != 0 {
                let distances: [f32; BLOCK] = bytemuck::must_cast(sums.map(|sums| simd.to_array(sums)));
                for lane in Lanes(lanes.into()) {
                    self.query.sink.push(self.scan_range.neighbor(b * BLOCK + lane, distances[lane]));
                }
            }
        }
    }
}
