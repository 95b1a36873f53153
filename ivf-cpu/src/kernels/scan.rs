//! Scans blocks of vectors. The sums of a tile of queries stay in registers, and are compared with
//! thresholds at the end.

use super::{BLOCK, Distance};
use crate::simd::{LANES, Lane, Lanes, Simd};

/// Size, in bytes, of the blocks that stay in the second-level cache while all queries pass over
/// them.
pub(super) const CACHED: usize = 1 << 18;

/// Candidates of one query in one block: at least one lane whose distance is at most the query's
/// threshold.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    /// Number of the query.
    pub query: usize,
    /// Number of the block.
    pub block: usize,
    /// Bit mask of the lanes within the threshold.
    pub lanes: u32,
    /// Distances of the lanes. Valid only for lanes in the mask.
    pub distances: &'a [f32; BLOCK],
}

impl Candidates<'_> {
    /// Returns the lanes of the mask that are also in `selected`, with their distances.
    #[inline(always)]
    pub fn hits(&self, selected: u32) -> impl Iterator<Item = (usize, f32)> {
        Lanes((self.lanes & selected).into()).map(|lane| (lane, self.distances[lane]))
    }
}

/// Computes the distance of every query to every lane of every block. Calls `near` for each query
/// and block with a lane that is at most the query's threshold. The value that `near` returns is
/// the threshold from then on.
///
/// ```text
///            32 lanes
///          +----------+
/// query 0  | sums     |   <= threshold 0 ?      the sums of a tile stay in registers over all
/// query 1  | sums     |   <= threshold 1 ?      dimensions; nothing is written unless a lane is near
///   ...    +----------+
/// ```
///
/// Each block is loaded once for each tile of queries, and from main memory only once for all
/// queries. Each query sees the blocks in order.
///
/// ```
/// use ivf_core::Rows;
/// use ivf_cpu::kernels::{BLOCK, L2, PackedRows, scan};
/// use ivf_cpu::simd::Scalar;
///
/// // The nearest of three vectors, for each of two queries.
/// let packed = PackedRows::new(Rows::new(&[0.0, 5.0, 9.0], 1)?);
/// let queries = [&[4.0][..], &[8.0]];
/// let (mut nearest, mut thresholds) = ([(0, f32::INFINITY); 2], [f32::MAX; 2]);
/// scan(Scalar, L2, 1, &queries, &mut thresholds, packed.columns(), |near| {
///     let best = &mut nearest[near.query];
///     // Only the first three lanes hold vectors.
///     for (lane, distance) in near.hits(0b111) {
///         if distance < best.1 {
///             *best = (near.block * BLOCK + lane, distance);
///         }
///     }
///     best.1 // Nothing farther is of interest any more.
/// });
/// assert_eq!(nearest, [(1, 1.0), (2, 1.0)]);
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
///
/// # Panics
/// If `thresholds` does not have one entry for each query, the queries are not all of dimension
/// `dim >= 1`, or `blocks` is not a whole number of blocks.
#[inline(always)]
pub fn scan<S: Simd, D: Distance, T: Lane>(
    simd: S,
    distance: D,
    dim: usize,
    queries: &[&[f32]],
    thresholds: &mut [f32],
    blocks: &[[T; BLOCK]],
    mut near: impl FnMut(Candidates<'_>) -> f32,
) {
    assert!(thresholds.len() == queries.len(), "one threshold for each query");
    assert!(queries.iter().all(|query| query.len() == dim), "queries of the blocks' dimension");
    assert!(blocks.len().is_multiple_of(dim), "whole blocks");
    let cached = (CACHED / (dim * size_of::<[T; BLOCK]>())).max(1);
    let most = if D::IN_REGISTERS { S::TILE } else { 1 };
    for (chunk, columns) in blocks.chunks(cached * dim).enumerate() {
        let first = chunk * cached;
        let mut query = 0;
        while query < queries.len() {
            let left = (queries.len() - query).min(most);
            let at = (query, first);
            query += match left {
                8.. => tile::<S, D, T, 8>(simd, distance, queries, thresholds, at, columns, &mut near),
                5.. => tile::<S, D, T, 5>(simd, distance, queries, thresholds, at, columns, &mut near),
                4 => tile::<S, D, T, 4>(simd, distance, queries, thresholds, at, columns, &mut near),
                2.. => tile::<S, D, T, 2>(simd, distance, queries, thresholds, at, columns, &mut near),
                _ => tile::<S, D, T, 1>(simd, distance, queries, thresholds, at, columns, &mut near),
            };
        }
    }
}

/// Scans the blocks from number `at.1` on for queries `at.0..at.0 + Q`. Returns `Q`.
#[inline(always)]
pub(super) fn tile<S: Simd, D: Distance, T: Lane, const Q: usize>(
    simd: S,
    distance: D,
    queries: &[&[f32]],
    thresholds: &mut [f32],
    at: (usize, usize),
    columns: &[[T; BLOCK]],
    near: &mut impl FnMut(Candidates<'_>) -> f32,
) -> usize {
    // No code is compiled for tiles that are never run: those that exceed the registers of the
    // instruction set, and those of several queries whose sums would not stay in registers.
    if const { Q > 1 && (Q > S::TILE || !D::IN_REGISTERS) } {
        return Q;
    }
    let (first_query, first_block) = at;
    let rows: &[&[f32]; Q] = queries[first_query..].first_chunk().expect("Q queries");
    // The next tile's queries are scattered over the batch, so they are prefetched while this tile
    // is computed.
    queries[first_query + Q..].iter().take(Q).for_each(|query| simd.prefetch(query));
    let thresholds: &mut [f32; Q] = (&mut thresholds[first_query..][..Q]).try_into().expect("Q thresholds");
    let dim = rows[0].len();
    for (b, block) in columns.chunks_exact(dim).enumerate() {
        let mut call = |query: usize, lanes: u32, distances: &[f32; BLOCK]| {
            near(Candidates { query: first_query + query, block: first_block + b, lanes, distances })
        };
        if const { S::HALVES == 2 } {
            let sums = distance.distances::<S, _, Q, 2>(simd, *rows, block, 0);
            for q in 0..Q {
                let [low, high] = sums[q];
                let lanes = simd.at_most(low, thresholds[q]) | simd.at_most(high, thresholds[q]) << LANES;
                if lanes != 0 {
                    let distances = [simd.to_array(low), simd.to_array(high)];
                    thresholds[q] = call(q, lanes, &bytemuck::must_cast(distances));
                }
            }
        } else {
            for half in 0..2 {
                let sums = distance.distances::<S, _, Q, 1>(simd, *rows, block, half);
                for q in 0..Q {
                    let lanes = simd.at_most(sums[q][0], thresholds[q]);
                    if lanes != 0 {
                        let mut distances = [f32::NAN; BLOCK];
                        distances.as_chunks_mut::<LANES>().0[half] = simd.to_array(sums[q][0]);
                        thresholds[q] = call(q, lanes << (half * LANES), &distances);
                    }
                }
            }
        }
    }
    Q
}
