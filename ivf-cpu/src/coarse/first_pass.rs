//! Search for the nearest centroids with a first pass in bytes.

use super::nearest::{Smallest, nearest_many, split_key};
use crate::kernels::{
    BLOCK, ByteQueries, Distance, PackedBytes, PackedRows, Visitor, distances_of_query, score_bytes, squared_norm,
    with_distance,
};
use crate::kmeans::first_pass_pays;
use crate::simd::{Kernel, LANES, Lanes, Level, Simd};
use ivf_core::executor::{Executor, Inline, map_items};
use ivf_core::{Metric, Rows};

/// Number of rows that one task of a parallel loop handles.
const CHUNK: usize = 256;

/// Number of queries that are scored together.
const TILE: usize = 4;

/// Minimum number of centroids for which a first pass pays.
const FEWEST: usize = 128;

/// Minimum number of centroids for each result. An exact distance on its own takes about six times
/// as long as one of a tile, and a first pass leaves two to four centroids for each result.
const EACH: usize = 32;

/// A query computes exact distances to at most the number of centroids divided by this. A query
/// that needs more is left to [`nearest_many`].
const MOST: usize = 8;

/// Number of groups of scores for each result, see [`Scores::least`].
const GROUPS: usize = 4;

/// Centroids as bytes and as rows.
///
/// A score of a centroid is its negated distance without the query's norm, computed from bytes. It
/// is off by at most a known error. So the `k` nearest centroids are among those whose score is at
/// least the `k`-th best score less twice that error. Only these, about `k + 5`, get their exact
/// distance. The results are those of [`nearest_many`].
///
/// (A query of 128 dimensions over 1,024 centroids reads 128 KiB instead of 512 KiB, and computes
/// a quarter as many products.)
#[derive(Clone, Debug)]
pub(super) struct ByteCentroids {
    metric: Metric,
    bytes: PackedBytes,
    rows: Vec<f32>,
    /// For each block, the parts of the scores that do not depend on the query, and minus infinity
    /// after the last centroid.
    offsets: Vec<[f32; BLOCK]>,
    /// Largest size of an offset.
    largest: f64,
}

impl ByteCentroids {
    /// Prepares the centroids, if a first pass pays.
    pub(super) fn new(centroids: Rows<'_, f32>, metric: Metric) -> Option<Self> {
        struct OfNorms;
        impl Visitor for OfNorms {
            type Output = f32;
            fn visit<D: Distance>(self, _distance: D) -> f32 {
                D::BY_PRODUCT.map_or(0.0, |(of_norms, _)| of_norms as f32)
            }
        }
        if centroids.len() < FEWEST || !first_pass_pays(metric, centroids.dim()) {
            return None;
        }
        let of_norms = with_distance(metric, OfNorms);
        let mut offsets = vec![[f32::NEG_INFINITY; BLOCK]; centroids.len().div_ceil(BLOCK)];
        let mut largest = 0.0_f64;
        for (i, row) in centroids.iter().enumerate() {
            let offset = of_norms * squared_norm(row);
            offsets[i / BLOCK][i % BLOCK] = -offset;
            largest = largest.max(offset.into());
        }
        let (bytes, rows) = (PackedBytes::new(centroids), centroids.as_slice().to_vec());
        largest.is_finite().then_some(Self { metric, bytes, rows, offsets, largest })
    }

    /// Returns the memory in bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.memory() + size_of_val(&self.rows[..]) + size_of_val(&self.offsets[..])
    }

    /// Returns the same as [`nearest_many`]. `packed` has the same centroids, for queries whose
    /// bytes give no bound.
    ///
    /// # Panics
    /// As [`nearest_many`].
    pub(super) fn nearest_many(
        &self,
        rows: Rows<'_, f32>,
        packed: &PackedRows,
        k: usize,
        executor: &dyn Executor,
    ) -> (Vec<u32>, Vec<f32>) {
        if k > packed.len() / EACH {
            return nearest_many(rows, packed, self.metric, k, executor);
        }
        let (mut numbers, mut distances) = (vec![0; rows.len() * k], vec![0.0; rows.len() * k]);
        let jobs: Vec<_> = numbers.chunks_mut(CHUNK * k).zip(distances.chunks_mut(CHUNK * k)).collect();
        map_items(executor, jobs, |job, (numbers, distances)| {
            let rows = rows.slice(job * CHUNK..job * CHUNK + numbers.len() / k);
            with_distance(self.metric, Task { of: self, packed, k, rows, numbers, distances });
        });
        (numbers, distances)
    }
}

