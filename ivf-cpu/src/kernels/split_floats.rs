//! Floats split into two halves of 16 bits. The upper halves tell which vectors can be near, and
//! both halves together are exact.
//!
//! A scan for one query waits for memory, and the upper halves are half of the data. A bound on
//! what the lower halves can change leaves few blocks whose lower halves are read too. The scan
//! thus returns the same results for half the bytes. A scan for many queries joins the halves of a
//! few blocks once, and all queries pass over them.

use super::scan::tile;
use super::{BLOCK, CACHED, Candidates, Distance, scan};
use crate::simd::{Kernel, LANES, Level, Simd, join};
use half::bf16;
use ivf_core::CodeLayout;
use ivf_core::layout::BlockPacker;
use std::ops::Range;
use std::sync::Arc;

/// Splits a float into the nearest one with 8 bits of significand (ties away from zero), and the
/// difference from it in units of the last place.
#[inline(always)]
fn split(x: f32) -> (bf16, u16) {
    let upper = (x.to_bits().wrapping_add(0x8000) >> 16) as u16;
    (bf16::from_bits(upper), x.to_bits() as u16)
}

/// Blocks of 32 vectors with their floats in halves, dimension after dimension. Each kind of half
/// has a plane of its own:
///
/// ```text
/// dim 2, vectors a b c ... (x, y their coordinates, ' the upper halves):
///   plane 0   block 0 | ax' bx' cx' ... 32 | ay' by' cy' ... 32 |   block 1 | ...       64 bytes per dimension
///   plane 1   block 0 | ax  bx  cx  ... 32 | ay  by  cy  ... 32 |   block 1 | ...       64 bytes per dimension
/// ```
///
/// ```
/// use ivf_cpu::kernels::{L2, SplitFloats, scan_split_floats};
/// use ivf_cpu::simd::Scalar;
///
/// // 64 vectors of one dimension, 0, 1, ... 63, packed into two blocks in two planes.
/// let layout = SplitFloats::layout(1);
/// let codes: Vec<u8> = (0..64).flat_map(|i| (i as f32).to_le_bytes()).collect();
/// # use ivf_core::bytes::AlignedBytes;
/// # let plane = || AlignedBytes::zeroed(layout.plane_bytes(0, 64));
/// let (mut upper, mut lower) = (plane(), plane());
/// layout.pack(&mut [&mut upper, &mut lower], 0, &codes);
///
/// // Which vectors of the second block are within a squared distance of 1 of 40.5?
/// let blocks = SplitFloats::new(&upper, &lower, 1).blocks(1..2);
/// let (mut found, mut room) = (Vec::new(), Vec::new());
/// scan_split_floats(Scalar, L2, &[&[40.5]], &mut [1.0], blocks, &mut room, |_block| u32::MAX, |near| {
///     found.extend(near.hits(u32::MAX));
///     1.0
/// });
/// // Lane 8 of the second block is vector 40.
/// assert_eq!(found, [(8, 0.25), (9, 0.25)]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SplitFloats<'a> {
    upper: &'a [[bf16; BLOCK]],
    lower: &'a [[u16; BLOCK]],
    dim: usize,
}

impl<'a> SplitFloats<'a> {
    /// Creates a view of the planes of whole blocks of vectors of `dim` dimensions.
    ///
    /// # Panics
    /// If `dim` is zero, or the planes do not have the same whole number of blocks.
    pub fn new(upper: &'a [u8], lower: &'a [u8], dim: usize) -> Self {
        assert!(dim > 0, "vectors have dimensions");
        let (upper, lower) = (bytemuck::cast_slice::<u8, [bf16; BLOCK]>(upper), bytemuck::cast_slice(lower));
        assert!(upper.len().is_multiple_of(dim) && upper.len() == lower.len(), "whole blocks, in both planes");
        Self { upper, lower, dim }
    }

