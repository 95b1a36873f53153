//! Distances to vectors in rows: the same folds, several side by side.

use super::Distance;
use crate::simd::{LANES, Lane, Simd};
use ivf_core::Element;

/// Writes the distance of each pair of a query and a row to `out`.
///
/// # Panics
/// If the vectors differ in length, or `out` does not have one element for each pair.
#[inline(always)]
pub fn distances_to_rows<'a, S: Simd, D: Distance, T: Lane>(
    simd: S,
    distance: D,
    mut pairs: impl ExactSizeIterator<Item = (&'a [f32], &'a [T])>,
    out: &mut [f32],
) {
    assert_eq!(pairs.len(), out.len(), "one output for each pair");
    for out in out.chunks_mut(LANES) {
        let (query, row) = pairs.next().expect("as many pairs as outputs");
        // Lanes past the end repeat the first pair.
        let (mut queries, mut rows) = ([query; LANES], [row; LANES]);
        for i in 1..out.len() {
            (queries[i], rows[i]) = pairs.next().expect("as many pairs as outputs");
        }
        let distances = distance.of_pairs(simd, queries, rows);
        out.copy_from_slice(&distances[..out.len()]);
    }
}

/// Returns the squared Euclidean norm: a fold over the dimensions in order, like a distance.
#[inline(always)]
pub fn squared_norm<T: Element>(row: &[T]) -> f32 {
    row.iter().map(|x| x.to_f32()).fold(0.0, |sum, x| x.mul_add(x, sum))
}
