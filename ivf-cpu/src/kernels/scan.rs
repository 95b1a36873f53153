//! Queries against blocks of vectors: tiles of sums in registers, compared with thresholds where they end.

use super::{BLOCK, Distance};
use crate::simd::{LANES, Lane, Simd};

/// Bytes of blocks that stay in the second-level cache while all queries pass over them.
pub(super) const CACHED: usize = 1 << 18;

/// What a scan found: in a block, for a query, at least one lane at most the query's threshold.
#[derive(Clone, Copy, Debug)]
pub struct Near<'a> {
    /// The query's number.
    pub query: usize,
    /// The block's number.
    pub block: usize,
    /// One bit for each such lane.
    pub lanes: u32,
    /// The distances, those of the lanes at least.
    pub distances: &'a [f32; BLOCK],
}

impl Near<'_> {
    /// The near lanes that are in `selected` too, with their distances.
    #[inline(always)]
    pub fn hits(&self, selected: u32) -> impl Iterator<Item = (usize, f32)> {
        let mut left = self.lanes & selected;
        std::iter::from_fn(move || {
            let lane = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            (lane < BLOCK).then(|| (lane, self.distances[lane]))
        })
    }
}

/// Computes the distance of every query to every lane of every block, and calls `near` wherever one is at most the
/// query's threshold; what `near` gives back is the threshold from then on.
///
/// ```text
///            32 lanes
///          +----------+
/// query 0  | sums     |   <= threshold 0 ?      the sums of a tile stay in registers over all
/// query 1  | sums     |   <= threshold 1 ?      dimensions; nothing is written unless a lane is near
///   ...    +----------+
/// ```
///
/// Each block is loaded once for a tile of queries, and once from memory for all queries. A query sees the blocks in order.
///
/// # Panics
/// If there is not one threshold a query, the queries are not all of dimension `dim >= 1`, or the blocks are not whole.
#[inline(always)]
pub fn scan<S: Simd, D: Distance, T: Lane>(
    simd: S,
    distance: D,
    dim: usize,
    queries: &[&[f32]],
    thresholds: &mut [f32],
    blocks: &[[T; BLOCK]],
    mut near: impl FnMut(Near<'_>) -> f32,
) {
    assert!(thresholds.len() == queries.len(), "a threshold a query");
    assert!(queries.iter().all(|query| query.len() == dim), "queries of the blocks' dimension");
    assert!(blocks.len().is_multiple_of(dim), "whole blocks");
    let cached = (CACHED / (dim * size_of::<[T; BLOCK]>())).max(1);
    for (chunk, columns) in blocks.chunks(cached * dim).enumerate() {
        let first = chunk * cached;
        let mut query = 0;
        while query < queries.len() {
            let left = (queries.len() - query).min(distance.tile(simd)).min(S::TILE);
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

/// Queries `at.0..at.0 + Q` over the blocks from number `at.1` on. Gives `Q`.
#[inline(always)]
fn tile<S: Simd, D: Distance, T: Lane, const Q: usize>(
    simd: S,
    distance: D,
    queries: &[&[f32]],
    thresholds: &mut [f32],
    at: (usize, usize),
    columns: &[[T; BLOCK]],
    near: &mut impl FnMut(Near<'_>) -> f32,
) -> usize {
    // An instruction set runs no tile that is larger than its registers: no code is made for those.
    if Q > S::TILE {
        return Q;
    }
    let (first_query, first_block) = at;
    let rows: [&[f32]; Q] = std::array::from_fn(|q| queries[first_query + q]);
    // The next tile's queries lie all over the batch: they come while this one is computed.
    queries[first_query + Q..].iter().take(Q).for_each(|query| simd.prefetch(query));
    let thresholds: &mut [f32; Q] = (&mut thresholds[first_query..][..Q]).try_into().expect("Q of them");
    let dim = rows[0].len();
    for (b, block) in columns.chunks_exact(dim).enumerate() {
        let mut call = |query: usize, lanes: u32, distances: &[f32; BLOCK]| {
            near(Near { query: first_query + query, block: first_block + b, lanes, distances })
        };
        if S::HALVES == 2 {
            let sums = distance.distances::<S, T, Q, 2>(simd, rows, block, 0);
            for q in 0..Q {
                let [low, high] = sums[q].map(|half| simd.at_most(half, thresholds[q]));
                let lanes = low | high << LANES;
                if lanes != 0 {
                    let [low, high] = sums[q].map(|half| simd.to_array(half));
                    thresholds[q] = call(q, lanes, &bytemuck::must_cast([low, high]));
                }
            }
        } else {
            for half in 0..2 {
                let sums = distance.distances::<S, T, Q, 1>(simd, rows, block, half);
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