    /// Returns the layout of codes of `dim` floats in such blocks.
    ///
    /// # Panics
    /// If `dim` is zero.
    pub fn layout(dim: usize) -> CodeLayout {
        let bytes = dim * size_of::<[u16; BLOCK]>();
        CodeLayout::custom("halves", dim * size_of::<f32>(), BLOCK, &[bytes, bytes], Arc::new(Packer))
    }

    /// Returns the blocks `range`.
    #[must_use]
    pub fn blocks(self, range: Range<usize>) -> Self {
        let columns = range.start * self.dim..range.end * self.dim;
        Self { upper: &self.upper[columns.clone()], lower: &self.lower[columns], dim: self.dim }
    }

    /// Joins the halves of all columns into `columns`.
    #[inline(always)]
    fn join_into<S: Simd>(self, simd: S, columns: &mut Vec<[f32; BLOCK]>) {
        columns.resize(self.upper.len(), [0.0; BLOCK]);
        // A plain loop: an iterator's own functions would not be compiled for the instruction set.
        for ((column, upper), lower) in columns.iter_mut().zip(self.upper).zip(self.lower) {
            join_column(simd, upper, lower, column);
        }
    }
}

/// Joins the halves of one column.
#[inline(always)]
fn join_column<S: Simd>(simd: S, upper: &[bf16; BLOCK], lower: &[u16; BLOCK], column: &mut [f32; BLOCK]) {
    let (upper, lower) = (upper.as_chunks::<LANES>().0, lower.as_chunks::<LANES>().0);
    for (half, lanes) in column.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        *lanes = simd.to_array(simd.join(&upper[half], &lower[half]));
    }
}

/// Packer of codes, which are little-endian floats, one after the other.
#[derive(Debug)]
struct Packer;

impl BlockPacker for Packer {
    fn put(&self, planes: &mut [&mut [u8]], slot: usize, code: &[u8]) {
        let [upper, lower] = planes else { panic!("two planes") };
        let upper = bytemuck::cast_slice_mut::<u8, [bf16; BLOCK]>(upper);
        let lower = bytemuck::cast_slice_mut::<u8, [u16; BLOCK]>(lower);
        for ((bytes, upper), lower) in code.as_chunks::<4>().0.iter().zip(upper).zip(lower) {
            (upper[slot], lower[slot]) = split(f32::from_le_bytes(*bytes));
        }
    }

    fn get(&self, planes: &[&[u8]], slot: usize, code: &mut [u8]) {
        let upper = bytemuck::cast_slice::<u8, [bf16; BLOCK]>(planes[0]);
        let lower = bytemuck::cast_slice::<u8, [u16; BLOCK]>(planes[1]);
        for ((bytes, upper), lower) in code.as_chunks_mut::<4>().0.iter_mut().zip(upper).zip(lower) {
            *bytes = join(upper[slot], lower[slot]).to_le_bytes();
        }
    }

    fn pack(&self, planes: &mut [&mut [u8]], slots: Range<usize>, codes: &[u8]) {
        if slots.len() < FEW {
            let size = codes.len() / slots.len().max(1);
            return slots.zip(codes.chunks_exact(size.max(1))).for_each(|(slot, code)| self.put(planes, slot, code));
        }
        let [upper, lower] = planes else { panic!("two planes") };
        let upper = bytemuck::cast_slice_mut::<u8, [bf16; BLOCK]>(upper);
        let lower = bytemuck::cast_slice_mut::<u8, [u16; BLOCK]>(lower);
        Level::get().run(Pack { upper, lower, slots, codes: codes.as_chunks::<4>().0 });
    }

    fn unpack(&self, planes: &[&[u8]], slots: Range<usize>, codes: &mut [u8]) {
        if slots.len() < FEW {
            let size = codes.len() / slots.len().max(1);
            return slots
                .zip(codes.chunks_exact_mut(size.max(1)))
                .for_each(|(slot, code)| self.get(planes, slot, code));
        }
        let upper = bytemuck::cast_slice::<u8, [bf16; BLOCK]>(planes[0]);
        let lower = bytemuck::cast_slice::<u8, [u16; BLOCK]>(planes[1]);
        Level::get().run(Unpack { upper, lower, slots, codes: codes.as_chunks_mut::<4>().0 });
    }

