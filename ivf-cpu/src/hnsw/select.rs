//! The choice of links: near nodes in different directions.

use super::beam::Found;
use crate::codec::distances_to_vectors;
use crate::kernels::{ByLanes, LaneQuery, NegatedProducts, SquaredDifferences};
use crate::simd::{Kernel, Level, Simd};
use ivf_core::Metric;

/// Number of kept candidates that a candidate is compared with at a time.
const TOGETHER: usize = 4;

/// Candidates for the links of one node, with their vectors.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    /// The candidates. Sorted before some are selected.
    pub(super) found: Vec<Found>,
    /// The vector of each candidate, in the order in which they were added.
    vectors: Vec<f32>,
    /// The order of `vectors`: the place of each candidate by its node.
    nodes: Vec<u32>,
    /// The vectors of those that are kept.
    kept: Vec<f32>,
    distances: Vec<f32>,
    query: LaneQuery,
}

impl Candidates {
    pub(super) fn clear(&mut self) {
        self.found.clear();
        self.vectors.clear();
        self.nodes.clear();
    }

    /// Adds a node and returns the place for its vector. Its distance must be known when nodes are
    /// selected.
    pub(super) fn push(&mut self, node: u32, dim: usize) -> &mut [f32] {
        let start = self.vectors.len();
        self.nodes.push(node);
        self.vectors.resize(start + dim, 0.0);
        &mut self.vectors[start..]
    }

    /// Computes the distances of all candidates from a vector.
    pub(super) fn score(&mut self, metric: Metric, vector: &[f32]) {
        self.distances.resize(self.nodes.len(), 0.0);
        distances(metric, &mut self.query, vector, &self.vectors, &mut self.distances);
        self.found.clear();
        self.found.extend(self.nodes.iter().zip(&self.distances).map(|(&node, &d)| Found::new(d, node)));
    }

    /// Keeps at most `most` candidates: from the nearest on, each one that is nearer to the node
    /// than to any that is kept. (Algorithm 4 of the paper, without `keepPrunedConnections`, as in
    /// Faiss.)
    pub(super) fn select(&mut self, metric: Metric, dim: usize, most: usize) {
        let mut order: Vec<(Found, usize)> = self.found.iter().copied().zip(0..).collect();
        order.sort_unstable();
        self.found.clear();
        self.kept.clear();
        for (found, place) in order {
            if self.found.len() >= most {
                break;
            }
            let vector = &self.vectors[place * dim..][..dim];
            if !is_near_any(metric, &mut self.query, vector, &self.kept, found.distance()) {
                self.found.push(found);
                self.kept.extend_from_slice(vector);
            }
        }
    }
}

/// Writes the distances from a vector to others to `out`. None of them is NaN.
fn distances(metric: Metric, query: &mut LaneQuery, vector: &[f32], others: &[f32], out: &mut [f32]) {
    struct All<'a, D>(D, &'a LaneQuery, &'a [f32], usize, &'a mut [f32]);
    impl<D: ByLanes> Kernel for All<'_, D> {
        type Output = ();
        const BYTES: bool = false;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let Self(distance, query, others, dim, out) = self;
            distance.distances(simd, query, |i| &others[i * dim..][..dim], out);
        }
    }
    let dim = vector.len();
    match metric {
        Metric::L2 => {
            query.set(vector);
            Level::get().run(All(SquaredDifferences, query, others, dim, out));
        }
        Metric::InnerProduct => {
            query.set(vector);
            Level::get().run(All(NegatedProducts, query, others, dim, out));
        }
        _ => {
            distances_to_vectors(metric, vector, others, out);
            out.iter_mut().for_each(|x| *x = if x.is_nan() { f32::INFINITY } else { *x });
        }
    }
}

/// Returns whether a vector is within a distance of any of the others.
fn is_near_any(metric: Metric, query: &mut LaneQuery, vector: &[f32], others: &[f32], within: f32) -> bool {
    struct Any<'a, D>(D, &'a LaneQuery, &'a [f32], usize, f32);
    impl<D: ByLanes> Kernel for Any<'_, D> {
        type Output = bool;
        const BYTES: bool = false;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> bool {
            let Self(distance, query, others, dim, within) = self;
            for some in others.chunks(TOGETHER * dim) {
                let mut out = [f32::INFINITY; TOGETHER];
                distance.distances(simd, query, |i| &some[i * dim..][..dim], &mut out[..some.len() / dim]);
                let mut is_near = false;
                for distance in out {
                    is_near |= distance < within;
                }
                if is_near {
                    return true;
                }
            }
            false
        }
    }
    let dim = vector.len();
    match metric {
        Metric::L2 => {
            query.set(vector);
            Level::get().run(Any(SquaredDifferences, query, others, dim, within))
        }
        Metric::InnerProduct => {
            query.set(vector);
            Level::get().run(Any(NegatedProducts, query, others, dim, within))
        }
        _ => {
            let mut out = vec![0.0; others.len() / dim];
            distances_to_vectors(metric, vector, others, &mut out);
            out.iter().any(|distance| *distance < within)
        }
    }
}
