//! Distances to rows whose sums are kept in 16 lanes: fast for rows that lie anywhere in memory.
//!
//! The fold of [`Distance`](super::Distance) adds one dimension after the other, so vectors in rows
//! have to be transposed first. Here each row has 16 partial sums. The order of additions is fixed
//! by definition too, so results are bit-identical on all instruction sets. They differ from the
//! fold by rounding only, and serve to find candidates.

use crate::simd::{LANES, Simd};

/// Number of rows whose sums are computed together, so that no addition waits for another one.
const TOGETHER: usize = 4;

/// An inner distance (smaller is closer) of one step for each dimension, in registers.
pub(crate) trait ByLanes: Copy + Send + Sync {
    /// Adds 16 dimensions to 16 sums: `q` are coordinates of the query, `x` of a row.
    fn step<S: Simd>(self, simd: S, sum: S::F32, q: S::F32, x: S::F32) -> S::F32;

    /// Adds the last dimensions, in lanes where `mask` is 1 and not 0. `q` is 0 in the others.
    fn last<S: Simd>(self, simd: S, sum: S::F32, q: S::F32, x: S::F32, mask: S::F32) -> S::F32;

    /// Writes the distance from a query to `row(i)` to `out[i]`. A NaN becomes an infinity.
    ///
    /// # Panics
    /// If a row has another dimension than the query.
    #[inline(always)]
    fn distances<'a, S: Simd>(self, simd: S, query: &LaneQuery, row: impl Fn(usize) -> &'a [f32], out: &mut [f32]) {
        let (fours, rest) = out.as_chunks_mut::<TOGETHER>();
        for (i, out) in fours.iter_mut().enumerate() {
            let first = i * TOGETHER;
            *out = of_rows(self, simd, query, [row(first), row(first + 1), row(first + 2), row(first + 3)]);
        }
        let first = fours.len() * TOGETHER;
        for (i, out) in rest.iter_mut().enumerate() {
            [*out] = of_rows(self, simd, query, [row(first + i)]);
        }
    }
}

/// Squared Euclidean distance, by lanes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SquaredDifferences;

impl ByLanes for SquaredDifferences {
    #[inline(always)]
    fn step<S: Simd>(self, simd: S, sum: S::F32, q: S::F32, x: S::F32) -> S::F32 {
        let difference = simd.sub(x, q);
        simd.mul_add(difference, difference, sum)
    }

    #[inline(always)]
    fn last<S: Simd>(self, simd: S, sum: S::F32, q: S::F32, x: S::F32, mask: S::F32) -> S::F32 {
        // `q - x * mask` is rounded once, like `q - x`.
        let difference = simd.neg_mul_add(x, mask, q);
        simd.mul_add(difference, difference, sum)
    }
}

/// Negated inner product, by lanes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NegatedProducts;

impl ByLanes for NegatedProducts {
    #[inline(always)]
    fn step<S: Simd>(self, simd: S, sum: S::F32, q: S::F32, x: S::F32) -> S::F32 {
        simd.neg_mul_add(q, x, sum)
    }

    #[inline(always)]
    fn last<S: Simd>(self, simd: S, sum: S::F32, q: S::F32, x: S::F32, _mask: S::F32) -> S::F32 {
        simd.neg_mul_add(q, x, sum)
    }
}

/// A query in registers of 16 dimensions. The last one overlaps the one before it, unless 16
/// divides the dimension.
///
/// ```text
/// 40 dimensions     | 0 .. 15 | 16 .. 31 |          whole
///                                | 24 .. 39 |       last, with zeros in the lanes of 24 .. 31
/// ```
#[derive(Clone, Debug, Default)]
pub(crate) struct LaneQuery {
    dim: usize,
    whole: Vec<[f32; LANES]>,
    last: [f32; LANES],
    /// 1 for the lanes of `last` that count.
    mask: [f32; LANES],
}

impl LaneQuery {
    /// Copies a query.
    #[cfg(test)]
    pub(crate) fn new(query: &[f32]) -> Self {
        let mut lanes = Self::default();
        lanes.set(query);
        lanes
    }

    /// Replaces the query.
    pub(crate) fn set(&mut self, query: &[f32]) {
        self.dim = query.len();
        let (whole, rest) = query.as_chunks::<LANES>();
        self.whole.clear();
        self.whole.extend_from_slice(whole);
        (self.last, self.mask) = ([0.0; LANES], [0.0; LANES]);
        // Fewer than 16 dimensions are the first lanes, since there is nothing to overlap.
        let start = if whole.is_empty() { 0 } else { LANES - rest.len() };
        self.last[start..start + rest.len()].copy_from_slice(rest);
        self.mask[start..start + rest.len()].fill(1.0);
    }