/// Some queries, with room for their results.
struct Task<'a> {
    of: &'a ByteCentroids,
    packed: &'a PackedRows,
    k: usize,
    rows: Rows<'a, f32>,
    numbers: &'a mut [u32],
    distances: &'a mut [f32],
}

impl Visitor for Task<'_> {
    type Output = ();

    fn visit<D: Distance>(self, distance: D) {
        Level::get().run(WithDistance { distance, task: self });
    }
}

struct WithDistance<'a, D> {
    distance: D,
    task: Task<'a>,
}

impl<D: Distance> Kernel for WithDistance<'_, D> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { distance, task: Task { of, packed, k, rows, numbers, distances } } = self;
        // No code is compiled where there is no first pass.
        if const { D::BY_PRODUCT.is_none() || !S::HAS_DOT4 } {
            return;
        }
        let groups = rows.dim().div_ceil(4);
        let (mut bytes, mut lengths) = ([const { Vec::new() }; TILE], [[(0.0, 0.0)]; TILE]);
        let mut scores = [const { Vec::new() }; TILE];
        let used = if rows.len() == 1 { 1 } else { TILE };
        for q in 0..used {
            bytes[q].resize(groups, [0; 4]);
            scores[q].resize(of.offsets.len(), [0.0; BLOCK]);
        }
        let mut room = Room { best: Smallest::new(k), maxima: Vec::new(), near: Vec::new(), exact: Vec::new() };
        let mut left = Vec::new();
        let mut first = 0;
        while first < rows.len() {
            let count = TILE.min(rows.len() - first);
            // A tile of two or three queries repeats its last one. A single query is scored alone.
            let row = |q: usize| rows.slice(first + q.min(count - 1)..first + q.min(count - 1) + 1);
            let ([a, b, c, d], [e, f, g, h]) = (&mut bytes, &mut lengths);
            let (mut factors, mut errors) = ([0.0; TILE], [f64::INFINITY; TILE]);
            if count == 1 {
                let query = ByteQueries::within(row(0), a, e);
                (factors[0], errors[0]) = of.factor_and_error::<D>(&query);
                score_bytes(simd, [&query], &of.bytes, [factors[0]], &of.offsets, [&mut scores[0]]);
            } else {
                let queries = [
                    ByteQueries::within(row(0), a, e),
                    ByteQueries::within(row(1), b, f),
                    ByteQueries::within(row(2), c, g),
                    ByteQueries::within(row(3), d, h),
                ];
                for q in 0..TILE {
                    (factors[q], errors[q]) = of.factor_and_error::<D>(&queries[q]);
                }
                let [a, b, c, d] = &mut scores;
                let [e, f, g, h] = &queries;
                score_bytes(simd, [e, f, g, h], &of.bytes, factors, &of.offsets, [a, b, c, d]);
            }
            for q in 0..count {
                let query = row(q);
                let out = (first + q) * k..(first + q + 1) * k;
                let (numbers, distances) = (&mut numbers[out.clone()], &mut distances[out]);
                let search = Search { of, k, query: query.as_slice(), error: errors[q] };
                if !search.run(simd, distance, &scores[q], &mut room, numbers, distances) {
                    left.push(first + q);
                }
            }
            first += count;
        }
        if left.is_empty() {
            return;
        }
        let together: Vec<f32> = left.iter().flat_map(|&q| rows.row(q)).copied().collect();
        let together = Rows::new(&together, rows.dim()).expect("whole rows");
        let found = nearest_many(together, packed, of.metric, k, &Inline);
        for ((q, found), exact) in left.into_iter().zip(found.0.chunks_exact(k)).zip(found.1.chunks_exact(k)) {
            numbers[q * k..(q + 1) * k].copy_from_slice(found);
            distances[q * k..(q + 1) * k].copy_from_slice(exact);
        }
    }
}

