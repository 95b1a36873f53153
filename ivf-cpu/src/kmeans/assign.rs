//! Assignment of points to their nearest centroids, round after round.

use super::distinct::Distinct;
use super::lloyd::Assign;
use crate::coarse::nearest;
use crate::kernels::{
    BLOCK, ByteQueries, Distance, MAX_BIAS, MAX_BYTES_DIM, PackedBytes, PackedRows, Visitor, distances_to_rows,
    scan_bytes, squared_norm, with_distance,
};
use crate::simd::{Kernel, Level, Simd};
use ivf_core::error::TrainError;
use ivf_core::executor::{Executor, Inline, map_items};
use ivf_core::{Metric, Rows};

/// Number of points in one task of a parallel loop.
const CHUNK: usize = 256;

/// Maximum average number of candidate pairs for each point, for up to [`FEW_CENTROIDS`] centroids.
/// More pairs, computed one by one, take as long as all pairs in tiles.
const MOST_PAIRS: usize = 16;

/// Number of centroids from which on the maximum number of pairs grows with it.
const FEW_CENTROIDS: usize = 1024;

/// Number of pairs of a crowded point, relative to the maximum average. It exceeds 1 because tiles
/// of few points take longer for each of them.
const CROWDED: usize = 4;

/// Nearest centroid of each distinct point (ties go to the lower number) and its distance. Every
/// round returns exactly the results of [`nearest`].
///
/// From the second round on, the centroid of a point in the previous round is a guess. Its exact
/// distance is an upper bound of the nearest distance. A pass over 8-bit values with a known error
/// bound finds the few centroids that may be as near. Only their distances are computed exactly
/// (1.6 of 1,024 for each point of GloVe after some rounds). Points in a crowd of centroids,
/// between which bytes cannot choose, are left to [`nearest`].
///
/// Bounds that carry from round to round by the triangle inequality (Hamerly, SDM 2010) were tried.
/// With 1,024 centroids in 100 dimensions, they save 0 to 3 % of the points in ten rounds.
pub(super) struct Assignment<'a> {
    distinct: &'a Distinct<'a>,
    metric: Metric,
    executor: &'a dyn Executor,
    /// The points as bytes, which take a quarter of their size. They are made in the second round,
    /// if a first pass pays.
    bytes: Vec<ByteQueries<'a>>,
    room: Room<'a>,
    rounds: usize,
    /// Number of the nearest centroid of each distinct point.
    numbers: Vec<u32>,
    /// Distance of each distinct point from that centroid.
    distances: Vec<f32>,
    /// Number of exact distances that all rounds computed.
    computed: u64,
}

/// Memory for the bytes of the points and for their norms. It is not split into many small
/// allocations, because the process would keep those after k-means has ended.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    groups: Vec<[u8; 4]>,
    lengths: Vec<(f64, f64)>,
}

type Room<'a> = (&'a mut [[u8; 4]], &'a mut [(f64, f64)]);

impl Bytes {
    /// Reserves room for the points if a first pass pays. The room takes no memory before it is
    /// written to.
    pub(super) fn new(distinct: &Distinct<'_>, metric: Metric) -> Self {
        let dim = distinct.points().dim();
        if !first_pass_pays(metric, dim) {
            return Self::default();
        }
        let groups = distinct.len() * dim.div_ceil(4);
        Self { groups: vec![[0; 4]; groups], lengths: vec![(0.0, 0.0); distinct.len()] }
    }
}

impl<'a> Assignment<'a> {
    /// Creates the state before the first round.
    pub(super) fn new(
        distinct: &'a Distinct<'a>,
        metric: Metric,
        executor: &'a dyn Executor,
        bytes: &'a mut Bytes,
    ) -> Self {
        let (n, room) = (distinct.len(), (&mut bytes.groups[..], &mut bytes.lengths[..]));
        let (numbers, distances) = (vec![0; n], vec![0.0; n]);
        Self { distinct, metric, executor, bytes: Vec::new(), room, rounds: 0, numbers, distances, computed: 0 }
    }

    /// Makes the bytes of the points.
    fn quantise(&mut self) {
        let (groups, lengths) = std::mem::take(&mut self.room);
        let groups = groups.chunks_mut(CHUNK * self.distinct.points().dim().div_ceil(4));
        let distinct = self.distinct;
        self.bytes = map_items(self.executor, groups.zip(lengths.chunks_mut(CHUNK)).collect(), |job, room| {
            let mut scratch = Vec::new();
            let rows = distinct.rows(job * CHUNK..job * CHUNK + room.1.len(), &mut scratch);
            Level::get().run(Quantise { rows, room })
        });
    }
}

