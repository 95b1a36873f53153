//! Nearest of a few centroids for 32 points at once: points in lanes, centroids one after the
//! other.
//!
//! For vectors of few dimensions (the subvectors of a product quantizer), this is faster than a
//! tile of queries. Comparisons keep the best centroid of every lane in registers, without any
//! table lookup.

use super::BLOCK;
use crate::simd::{LANES, Simd};

/// Number of centroids that are compared together.
const TILE: usize = 4;

/// Centroids in rows, each with half its squared norm. The nearest centroid of a point `x` has the
/// least `|c|^2 / 2 - c x`.
///
/// ```
/// use ivf_cpu::kernels::{BLOCK, LaneCentroids};
/// use ivf_cpu::simd::Scalar;
///
/// // Two centroids of one dimension, and the points 0, 1, ... 31.
/// let centroids = LaneCentroids::new(vec![0.0, 10.0], 1);
/// let points: [f32; BLOCK] = std::array::from_fn(|i| i as f32);
/// let (mut numbers, mut values) = ([0; BLOCK], [0.0; BLOCK]);
/// centroids.nearest(Scalar, &[points], &mut numbers, &mut values);
///
/// // 5 is as near to both.
/// assert_eq!(numbers[4..7], [0, 0, 1]);
/// // The value of point 7 becomes its squared distance from 10.
/// assert_eq!((centroids.rows()[1], 2.0 * values[7] + 7.0 * 7.0), (10.0, 9.0));
/// ```
#[derive(Clone, Debug)]
pub struct LaneCentroids {
    rows: Vec<f32>,
    half_norms: Vec<f32>,
    dim: usize,
}

impl LaneCentroids {
    /// Creates the centroids from rows of `dim` numbers.
    ///
    /// # Panics
    /// If `dim` is zero, or `rows` is empty or not a whole number of centroids.
    pub fn new(rows: Vec<f32>, dim: usize) -> Self {
        assert!(!rows.is_empty() && rows.len().is_multiple_of(dim), "whole centroids");
        let half_norm = |row: &[f32]| 0.5 * row.iter().fold(0.0, |sum: f32, x| x.mul_add(*x, sum));
        Self { half_norms: rows.chunks_exact(dim).map(half_norm).collect(), rows, dim }
    }

    /// Returns the centroids, row after row.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Writes for each lane of a block (`dim` columns) the number of the nearest centroid, and half
    /// of its squared distance less half the point's squared norm. Ties go to the lower number. The
    /// number is 0 if all values are NaN.
    ///
    /// # Panics
    /// If the block has another dimension.
    #[inline(always)]
    pub fn nearest<S: Simd>(
        &self,
        simd: S,
        block: &[[f32; BLOCK]],
        numbers: &mut [i32; BLOCK],
        values: &mut [f32; BLOCK],
    ) {
        assert!(block.len() == self.dim, "points of the centroids' dimension");
        let mut best = [(simd.splat(f32::INFINITY), simd.load_i32(&[0; LANES])); 2];
        let whole = self.half_norms.len() / TILE * TILE;
        let mut first = 0;
        while first < whole {
            self.step::<S, TILE>(simd, block, first, &mut best);
            first += TILE;
        }
        while first < self.half_norms.len() {
            self.step::<S, 1>(simd, block, first, &mut best);
            first += 1;
        }
        for (half, (value, number)) in best.into_iter().enumerate() {
            numbers.as_chunks_mut::<LANES>().0[half] = simd.to_array_i32(number);
            values.as_chunks_mut::<LANES>().0[half] = simd.to_array(value);
        }
    }

    /// Compares centroids `first..first + C` with the best so far.
    #[inline(always)]
    fn step<S: Simd, const C: usize>(
        &self,
        simd: S,
        block: &[[f32; BLOCK]],
        first: usize,
        best: &mut [(S::F32, S::I32); 2],
    ) {
        let half_norms: &[f32; C] = self.half_norms[first..][..C].try_into().expect("C half norms");
        let rows: [&[f32]; C] = std::array::from_fn(|c| &self.rows[(first + c) * self.dim..][..block.len()]);
        let mut sums: [[S::F32; 2]; C] = std::array::from_fn(|c| [simd.splat(half_norms[c]); 2]);
        for (d, column) in block.iter().enumerate() {
            let halves = column.as_chunks::<LANES>().0;
            let (low, high) = (simd.load(&halves[0]), simd.load(&halves[1]));
            for (sums, row) in sums.iter_mut().zip(rows) {
                let c = simd.splat(row[d]);
                sums[0] = simd.neg_mul_add(c, low, sums[0]);
                sums[1] = simd.neg_mul_add(c, high, sums[1]);
            }
        }
        for (c, sums) in sums.into_iter().enumerate() {
            best[0] = simd.keep_less(best[0], sums[0], (first + c) as i32);
            best[1] = simd.keep_less(best[1], sums[1], (first + c) as i32);
        }
    }
}