impl ByteCentroids {
    /// Returns the factor of products of bytes, and the largest error of a score. The error is
    /// infinite if there is no bound.
    #[inline(always)]
    fn factor_and_error<D: Distance>(&self, query: &ByteQueries<'_>) -> (f32, f64) {
        let of_product = D::BY_PRODUCT.map_or(0.0, |(_, of_product)| of_product);
        let factor = (of_product * query.unit(&self.bytes)) as f32;
        if !query.bounded(&self.bytes) || !factor.is_normal() {
            return (0.0, f64::INFINITY);
        }
        // A product is at most the product of the norms. Factor, product, sum and offset are
        // rounded.
        let product = of_product * query.largest_product(&self.bytes);
        let rounding = 8.0 * f64::from(f32::EPSILON) * (product + self.largest);
        (factor, of_product * query.error(0, &self.bytes) + rounding)
    }
}

/// Memory that queries use again.
struct Room {
    best: Smallest,
    maxima: Vec<[f32; LANES]>,
    near: Vec<u32>,
    exact: Vec<f32>,
}

/// The search for one query, after the first pass.
struct Search<'a> {
    of: &'a ByteCentroids,
    k: usize,
    query: &'a [f32],
    error: f64,
}

impl Search<'_> {
    /// Writes the nearest centroids. Returns false, and writes nothing useful, if the scores do not
    /// tell them.
    #[inline(always)]
    fn run<S: Simd, D: Distance>(
        &self,
        simd: S,
        distance: D,
        scores: &[[f32; BLOCK]],
        room: &mut Room,
        numbers: &mut [u32],
        distances: &mut [f32],
    ) -> bool {
        let Self { of, k, query, error } = *self;
        let Room { best, maxima, near, exact } = room;
        let Some(least) = least(simd, scores, k, maxima) else { return false };
        let most_below = (f64::from(least) - 2.0 * error) as f32;
        let most_below = most_below.next_down();
        if !most_below.is_finite() {
            return false;
        }
        near.clear();
        for (b, scores) in scores.iter().enumerate() {
            let [low, high] = scores.as_chunks::<LANES>().0 else { unreachable!("a block has two halves") };
            let below = simd.at_most(simd.load(low), most_below) | simd.at_most(simd.load(high), most_below) << LANES;
            for lane in Lanes((!below).into()) {
                near.push((b * BLOCK + lane) as u32);
            }
        }
        if near.len() > scores.len() * BLOCK / MOST {
            return false;
        }
        let dim = query.len();
        let row = |number: u32| &of.rows[number as usize * dim..][..dim];
        for number in near.iter() {
            simd.prefetch(row(*number));
        }
        exact.clear();
        exact.resize(near.len(), 0.0);
        distances_of_query(simd, distance, query, near.iter().map(|number| row(*number)), exact);
        best.clear();
        for (number, distance) in near.iter().zip(exact.iter()) {
            // NaN and infinity are no distances, as in the exact search.
            if *distance <= f32::MAX {
                best.push(*distance, *number);
            }
        }
        best.sort();
        if best.keys().len() < k {
            return false;
        }
        for ((key, number), distance) in best.keys().iter().zip(numbers).zip(distances) {
            (*distance, *number) = split_key(*key);
        }
        true
    }
}

/// Returns a number that at least `k` scores exceed, and few more, or `None` if there is none.
///
/// The scores are divided into some groups for each result. If the largest scores of `k` groups
/// exceed a number, so do at least `k` scores. The number is found by bisection.
#[inline(always)]
fn least<S: Simd>(simd: S, scores: &[[f32; BLOCK]], k: usize, maxima: &mut Vec<[f32; LANES]>) -> Option<f32> {
    let halves: &[[f32; LANES]] = bytemuck::cast_slice(scores);
    let together = (halves.len() * LANES / (GROUPS * k)).max(1);
    maxima.clear();
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for halves in halves.chunks(together) {
        let mut largest = simd.load(&halves[0]);
        for half in &halves[1..] {
            largest = simd.max(largest, simd.load(half));
        }
        maxima.push(simd.to_array(largest));
    }
    for maxima in maxima.iter() {
        for x in maxima {
            low = low.min(*x);
            high = high.max(*x);
        }
    }
    // Scores past the last centroid are minus infinity.
    let mut low = if low == f32::NEG_INFINITY { f32::MIN } else { low.next_down() };
    let above = |number: f32| -> usize {
        let mut at_most = 0;
        for maxima in maxima.iter() {
            at_most += simd.at_most(simd.load(maxima), number).count_ones() as usize;
        }
        maxima.len() * LANES - at_most
    };
    if !high.is_finite() || above(low) < k {
        return None;
    }
    for _ in 0..STEPS {
        let middle = low + (high - low) / 2.0;
        let count = above(middle);
        if count >= k {
            low = middle;
            if count <= k + k / 8 {
                break;
            }
        } else {
            high = middle;
        }
    }
    Some(low)
}