impl Assign for Assignment<'_> {
    fn number(&self, i: usize) -> u32 {
        self.numbers[self.distinct.kind(i)]
    }

    fn distance(&self, i: usize) -> f32 {
        self.distances[self.distinct.kind(i)]
    }

    fn round(&mut self, centroids: Rows<'_, f32>) -> Result<(), TrainError> {
        self.rounds += 1;
        let passes = self.rounds > 1 && first_pass_pays(self.metric, centroids.dim());
        if passes && self.bytes.is_empty() {
            self.quantise();
        }
        let packed = PackedRows::new(centroids);
        let first_pass = passes.then(|| {
            let norms = centroids.iter().map(|row| f64::from(squared_norm(row))).collect();
            (PackedBytes::new(centroids), norms)
        });
        let round = Round { metric: self.metric, centroids, packed, first_pass };
        let (distinct, bytes) = (self.distinct, &self.bytes);
        let jobs = self.numbers.chunks_mut(CHUNK).zip(self.distances.chunks_mut(CHUNK)).collect();
        let computed = map_items(self.executor, jobs, |job, (numbers, distances)| {
            let mut scratch = Vec::new();
            let points = distinct.rows(job * CHUNK..job * CHUNK + numbers.len(), &mut scratch);
            round.assign(points, bytes.get(job), numbers, distances)
        });
        self.computed += computed.iter().sum::<u64>();
        Ok(())
    }
}

/// The centroids of a round, in the forms that an assignment takes.
struct Round<'a> {
    metric: Metric,
    centroids: Rows<'a, f32>,
    packed: PackedRows,
    /// The centroids as bytes, and their squared norms.
    first_pass: Option<(PackedBytes, Vec<f64>)>,
}

impl Round<'_> {
    /// Assigns a chunk of points. Returns the number of exact distances computed.
    fn assign(
        &self,
        points: Rows<'_, f32>,
        queries: Option<&ByteQueries<'_>>,
        numbers: &mut [u32],
        distances: &mut [f32],
    ) -> u64 {
        let passed = queries.zip(self.first_pass.as_ref()).and_then(|(queries, (bytes, norms))| {
            let (numbers, distances) = (&mut *numbers, &mut *distances);
            let chunk = Chunk { points, queries, centroids: self.centroids, bytes, norms, numbers, distances };
            with_distance(self.metric, chunk)
        });
        let Some(Passed { computed, crowded }) = passed else {
            nearest(points, &self.packed, self.metric, &Inline, numbers, distances);
            return (points.len() * self.packed.len()) as u64;
        };
        if crowded.is_empty() {
            return computed;
        }
        let rows: Vec<f32> = crowded.iter().flat_map(|&i| points.row(i)).copied().collect();
        let rows = Rows::new(&rows, points.dim()).expect("whole points");
        let (mut found, mut exact) = (vec![0; rows.len()], vec![0.0; rows.len()]);
        nearest(rows, &self.packed, self.metric, &Inline, &mut found, &mut exact);
        for ((&i, found), exact) in crowded.iter().zip(found).zip(exact) {
            (numbers[i], distances[i]) = (found, exact);
        }
        computed + (crowded.len() * self.packed.len()) as u64
    }
}

/// Returns whether products of bytes bound this metric and are faster than its distances.
pub(crate) fn first_pass_pays(metric: Metric, dim: usize) -> bool {
    struct HasFirstPass;
    impl Visitor for HasFirstPass {
        type Output = bool;
        fn visit<D: Distance>(self, _distance: D) -> bool {
            D::BY_PRODUCT.is_some()
        }
    }
    struct HasDot4;
    impl Kernel for HasDot4 {
        type Output = bool;
        #[inline(always)]
        fn run<S: Simd>(self, _simd: S) -> bool {
            S::HAS_DOT4
        }
    }
    with_distance(metric, HasFirstPass) && Level::get().run(HasDot4) && dim <= MAX_BYTES_DIM
}

struct Quantise<'a, 'b> {
    rows: Rows<'b, f32>,
    room: Room<'a>,
}

impl<'a> Kernel for Quantise<'a, '_> {
    type Output = ByteQueries<'a>;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> ByteQueries<'a> {
        ByteQueries::within(self.rows, self.room.0, self.room.1)
    }
}

/// Chunk of points, with the answers of the previous round and room for the answers of this one. As
/// a visitor, it returns `None` if the first pass does not apply or leaves too many pairs.
struct Chunk<'a> {
    points: Rows<'a, f32>,
    queries: &'a ByteQueries<'a>,
    centroids: Rows<'a, f32>,
    bytes: &'a PackedBytes,
    /// Squared norms of the centroids.
    norms: &'a [f64],
    numbers: &'a mut [u32],
    distances: &'a mut [f32],
}

