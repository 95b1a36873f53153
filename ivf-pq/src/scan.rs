//! The scan of a list of codes: bytes first, 64 codes at a time, and the whole tables for what is left.

use crate::product::Table;
use crate::tables::ByteTables;
use ivf_core::Sink;
use ivf_core::scanner::Piece;
use ivf_cpu::simd::{Kernel, Simd};

/// Codes in a block.
pub(crate) const BLOCK: usize = 64;

/// One query against a piece of a list.
///
/// ```text
/// a block of 64 codes, 3 parts:  | first bytes of all 64 | second bytes | third bytes |
/// ```
///
/// A lookup of 64 codes at once is a permutation of the table's bytes in registers; the sums of 64 codes are compared with the
/// sink's threshold, and only those that may be near are looked up in the whole tables, one after the other: what comes out is what
/// the whole tables give for every code.
pub(crate) struct Scan<'a, 's> {
    pub(crate) tables: &'a [Table],
    pub(crate) start: f32,
    pub(crate) bytes: &'a mut ByteTables,
    /// True if `bytes` are of these tables.
    pub(crate) ready: &'a mut bool,
    pub(crate) piece: &'a Piece<'a>,
    pub(crate) sink: &'s mut Sink,
}

/// The distance of a code: a fold over its parts, in order.
#[inline(always)]
pub(crate) fn distance(tables: &[Table], start: f32, code: impl Iterator<Item = u8>) -> f32 {
    tables.iter().zip(code).fold(start, |sum, (table, number)| sum + table[usize::from(number)])
}

impl Kernel for Scan<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let columns = bytemuck::cast_slice::<u8, [u8; BLOCK]>(self.piece.segment().plane(0));
        let mut left = self.piece.blocks();
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
}

impl Scan<'_, '_> {
    /// Blocks `first..first + B`. Gives `B`.
    #[inline(always)]
    fn blocks<S: Simd, const B: usize>(&mut self, simd: S, columns: &[[u8; BLOCK]], first: usize) -> usize {
        let parts = self.tables.len();
        let blocks: [&[[u8; BLOCK]]; B] = std::array::from_fn(|b| &columns[(first + b) * parts..][..parts]);
        let threshold = self.sink.threshold();
        let mut near = [u64::MAX; B];
        if S::HAS_LOOKUP && threshold < f32::MAX {
            if !*self.ready {
                *self.ready = self.bytes.make(self.tables, f64::from(threshold) - f64::from(self.start));
            }
            if *self.ready {
                match self.bytes.limit(self.start, threshold) {
                    Some(limit) => near = simd.lookups_at_most(&self.bytes.bytes, blocks, limit),
                    None => return B,
                }
            }
        }
        for (b, (block, near)) in blocks.into_iter().zip(near).enumerate() {
            let start = (first + b) * BLOCK;
            let mut left = if near == 0 { 0 } else { near & self.piece.selected(start, BLOCK) };
            while left != 0 {
                let lane = left.trailing_zeros() as usize;
                left &= left - 1;
                let distance = distance(self.tables, self.start, block.iter().map(|column| column[lane]));
                if distance <= self.sink.threshold() {
                    self.sink.push(self.piece.neighbor(start + lane, distance));
                }
            }
        }
        B
    }
}
