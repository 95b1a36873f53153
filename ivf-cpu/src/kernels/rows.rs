//! Distances to vectors in rows: the same folds, several side by side.

use super::Distance;
use crate::simd::{LANES, Lane, Simd};
use ivf_core::Element;

/// Writes the distance of each pair of a query and a row to `out`.
///
/// ```
/// use ivf_cpu::kernels::{L2, distances_to_rows};
/// use ivf_cpu::simd::Scalar;
///
/// // Rows of bytes: every element type that loads as floats works.
/// let queries = [[0.0, 0.0], [1.0, 0.0]];
/// let rows = [[3_u8, 4], [1, 1]];
/// let mut distances = [0.0; 2];
/// let pairs = queries.iter().zip(&rows).map(|(query, row)| (&query[..], &row[..]));
/// distances_to_rows(Scalar, L2, pairs, &mut distances);
/// assert_eq!(distances, [25.0, 1.0]);
/// ```
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

/// Writes the distance of a query to each row to `out`, as [`distances_to_rows`] does.
///
/// ```
/// use ivf_cpu::kernels::{L2, distances_of_query};
/// use ivf_cpu::simd::Scalar;
/// let mut distances = [0.0; 2];
/// distances_of_query(Scalar, L2, &[0.0, 1.0], [&[3.0_f32, 5.0][..], &[1.0, 1.0]].into_iter(), &mut distances);
/// assert_eq!(distances, [25.0, 1.0]);
/// ```
///
/// # Panics
/// If the vectors differ in length, or `out` does not have one element for each row.
#[inline(always)]
pub fn distances_of_query<'a, S: Simd, D: Distance, T: Lane>(
    simd: S,
    distance: D,
    query: &[f32],
    mut rows: impl ExactSizeIterator<Item = &'a [T]>,
    out: &mut [f32],
) {
    assert_eq!(rows.len(), out.len(), "one output for each row");
    for out in out.chunks_mut(LANES) {
        // Lanes past the end repeat the first row.
        let mut group = [rows.next().expect("as many rows as outputs"); LANES];
        for row in &mut group[1..out.len()] {
            *row = rows.next().expect("as many rows as outputs");
        }
        let distances = distance.of_rows(simd, query, group);
        out.copy_from_slice(&distances[..out.len()]);
    }
}

/// Returns the squared Euclidean norm: a fold over the dimensions in order, like a distance.
///
/// ```
/// assert_eq!(ivf_cpu::kernels::squared_norm(&[3.0_f32, 4.0]), 25.0);
/// ```
#[inline(always)]
pub fn squared_norm<T: Element>(row: &[T]) -> f32 {
    row.iter().map(|x| x.to_f32()).fold(0.0, |sum, x| x.mul_add(x, sum))
}
