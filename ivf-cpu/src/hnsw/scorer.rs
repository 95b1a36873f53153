//! Distances from a query to nodes, by which a search finds its way.

use crate::kernels::{ByLanes, LaneQuery};
use crate::simd::Simd;
use ivf_core::InvertedListScanner;

/// Number of codes that a scanner gets at a time.
const TOGETHER: usize = 64;

/// Distances from one query to nodes. They may differ from those that a search returns by rounding.
pub(super) trait Scorer {
    /// Writes the inner distances to `nodes` to `out`. None of them is NaN.
    fn distances<S: Simd>(&self, simd: S, nodes: &[u32], out: &mut [f32]);

    /// Prefetches the code of a node.
    fn prefetch<S: Simd>(&self, simd: S, node: u32);
}

/// Vectors in rows.
pub(super) struct OfRows<'a, D> {
    pub(super) distance: D,
    pub(super) query: &'a LaneQuery,
    pub(super) rows: &'a [f32],
    pub(super) dim: usize,
}

impl<D: ByLanes> Scorer for OfRows<'_, D> {
    #[inline(always)]
    fn distances<S: Simd>(&self, simd: S, nodes: &[u32], out: &mut [f32]) {
        let row = |i: usize| &self.rows[nodes[i] as usize * self.dim..][..self.dim];
        self.distance.distances(simd, self.query, row, out);
    }

    #[inline(always)]
    fn prefetch<S: Simd>(&self, simd: S, node: u32) {
        simd.prefetch(&self.rows[node as usize * self.dim..][..self.dim]);
    }
}

/// Codes of any codec, with a scanner whose query is set.
pub(super) struct OfCodes<'a> {
    pub(super) scanner: &'a dyn InvertedListScanner,
    pub(super) codes: &'a [u8],
    pub(super) code_size: usize,
}

impl OfCodes<'_> {
    #[inline(always)]
    fn code(&self, node: u32) -> &[u8] {
        &self.codes[node as usize * self.code_size..][..self.code_size]
    }
}

impl Scorer for OfCodes<'_> {
    #[inline(always)]
    fn distances<S: Simd>(&self, _simd: S, nodes: &[u32], out: &mut [f32]) {
        for (nodes, out) in nodes.chunks(TOGETHER).zip(out.chunks_mut(TOGETHER)) {
            let mut codes = [&[][..]; TOGETHER];
            codes.iter_mut().zip(nodes).for_each(|(code, node)| *code = self.code(*node));
            self.scanner.distances_to(&codes[..nodes.len()], out);
            for distance in out {
                *distance = if distance.is_nan() { f32::INFINITY } else { *distance };
            }
        }
    }

    #[inline(always)]
    fn prefetch<S: Simd>(&self, simd: S, node: u32) {
        simd.prefetch(self.code(node));
    }
}