/// Result of a first pass that applied.
struct Passed {
    /// Number of exact distances computed.
    computed: u64,
    /// Points with too many pairs, in order. They have no answer yet.
    crowded: Vec<usize>,
}

impl Visitor for Chunk<'_> {
    type Output = Option<Passed>;

    fn visit<D: Distance>(self, distance: D) -> Option<Passed> {
        Level::get().run(WithDistance { distance, chunk: self })
    }
}

struct WithDistance<'a, D> {
    distance: D,
    chunk: Chunk<'a>,
}

impl<D: Distance> Kernel for WithDistance<'_, D> {
    type Output = Option<Passed>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Option<Passed> {
        // No code is compiled where there is no first pass.
        if const { D::BY_PRODUCT.is_none() || !S::HAS_DOT4 } {
            return None;
        }
        let Self { distance, chunk: Chunk { points, queries, centroids, bytes, norms, numbers, distances } } = self;
        let (of_norms, of_product) = D::BY_PRODUCT?;
        let guesses = numbers.iter().enumerate().map(|(i, &no)| (points.row(i), centroids.row(no as usize)));
        distances_to_rows(simd, distance, guesses, distances);

        if !queries.bounded(bytes) {
            return None;
        }
        let unit = queries.unit(bytes);
        // distance <= best  <=>  p q x - n |x|^2 >= n |q|^2 - best.
        // Both sides are in units of products of bytes.
        let in_units = |value: f64| value / (of_product * unit);
        let bias: Vec<f64> = norms.iter().map(|&norm| in_units(of_norms * norm).floor()).collect();
        let threshold = |i: usize| {
            let slack = queries.error(i, bytes) / unit + 2.0;
            (in_units(of_norms * queries.squared_norm(i) - f64::from(distances[i])) - slack).floor()
        };
        let thresholds: Vec<f64> = (0..points.len()).map(threshold).collect();
        // Norms of points and centroids that differ too much do not fit 32 bits together. A value
        // that overflowed gives no bound, and all distances are computed.
        let fits =
            bias.iter().all(|bias| bias.abs() <= f64::from(MAX_BIAS)) && thresholds.iter().all(|t| t.is_finite());
        if !fits {
            return None;
        }
        let bias: Vec<i32> = bias.into_iter().map(|bias| bias as i32).collect();
        let thresholds: Vec<i32> = thresholds.into_iter().map(|threshold| threshold as i32).collect();
        let mut pairs: Vec<(u32, u32)> = Vec::new();
        let average = MOST_PAIRS.max(MOST_PAIRS * centroids.len() / FEW_CENTROIDS);
        let mut found = vec![0; points.len()];
        scan_bytes(simd, queries, bytes, &bias, &thresholds, |near| {
            let found = &mut found[near.query];
            for (lane, _) in near.hits(u32::MAX) {
                let no = (near.block * BLOCK + lane) as u32;
                if *found <= CROWDED * average && no != numbers[near.query] {
                    *found += 1;
                    pairs.push((near.query as u32, no));
                }
            }
        });
        let is_crowded = |i: usize| found[i] > CROWDED * average;
        let crowded: Vec<usize> = (0..points.len()).filter(|&i| is_crowded(i)).collect();
        if !crowded.is_empty() {
            pairs.retain(|&(i, _)| !is_crowded(i as usize));
        }
        if pairs.len() > average * points.len() {
            return None;
        }
        let mut exact = vec![0.0; pairs.len()];
        let rows = pairs.iter().map(|&(i, no)| (points.row(i as usize), centroids.row(no as usize)));
        distances_to_rows(simd, distance, rows, &mut exact);
        for (&(i, no), &found) in pairs.iter().zip(&exact) {
            let (number, best) = (&mut numbers[i as usize], &mut distances[i as usize]);
            if found < *best || (found == *best && no < *number) {
                (*number, *best) = (no, found);
            }
        }
        Some(Passed { computed: (points.len() + pairs.len()) as u64, crowded })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kmeans::{Random, start, update};
    use rand::SeedableRng;

    #[test]
    fn a_guess_changes_no_answer() {
        const N: usize = 150;
        let value = |i: usize| ((i * 7919 % 1013) as f32 / 512.0 - 0.9) * if i.is_multiple_of(31) { 4.0 } else { 1.0 };
        // Centroids much smaller or larger than the points; then both so small that their squares
        // underflow.
        let scales = [
            (1.0, 1.0),
            (1.0, 1e-6),
            (1.0, 1e6),
            (1.0, 1e30),
            (1e-13, 1.0),
            (1e-18, 1.0),
            (1e-22, 1.0),
            (1e-30, 1.0),
            (1e-38, 1.0),
        ];
        for (dim, (near, far)) in [1, 3, 4, 7, 64, 100].into_iter().flat_map(|dim| scales.map(|scale| (dim, scale))) {
            for k in [1, 31, 33, 300] {
                let value = |i: usize| value(i) * near;
                // In every other dimension, some points are copies of others.
                let original = |i: usize| if dim % 2 == 1 && i % 3 == 2 { i / 2 } else { i };
                let points: Vec<f32> = (0..N * dim).map(|i| value(original(i / dim) * dim + i % dim)).collect();
                // Some centroids occur twice: ties go to the lower number.
                let centroids: Vec<f32> = (0..k * dim).map(|i| value(i % (200 * dim) * 3 + 5) * far).collect();
                let (points, centroids) = (Rows::new(&points, dim).unwrap(), Rows::new(&centroids, dim).unwrap());
                let distinct = Distinct::new(points, &Inline);
                assert_eq!(distinct.len() < N, dim % 2 == 1);
                for metric in [Metric::L2, Metric::InnerProduct, Metric::L1] {
                    let (mut expected, mut exact) = (vec![0; N], vec![0.0; N]);
                    nearest(points, &PackedRows::new(centroids), metric, &Inline, &mut expected, &mut exact);
                    for guess in [0, k / 2, k - 1] {
                        let mut bytes = Bytes::new(&distinct, metric);
                        let mut assignment = Assignment::new(&distinct, metric, &Inline, &mut bytes);
                        // The first round ignores the guess, and the second round uses it.
                        for _ in 0..2 {
                            assignment.numbers.fill(guess as u32);
                            assignment.round(centroids).unwrap();
                            for i in 0..N {
                                let found = (assignment.number(i), assignment.distance(i));
                                assert_eq!(found, (expected[i], exact[i]), "{metric}, {dim}, {k}, {guess}, {i}");
                            }
                        }
                    }
                }
            }
        }
    }

    const K: usize = 512;
    const ROUNDS: usize = 5;

    /// Returns the number of exact distances in some rounds of k-means, whose last assignment is
    /// compared with an exact one.
    fn computed(points: Rows<'_, f32>) -> u64 {
        let mut random = Random::seed_from_u64(3);
        let (dim, distinct) = (points.dim(), Distinct::new(points, &Inline));
        let mut bytes = Bytes::new(&distinct, Metric::L2);
        let mut assignment = Assignment::new(&distinct, Metric::L2, &Inline, &mut bytes);
        let mut centroids = start::random(points, K, &mut random);
        let (mut numbers, mut distances) = (vec![0; points.len()], vec![0.0; points.len()]);
        for _ in 0..ROUNDS {
            let rows = Rows::new(&centroids, dim).unwrap();
            assignment.round(rows).unwrap();
            nearest(points, &PackedRows::new(rows), Metric::L2, &Inline, &mut numbers, &mut distances);
            assert!((0..points.len()).all(|i| assignment.number(i) == numbers[i]));
            let mut sums = update::Sums::new(K, dim);
            sums.add(points, |i| assignment.number(i), &Inline);
            sums.write_means(&mut centroids);
            update::split_empty(&mut centroids, &mut sums.sizes, dim, &mut random);
        }
        assignment.computed
    }

    #[test]
    fn copies_and_crowds_take_no_more_distances() {
        const N: usize = 4000;
        const DIM: usize = 16;
        /// Returns points. About the fraction `share` of them lies within `width` of one place.
        fn points(share: f32, width: f32) -> Vec<f32> {
            let mut state = 1_u32;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32
            };
            let point = |_| {
                let is_crowded = next() < share;
                std::array::from_fn::<f32, DIM, _>(|_| if is_crowded { 0.3 + width * next() } else { next() })
            };
            (0..N).flat_map(point).collect()
        }
        let of = |share, width| computed(Rows::new(&points(share, width), DIM).unwrap());
        let plain = of(0.0, 0.0);
        for share in [0.1, 0.5, 0.9] {
            let copies = of(share, 0.0);
            assert!(copies <= plain, "{copies} distances with {share} copies, {plain} without");
        }
        // One distinct point takes one search a round, and the distance of its guess.
        assert!(of(1.0, 0.0) <= (ROUNDS * (K + 1)) as u64);
        // The points far from a crowd keep their first pass, if there is one.
        let (crowd, all) = (of(0.5, 1e-6), (N * K * ROUNDS) as u64);
        let most = if first_pass_pays(Metric::L2, DIM) { all * 7 / 10 } else { all };
        assert!(crowd <= most, "{crowd} distances near a crowd, of {all}, {plain} without");
    }
}
