//! The scan of a list of codes: bytes first, 64 codes at a time, and exact distances for what is left.

use crate::tables::{ByteTables, Near, Source};
use ivf_core::Sink;
use ivf_core::scanner::Piece;
use ivf_cpu::simd::{Kernel, Simd};
use std::ops::Range;

/// Codes in a block.
pub(crate) const BLOCK: usize = 64;

/// A filter that leaves at most so many codes of a list leaves too few for a first pass.
const FEW: usize = 8;

/// Distances of codes.
pub(crate) trait Exact {
    /// Parts of a code.
    fn parts(&self) -> usize;

    /// The distance of a code: a fold over its parts, in order.
    fn distance<S: Simd>(&mut self, simd: S, code: impl Iterator<Item = u8>) -> f32;
}

/// One query against a piece of a list.
///
/// ```text
/// a block of 64 codes, 3 parts:  | first bytes of all 64 | second bytes | third bytes |
/// ```
///
/// A lookup of 64 codes at once is a permutation of the table's bytes in registers; the sums of 64 codes are compared with the
/// sink's threshold, and only for those that may be near the exact distance is computed, one after the other: what comes out is what
/// exact distances give for every code.
pub(crate) struct Scan<'a, 's, F, E> {
    pub(crate) exact: E,
    /// What all codes have in their distances, for the first pass.
    pub(crate) start: f64,
    /// The first pass; without one, or where the instruction set has none, all distances are exact ones.
    pub(crate) source: Option<F>,
    /// What is made of the source, or bytes that have been told to forget.
    pub(crate) bytes: &'a mut ByteTables,
    pub(crate) piece: &'a Piece<'a>,
    pub(crate) sink: &'s mut Sink,
}

impl<F: Source, E: Exact> Kernel for Scan<'_, '_, F, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let columns = bytemuck::cast_slice::<u8, [u8; BLOCK]>(self.piece.segment().plane(0));
        let mut left = self.piece.blocks();
        if !self.piece.is_masked() {
            return self.run_of_blocks(simd, columns, left);
        }
        if self.piece.selected_len() <= FEW {
            for block in left {
                let selected = self.piece.selected(block * BLOCK, BLOCK);
                self.exact_distances(simd, columns, block, selected);
            }
            return;
        }
        // Runs of blocks of which something is wanted: what a filter leaves out costs nothing.
        let piece = self.piece;
        let wanted = |block: usize| piece.selected(block * BLOCK, BLOCK) != 0;
        while let Some(first) = left.find(|&block| wanted(block)) {
            let end = left.find(|&block| !wanted(block)).unwrap_or(left.end);
            self.run_of_blocks(simd, columns, first..end);
        }
    }
}

impl<F: Source, E: Exact> Scan<'_, '_, F, E> {
    /// Blocks one after the other.
    #[inline(always)]
    fn run_of_blocks<S: Simd>(&mut self, simd: S, columns: &[[u8; BLOCK]], mut left: Range<usize>) {
        while !left.is_empty() {
            // The fewer are looked at before there is a threshold, the better.
            let together = if self.sink.threshold() < f32::MAX { left.len() } else { 1 };
            left.start += match together {
                8.. => self.blocks::<S, 8>(simd, columns, left.start),
                7 => self.blocks::<S, 7>(simd, columns, left.start),
                6 => self.blocks::<S, 6>(simd, columns, left.start),
                5 => self.blocks::<S, 5>(simd, columns, left.start),
                4 => self.blocks::<S, 4>(simd, columns, left.start),
                3 => self.blocks::<S, 3>(simd, columns, left.start),
                2 => self.blocks::<S, 2>(simd, columns, left.start),
                _ => self.blocks::<S, 1>(simd, columns, left.start),
            };
        }
    }

    /// Blocks `first..first + B`. Gives `B`.
    #[inline(always)]
    fn blocks<S: Simd, const B: usize>(&mut self, simd: S, columns: &[[u8; BLOCK]], first: usize) -> usize {
        let parts = self.exact.parts();
        let blocks: [&[[u8; BLOCK]]; B] = std::array::from_fn(|b| &columns[(first + b) * parts..][..parts]);
        let near = match self.source {
            Some(source) if S::HAS_LOOKUP => self.bytes.near(source, parts, self.start, self.sink.threshold()),
            _ => Near::All,
        };
        let near = match near {
            Near::All => [u64::MAX; B],
            Near::AtMost(limit) => simd.lookups_at_most(&self.bytes.bytes, blocks, limit),
            Near::None => return B,
        };
        for (b, near) in near.into_iter().enumerate() {
            let block = first + b;
            let selected = if near == 0 { 0 } else { near & self.piece.selected(block * BLOCK, BLOCK) };
            self.exact_distances(simd, columns, block, selected);
        }
        B
    }

    /// The distances of some codes of a block, a bit each.
    #[inline(always)]
    fn exact_distances<S: Simd>(&mut self, simd: S, columns: &[[u8; BLOCK]], block: usize, mut left: u64) {
        let parts = self.exact.parts();
        let block_columns = &columns[block * parts..][..parts];
        while left != 0 {
            let lane = left.trailing_zeros() as usize;
            left &= left - 1;
            let distance = self.exact.distance(simd, block_columns.iter().map(|column| column[lane]));
            if distance <= self.sink.threshold() {
                self.sink.push(self.piece.neighbor(block * BLOCK + lane, distance));
            }
        }
    }
}