    fn copy(&self, from: &[&[u8]], from_slot: usize, to: &mut [&mut [u8]], to_slot: usize, _scratch: &mut [u8]) {
        for (from, to) in from.iter().zip(to) {
            let from = bytemuck::cast_slice::<u8, [u16; BLOCK]>(from);
            let to = bytemuck::cast_slice_mut::<u8, [u16; BLOCK]>(to);
            assert!(from_slot < BLOCK && to_slot < BLOCK, "a slot of the block");
            for (from, to) in from.iter().zip(to) {
                to[to_slot] = from[from_slot];
            }
        }
    }
}

/// Minimum number of slots that are packed together. Fewer slots are packed one by one.
/// (Instructions for 128 dimensions on AVX2, counted by callgrind: 4 slots take 6,700 together and
/// 5,800 one by one, 8 slots 9,200 and 10,100, all 32 slots 16,000 and 35,500.)
const FEW: usize = 8;

/// Number of dimensions that are packed at once: a cache line of each vector.
const TILE: usize = 16;

/// Packs vectors into a range of slots of a block.
///
/// ```text
/// 16 dimensions of each vector          columns of floats, in the cache          the block
///   a | ax ay az ... |                    | ax bx cx ... |                  -->  | ax' bx' cx' ... |   | ax bx cx ... |
///   b | bx by bz ... |          -->       | ay by cy ... |                  -->  | ay' by' cy' ... |   | ay by cy ... |
/// ```
///
/// Each cache line of the vectors is read once. Each column of the block is written once, in one
/// piece.
struct Pack<'a> {
    upper: &'a mut [[bf16; BLOCK]],
    lower: &'a mut [[u16; BLOCK]],
    slots: Range<usize>,
    codes: &'a [[u8; 4]],
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { upper, lower, slots, codes } = self;
        let dim = upper.len();
        assert!(slots.end <= BLOCK && codes.len() == slots.len() * dim && lower.len() == dim, "codes for the slots");
        let mut columns = [[0.0_f32; BLOCK]; TILE];
        for first in (0..dim).step_by(TILE) {
            let width = TILE.min(dim - first);
            for (slot, code) in slots.clone().zip(codes.chunks_exact(dim)) {
                match code[first..].first_chunk::<TILE>() {
                    Some(code) => put_in_columns(&mut columns, slot, code),
                    None => put_in_columns(&mut columns, slot, &code[first..]),
                }
            }
            for ((column, upper), lower) in
                columns.iter().zip(&mut upper[first..first + width]).zip(&mut lower[first..])
            {
                if slots.len() == BLOCK {
                    for ((&x, upper), lower) in column.iter().zip(upper).zip(lower) {
                        (*upper, *lower) = split(x);
                    }
                } else {
                    let (upper, lower) = (&mut upper[slots.clone()], &mut lower[slots.clone()]);
                    for ((&x, upper), lower) in column[slots.clone()].iter().zip(upper).zip(lower) {
                        (*upper, *lower) = split(x);
                    }
                }
            }
        }
    }
}

/// Writes coordinates of a code into one slot of the columns. The same loop serves a whole tile,
/// for which it is unrolled, and the rest of a vector.
#[inline(always)]
fn put_in_columns(columns: &mut [[f32; BLOCK]; TILE], slot: usize, code: &[[u8; 4]]) {
    for (column, x) in columns.iter_mut().zip(code) {
        column[slot] = f32::from_le_bytes(*x);
    }
}

/// Reads coordinates of a code from one slot of the columns: the inverse of [`put_in_columns`].
#[inline(always)]
fn take_from_columns(columns: &[[f32; BLOCK]; TILE], slot: usize, code: &mut [[u8; 4]]) {
    for (x, column) in code.iter_mut().zip(columns) {
        *x = column[slot].to_le_bytes();
    }
}