/// Maximum number of steps of the bisection.
const STEPS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns numbers from -1 to 1 that repeat after long.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_first_pass_changes_no_result() {
        for (dim, count) in [(1, 128), (7, 300), (16, 1000), (33, 500), (100, 257)] {
            // Some centroids occur twice, so there are ties.
            let base = numbers(count * dim, 7);
            let centroids: Vec<f32> = (0..count).flat_map(|i| &base[i * 2 / 3 * dim..][..dim]).copied().collect();
            // Queries near centroids, far from all, tiny and huge ones, and zero.
            let mut queries = numbers(12 * dim, 3);
            for (q, scale) in [1e-3, 1e3, 1e-20, 1e-38, 1e18, 3e38, 0.0].into_iter().enumerate() {
                queries[q * dim..(q + 1) * dim].iter_mut().for_each(|x| *x *= scale);
            }
            queries[11 * dim..].copy_from_slice(&centroids[..dim]);
            let queries = Rows::new(&queries, dim).unwrap();
            for scale in [1.0, 1e-20, 1e15] {
                let centroids: Vec<f32> = centroids.iter().map(|x| x * scale).collect();
                let rows = Rows::new(&centroids, dim).unwrap();
                let packed = PackedRows::new(rows);
                for metric in [Metric::L2, Metric::InnerProduct, Metric::L1] {
                    let Some(bytes) = ByteCentroids::new(rows, metric) else {
                        assert!(!first_pass_pays(metric, dim) || scale > 1.0);
                        continue;
                    };
                    assert!(bytes.memory() >= rows.as_slice().len() * 5);
                    for k in [1, 2, 16, count / EACH, count / EACH + 1] {
                        let found = bytes.nearest_many(queries, &packed, k, &Inline);
                        let expected = nearest_many(queries, &packed, metric, k, &Inline);
                        assert_eq!(found.0, expected.0, "{metric}, {dim} dimensions, {scale}, {k}");
                        assert_eq!(found.1, expected.1, "{metric}, {dim} dimensions, {scale}, {k}");
                    }
                }
            }
        }
    }

    /// Counts the scores above [`least`].
    struct Above<'a>(&'a [[f32; BLOCK]], usize);

    impl Kernel for Above<'_> {
        type Output = Option<usize>;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Option<usize> {
            let least = least(simd, self.0, self.1, &mut Vec::new())?;
            Some(self.0.iter().flatten().filter(|score| **score > least).count())
        }
    }

    #[test]
    fn enough_scores_and_few_more_are_above_the_least() {
        let scores: Vec<f32> = numbers(1024, 5);
        let blocks = scores.as_chunks::<BLOCK>().0;
        for level in Level::available() {
            for k in [1, 8, 16, 64, 128] {
                let above = level.run(Above(blocks, k)).unwrap();
                assert!((k..=2 * k + 4).contains(&above), "{above} of {k}, {level}");
            }
            // One large score in each of 32 groups: no others make up for one that is missed.
            let mut one_each = [[-1.0; BLOCK]; 32];
            for (i, score) in one_each[0].iter_mut().take(16).enumerate() {
                *score = i as f32;
            }
            for (i, score) in one_each[16].iter_mut().take(16).enumerate() {
                *score = 0.5 + i as f32;
            }
            for k in 3..=12 {
                let above = level.run(Above(&one_each, k)).unwrap();
                assert!((k..=2 * k).contains(&above), "{above} of {k}, {level}");
            }
            // Fewer scores than results, and equal ones.
            let mut few = [[f32::NEG_INFINITY; BLOCK]; 4];
            few[0][..5].fill(1.0);
            assert_eq!(level.run(Above(&few, 8)), None);
            assert_eq!(level.run(Above(&[[2.0; BLOCK]; 4], 8)), Some(128));
            assert_eq!(level.run(Above(&[[f32::NAN; BLOCK]; 4], 8)), None);
        }
    }
}
