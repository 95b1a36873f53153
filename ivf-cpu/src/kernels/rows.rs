//! Vectors in rows: the same folds, several side by side.

use super::Distance;
use crate::simd::{LANES, Lane, Simd};
use ivf_core::Element;

/// The distance of each pair of a query and a row.
///
/// # Panics
/// If the vectors differ in length, or there is not one place in `out` a pair.
#[inline(always)]
pub fn distances_to_rows<'a, S: Simd, D: Distance, T: Lane>(
    simd: S,
    distance: D,
    mut pairs: impl ExactSizeIterator<Item = (&'a [f32], &'a [T])>,
    out: &mut [f32],
) {
    assert_eq!(pairs.len(), out.len(), "a place a pair");
    for out in out.chunks_mut(LANES) {
        let (query, row) = pairs.next().expect("as many pairs as places");
        // Past the end, the first pair again.
        let (mut queries, mut rows) = ([query; LANES], [row; LANES]);
        for i in 1..out.len() {
            (queries[i], rows[i]) = pairs.next().expect("as many pairs as places");
        }
        let distances = distance.of_pairs(simd, queries, rows);
        out.copy_from_slice(&distances[..out.len()]);
    }
}

/// The squared Euclidean norm: a fold over the dimensions in order, as a distance is.
#[inline(always)]
pub fn squared_norm<T: Element>(row: &[T]) -> f32 {
    row.iter().map(|x| x.to_f32()).fold(0.0, |sum, x| x.mul_add(x, sum))
}