/// Unpacks vectors from a range of slots of a block: the inverse of [`Pack`].
struct Unpack<'a> {
    upper: &'a [[bf16; BLOCK]],
    lower: &'a [[u16; BLOCK]],
    slots: Range<usize>,
    codes: &'a mut [[u8; 4]],
}

impl Kernel for Unpack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { upper, lower, slots, codes } = self;
        let dim = upper.len();
        assert!(slots.end <= BLOCK && codes.len() == slots.len() * dim && lower.len() == dim, "room for the slots");
        let mut columns = [[0.0_f32; BLOCK]; TILE];
        for first in (0..dim).step_by(TILE) {
            let width = TILE.min(dim - first);
            for ((column, upper), lower) in columns.iter_mut().zip(&upper[first..first + width]).zip(&lower[first..]) {
                join_column(simd, upper, lower, column);
            }
            for (slot, code) in slots.clone().zip(codes.chunks_exact_mut(dim)) {
                match code[first..].first_chunk_mut::<TILE>() {
                    Some(code) => take_from_columns(&columns, slot, code),
                    None => take_from_columns(&columns, slot, &mut code[first..]),
                }
            }
        }
    }
}

/// Runs [`scan`] over floats in halves. `columns` is a reusable buffer for some blocks of whole
/// floats.
///
/// `seen` returns a bit mask of the lanes of a block that a single query sees. For a single query,
/// blocks without such lanes are not read, and `near` gets only lanes in the mask. For several
/// queries, `near` gets all near lanes.
///
/// # Panics
/// The same as [`scan`].
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the arguments of `scan`, a scratch buffer and a lane filter")]
pub fn scan_split_floats<S: Simd, D: Distance>(
    simd: S,
    distance: D,
    queries: &[&[f32]],
    thresholds: &mut [f32],
    blocks: SplitFloats<'_>,
    columns: &mut Vec<[f32; BLOCK]>,
    seen: impl Fn(usize) -> u32,
    near: impl FnMut(Candidates<'_>) -> f32,
) {
    if let ([query], [threshold]) = (queries, &mut *thresholds) {
        return scan_one(simd, distance, query, threshold, blocks, columns, seen, near);
    }
    scan_many(simd, distance, queries, thresholds, blocks, columns, near);
}

/// [`scan_split_floats`] for several queries.
#[inline(always)]
pub(crate) fn scan_many<S: Simd, D: Distance>(
    simd: S,
    distance: D,
    queries: &[&[f32]],
    thresholds: &mut [f32],
    blocks: SplitFloats<'_>,
    columns: &mut Vec<[f32; BLOCK]>,
    mut near: impl FnMut(Candidates<'_>) -> f32,
) {
    let count = blocks.upper.len() / blocks.dim;
    let cached = (CACHED / (blocks.dim * size_of::<[f32; BLOCK]>())).max(1);
    for first in (0..count).step_by(cached) {
        blocks.blocks(first..count.min(first + cached)).join_into(simd, columns);
        scan(simd, distance, blocks.dim, queries, thresholds, columns, |found| {
            near(Candidates { block: first + found.block, ..found })
        });
    }
}

/// Scans for one query. Reads the lower halves only of blocks with a lane that the query sees and
/// that may be near.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "those of `scan_split_floats`")]
pub(crate) fn scan_one<S: Simd, D: Distance>(
    simd: S,
    distance: D,
    query: &[f32],
    threshold: &mut f32,
    blocks: SplitFloats<'_>,
    columns: &mut Vec<[f32; BLOCK]>,
    seen: impl Fn(usize) -> u32,
    mut near: impl FnMut(Candidates<'_>) -> f32,
) {
    assert!(query.len() == blocks.dim, "a query of the blocks' dimension");
    // No relative bound covers an underflow.
    let tiny = f32::MIN_POSITIVE * (1.0 + query.iter().map(|q| q.abs()).sum::<f32>());
    let mut left = 0..blocks.upper.len() / blocks.dim;
    let mut next = left.find(|&b| seen(b) != 0);
    while let Some(b) = next {
        next = left.find(|&b| seen(b) != 0);
        if let Some(next) = next.filter(|&next| next > b + 1) {
            // After a gap, the processor does not read ahead on its own.
            simd.prefetch(&blocks.upper[next * blocks.dim..][..blocks.dim]);
        }
        let upper = &blocks.upper[b * blocks.dim..][..blocks.dim];
        // Without a threshold, everything is near. Beyond a quarter of the largest float, an
        // overflow could look like a distance on the other side.
        let bounded = S::FAST_FMA && threshold.abs() < f32::MAX / 4.0;
        if let Some(most) = bounded.then(|| distance.most_negated(simd, query, upper)).flatten() {
            let limit = (-*threshold - tiny).next_down();
            // A bound that is NaN excludes nothing.
            let [low, high] = most.map(|most| simd.at_most(most, limit));
            if !(low | high << LANES) & seen(b) == 0 {
                continue;
            }
        }
        blocks.blocks(b..b + 1).join_into(simd, columns);
        let thresholds = std::slice::from_mut(threshold);
        tile::<S, D, f32, 1>(simd, distance, &[query], thresholds, (0, b), columns, &mut |found| {
            near(Candidates { lanes: found.lanes & seen(b), ..found })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::bytes::AlignedBytes;

    #[test]
    fn runs_of_slots_are_packed_as_one_by_one() {
        for dim in [1, 3, 15, 16, 17, 40] {
            let layout = SplitFloats::layout(dim);
            let len = 2 * BLOCK + 3;
            let codes: Vec<u8> =
                (0..len * dim).flat_map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()).collect();
            let size = dim * 4;
            let planes = || [0, 1].map(|plane| AlignedBytes::copy_of(&vec![0x5a; layout.plane_bytes(plane, len)]));
            // Every run within a block, and some runs that cross the ends of blocks.
            let within = (0..=BLOCK).flat_map(|start| (start..=BLOCK).map(move |end| start..end));
            for slots in within.chain([0..len, 1..len, BLOCK - 1..BLOCK + 1, 5..2 * BLOCK + 1]) {
                let codes = &codes[slots.start * size..slots.end * size];
                let (mut together, mut each) = (planes(), planes());
                let [upper, lower] = &mut together;
                layout.pack(&mut [&mut *upper, &mut *lower], slots.start, codes);
                let [upper, lower] = &mut each;
                for (slot, code) in slots.clone().zip(codes.chunks_exact(size)) {
                    layout.put(&mut [&mut *upper, &mut *lower], slot, code);
                }
                assert!((0..2).all(|plane| together[plane][..] == each[plane][..]), "dimension {dim}, slots {slots:?}");
                let mut back = vec![0; codes.len()];
                layout.unpack(&[&together[0], &together[1]], slots.start, &mut back);
                assert!(back == codes, "dimension {dim}, slots {slots:?}");
            }
        }
    }

    #[test]
    fn every_level_packs_the_same_bytes() {
        const DIM: usize = 37;
        let codes: Vec<[u8; 4]> =
            (0..BLOCK * DIM).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for level in Level::available() {
            for slots in [0..BLOCK, 3..BLOCK - 2] {
                let codes = &codes[slots.start * DIM..slots.end * DIM];
                let (mut upper, mut lower) = ([[bf16::ZERO; BLOCK]; DIM], [[0; BLOCK]; DIM]);
                level.run(Pack { upper: &mut upper, lower: &mut lower, slots: slots.clone(), codes });
                for (slot, code) in slots.clone().zip(codes.chunks_exact(DIM)) {
                    for (d, x) in code.iter().enumerate() {
                        let (high, low) = split(f32::from_le_bytes(*x));
                        assert_eq!((upper[d][slot].to_bits(), lower[d][slot]), (high.to_bits(), low), "{level}");
                    }
                }
                let mut back = vec![[0; 4]; codes.len()];
                level.run(Unpack { upper: &upper, lower: &lower, slots, codes: &mut back });
                assert_eq!(back, codes, "{level}");
            }
        }
    }
}