    /// Returns the number of dimensions after the whole registers.
    #[inline(always)]
    fn rest(&self) -> usize {
        self.dim - self.whole.len() * LANES
    }
}

/// Returns the distances from a query to `N` rows.
#[inline(always)]
fn of_rows<S: Simd, D: ByLanes, const N: usize>(
    distance: D,
    simd: S,
    query: &LaneQuery,
    mut rows: [&[f32]; N],
) -> [f32; N] {
    for row in &mut rows {
        // Shows the compiler the lengths.
        *row = &row[..query.dim];
    }
    let mut wholes = [&[][..]; N];
    for n in 0..N {
        wholes[n] = &rows[n].as_chunks::<LANES>().0[..query.whole.len()];
    }
    let mut sums = [simd.splat(0.0); N];
    for (i, q) in query.whole.iter().enumerate() {
        let q = simd.load(q);
        for n in 0..N {
            sums[n] = distance.step(simd, sums[n], q, simd.load(&wholes[n][i]));
        }
    }
    if query.rest() > 0 {
        let (q, mask) = (simd.load(&query.last), simd.load(&query.mask));
        for n in 0..N {
            let mut few = [0.0; LANES];
            let x = match rows[n].last_chunk::<LANES>() {
                Some(last) => last,
                None => {
                    few[..query.dim].copy_from_slice(rows[n]);
                    &few
                }
            };
            sums[n] = distance.last(simd, sums[n], q, simd.load(x), mask);
        }
    }
    let mut distances = [0.0; N];
    for n in 0..N {
        let sum = folded(simd.to_array(sums[n]));
        distances[n] = if sum.is_nan() { f32::INFINITY } else { sum };
    }
    distances
}

/// Adds 16 lanes: each time the upper half to the lower half.
#[inline(always)]
fn folded(lanes: [f32; LANES]) -> f32 {
    let mut eight = [0.0; 8];
    for i in 0..8 {
        eight[i] = lanes[i] + lanes[i + 8];
    }
    let mut four = [0.0; 4];
    for i in 0..4 {
        four[i] = eight[i] + eight[i + 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, Level};

    struct All<'a, D>(D, &'a [f32], &'a [f32]);

    impl<D: ByLanes> Kernel for All<'_, D> {
        type Output = Vec<u32>;
        const BYTES: bool = false;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<u32> {
            let Self(distance, query, rows) = self;
            let dim = query.len();
            let mut out = vec![0.0; rows.len() / dim];
            distance.distances(simd, &LaneQuery::new(query), |i| &rows[i * dim..][..dim], &mut out);
            out.iter().map(|x| x.to_bits()).collect()
        }
    }

    /// The definition: dimension `d` goes to lane `d % 16`, the last ones to the last lanes.
    fn defined(query: &[f32], row: &[f32], step: impl Fn(f32, f32, f32) -> f32) -> f32 {
        let (mut lanes, whole) = ([0.0; LANES], query.len() / LANES * LANES);
        for (d, (&q, &x)) in query.iter().zip(row).enumerate() {
            let is_last = d >= whole && whole > 0;
            let lane = if is_last { LANES - (query.len() - d) } else { d % LANES };
            lanes[lane] = step(lanes[lane], q, x);
        }
        folded(lanes)
    }

    #[test]
    fn every_level_adds_in_the_defined_order() {
        for dim in [1, 3, 15, 16, 17, 31, 32, 40, 100, 128] {
            let value = |i: usize| (i * 7919 % 1013) as f32 / 512.0 - 0.7;
            let query: Vec<f32> = (0..dim).map(|d| value(d * 3 + 1)).collect();
            for rows in [0, 1, 3, 4, 9] {
                let rows: Vec<f32> = (0..rows * dim).map(value).collect();
                let each = |step: fn(f32, f32, f32) -> f32| -> Vec<u32> {
                    rows.chunks_exact(dim).map(|row| defined(&query, row, step).to_bits()).collect()
                };
                let l2 = each(|sum, q, x| (x - q).mul_add(x - q, sum));
                let product = each(|sum, q, x| (-q).mul_add(x, sum));
                for level in Level::available() {
                    assert_eq!(level.run(All(SquaredDifferences, &query, &rows)), l2, "{level}, {dim}");
                    assert_eq!(level.run(All(NegatedProducts, &query, &rows)), product, "{level}, {dim}");
                }
            }
        }
    }

    #[test]
    fn sums_that_are_no_numbers_are_far() {
        let rows = [f32::MAX, -f32::MAX];
        let found = Level::get().run(All(NegatedProducts, &[f32::MAX, f32::MAX], &rows));
        assert_eq!(found, [f32::INFINITY.to_bits()]);
    }
}
