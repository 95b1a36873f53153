//! Recall of search results.
//!
//! Where several vectors are equally near, a ground truth names some of them, and a search may
//! return others. Recall therefore compares distances where they are known, as ann-benchmarks does:
//! a result is right if it is as near as the k-th true neighbour. Distances say nothing if the
//! index holds approximations of the vectors: then a result is right if its id is a true one.

use crate::failure::{self, Failure};
use crate::ground_truth::Truth;
use ivf_core::error::ReconstructError;
use ivf_core::{AddOptions, Hits, HitsRow, Id, Index, Metric, Rows};
use ivf_cpu::kernels::{Distance, Visitor, squared_norm, with_distance};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// Memory of the vectors that are reconstructed at a time, in bytes.
const VECTORS: usize = 64 << 20;

/// Number of vectors on which properties of an index are tried, and of results of each.
const TRIED: usize = 64;
const TRIED_RESULTS: usize = 10;

/// Relative rounding error of a distance. Two sums of a few hundred products in another order
/// differ by less.
const ROUNDING: f32 = 1e-5;

/// Relative difference above which two distances are not the same distance, rounded differently.
const SAME: f32 = 1e-3;

/// A ground truth, and the rule by which a result is right.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    truth: Truth,
    rule: Rule,
}

/// The rule by which a result is right.
#[derive(Clone, Debug)]
enum Rule {
    /// It is at most as far as the k-th true neighbour. Internal distances of the true neighbours.
    Distance(Vec<Vec<f32>>),
    /// Its id is one of the true ids. The field says why distances are not compared.
    Id(&'static str),
}

impl Judge {
    /// Chooses the rule for results of `index`. `hits` are some of its results for all queries.
    ///
    /// # Errors
    /// [`Failure`] if the lists cannot be read.
    pub(crate) fn new(truth: Truth, index: &dyn Index, queries: Rows<'_, f32>, hits: &Hits) -> Result<Self, Failure> {
        let absent = truth.absent(index, hits, false)?;
        let rule = Self::choose(&truth, index, queries, hits, absent)?;
        Ok(Self { truth, rule })
    }

    /// Compares ids, and never reads vectors of the index. `why` says why.
    pub(crate) fn by_ids(truth: Truth, why: &'static str) -> Self {
        Self { truth, rule: Rule::Id(why) }
    }

    fn choose(
        truth: &Truth,
        index: &dyn Index,
        queries: Rows<'_, f32>,
        hits: &Hits,
        absent: HashSet<Id>,
    ) -> Result<Rule, Failure> {
        if index.as_reconstruct().is_none() {
            return Ok(Rule::Id("the index cannot reconstruct vectors"));
        }
        if truth.distances().is_none() && !is_lossless(index, queries) {
            return Ok(Rule::Id("the index holds approximations of the vectors"));
        }
        let distances = match distances(index, queries, truth.ids(), &absent) {
            // An id was removed from the middle of the ids.
            Err(ReconstructError::NoSuchId(_)) if absent.is_empty() => {
                let absent = truth.absent(index, hits, true)?;
                distances(index, queries, truth.ids(), &absent)
            }
            other => other,
        };
        let cannot =
            |error: ReconstructError| Failure::failed("cannot compute the distances of the ground truth", &error);
        let distances = distances.map_err(cannot)?;
        if truth.distances().is_some_and(|given| !given.iter().zip(&distances).all(|(a, b)| is_same(a, b))) {
            return Ok(Rule::Id("the distances of the ground truth are not those of the vectors in the index"));
        }
        // The distances that the search returns are compared with those of the true neighbours.
        let tried: Vec<Vec<Id>> =
            hits.rows().take(TRIED).map(|row| row.ids.iter().take(TRIED_RESULTS).copied().collect()).collect();
        let computed = distances_of_first(index, queries, &tried).map_err(cannot)?;
        let returned = hits.rows().map(|row| internal(index.metric(), row, TRIED_RESULTS));
        if !computed.iter().zip(returned).all(|(a, b)| is_same(a, &b)) {
            return Ok(Rule::Id("the index returns approximate distances"));
        }
        let missing = queries_with_nearer(truth, &distances, hits, index.metric());
        if missing > 0 {
            failure::say(format_args!(
                "warning: for {missing} of {} queries, the search found vectors that are nearer than the true neighbours: the \
                 ground truth is of other vectors, other queries or another metric",
                queries.len()
            ));
            return Ok(Rule::Id("the ground truth misses vectors that are nearer than those that it names"));
        }
        Ok(Rule::Distance(distances))
    }

    /// Returns the ground truth.
    pub(crate) fn truth(&self) -> &Truth {
        &self.truth
    }

    /// Returns what is compared, in a word.
    pub(crate) fn rule_name(&self) -> &'static str {
        match self.rule {
            Rule::Distance(_) => "distance",
            Rule::Id(_) => "id",
        }
    }

    /// Returns recall@n of the results of consecutive queries: how many of the `n` nearest vectors
    /// are among the first `n` results. `first` is the number of the first query.
    pub(crate) fn recall(&self, first: usize, hits: &Hits, n: usize, metric: Metric) -> Recall {
        let mut recall = Recall::default();
        for (query, row) in (first..).zip(hits.rows()) {
            let truth: HashSet<Id> = self.truth.ids()[query].iter().take(n).copied().collect();
            let far = match &self.rule {
                Rule::Distance(distances) => farthest(distances[query].iter().take(n)),
                Rule::Id(_) => f32::NAN,
            };
            let results = row.ids.iter().zip(internal(metric, row, n));
            // A comparison with NaN is false.
            let right = results.filter(|(id, distance)| truth.contains(id) || *distance <= far).count();
            recall.add(Recall { right: right.min(truth.len()), wanted: truth.len() });
        }
        recall
    }
}

/// The numbers that recall is the quotient of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recall {
    right: usize,
    wanted: usize,
}

impl Recall {
    /// Counts further queries in.
    pub(crate) fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wanted += other.wanted;
    }

    /// Returns recall: the fraction of the nearest vectors that were found. `None` if the ground
    /// truth has no ids.
    pub(crate) fn value(self) -> Option<f64> {
        (self.wanted > 0).then(|| self.right as f64 / self.wanted as f64)
    }
}

/// Writes the rule as a sentence.
impl fmt::Display for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let k = self.truth.k();
        match self.rule {
            Rule::Distance(_) => {
                write!(f, "Recall counts results that are at most as far as true neighbour number {k}.")
            }
            Rule::Id(why) => write!(f, "Recall counts results whose ids are those of the {k} true neighbours: {why}."),
        }
    }
}

/// Returns the largest distance, with room for rounding. NaN if there is none.
fn farthest<'a>(distances: impl Iterator<Item = &'a f32>) -> f32 {
    let far = distances.copied().fold(f32::NAN, f32::max);
    far + ROUNDING * far.abs()
}

/// Returns the number of queries with a result that is not a true neighbour and nearer than one.
/// Queries with unknown true neighbours do not count.
fn queries_with_nearer(truth: &Truth, distances: &[Vec<f32>], hits: &Hits, metric: Metric) -> usize {
    let has_nearer = |((ids, distances), row): ((&Vec<Id>, &Vec<f32>), HitsRow<'_>)| {
        if ids.len() < truth.k() || distances.iter().any(|distance| distance.is_nan()) {
            return false;
        }
        let far = distances.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let ids: HashSet<Id> = ids.iter().copied().collect();
        let nearer = far - SAME * far.abs();
        row.ids.iter().zip(internal(metric, row, row.ids.len())).any(|(id, d)| d < nearer && !ids.contains(id))
    };
    truth.ids().iter().zip(distances).zip(hits.rows()).filter(|pair| has_nearer(*pair)).count()
}

/// Returns the internal distances of the first `n` results of a row.
fn internal(metric: Metric, row: HitsRow<'_>, n: usize) -> Vec<f32> {
    row.distances.iter().take(n).map(|distance| metric.to_user_distance(*distance)).collect()
}

/// Returns whether two rows hold the same distances, rounded differently. NaN stands for an unknown
/// one.
fn is_same(a: &[f32], b: &[f32]) -> bool {
    let scale = a.iter().chain(b).map(|distance| distance.abs()).filter(|size| size.is_finite()).fold(0.0, f32::max);
    a.iter().zip(b).all(|(a, b)| a.is_nan() || b.is_nan() || a == b || (a - b).abs() <= SAME * scale)
}

/// Returns whether the codes of the index decode to the vectors that were encoded, tried on some
/// good queries. Indexes without codes of their own are asked for those of the index inside.
fn is_lossless(index: &dyn Index, queries: Rows<'_, f32>) -> bool {
    let nested = std::iter::successors(Some(index), |index| index.wrapped());
    let Some(codec) = nested.into_iter().find_map(|index| index.as_standalone_codec()) else { return false };
    let is_cosine = index.metric() == Metric::Cosine;
    // A search may have skipped bad queries.
    let is_good = |row: &&[f32]| row.iter().all(|x| x.is_finite()) && !(is_cosine && row.iter().all(|x| *x == 0.0));
    let mut tried: Vec<f32> = queries.iter().filter(is_good).take(TRIED).flatten().copied().collect();
    if is_cosine {
        tried.chunks_exact_mut(queries.dim()).for_each(normalise);
    }
    let rows = Rows::new(&tried, queries.dim()).expect("whole vectors");
    let decoded = codec.sa_encode(rows.into(), &AddOptions::new()).and_then(|codes| codec.sa_decode(&codes));
    decoded.is_ok_and(|decoded| {
        let pairs = decoded.chunks_exact(rows.dim()).zip(rows.iter());
        decoded.len() == tried.len() && pairs.into_iter().all(|(a, b)| is_close(a, b))
    })
}

/// Returns whether two vectors differ by rounding only.
fn is_close(a: &[f32], b: &[f32]) -> bool {
    let scale = b.iter().map(|x| x.abs()).fold(0.0, f32::max);
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= ROUNDING * scale)
}

/// Scales a vector to unit length.
fn normalise(vector: &mut [f32]) {
    let length = squared_norm(vector).sqrt();
    vector.iter_mut().for_each(|x| *x /= length);
}

/// Returns the internal distances of some ids of each query, in blocks of queries that take little
/// memory. Those of `absent` ids are NaN.
fn distances(
    index: &dyn Index,
    queries: Rows<'_, f32>,
    ids: &[Vec<Id>],
    absent: &HashSet<Id>,
) -> Result<Vec<Vec<f32>>, ReconstructError> {
    let vector = queries.dim() * size_of::<f32>();
    let most = ids.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let at_once = (VECTORS / (vector * most)).max(1);
    let mut distances = Vec::with_capacity(ids.len());
    for (block, ids) in ids.chunks(at_once).enumerate() {
        // Each vector once, in one pass over the lists.
        let mut unique: Vec<Id> = ids.iter().flatten().filter(|id| !absent.contains(id)).copied().collect();
        unique.sort_unstable();
        unique.dedup();
        let vectors = index.reconstruct_many(&unique)?;
        let vectors: HashMap<Id, &[f32]> = unique.iter().copied().zip(vectors.chunks_exact(queries.dim())).collect();
        for (i, ids) in ids.iter().enumerate() {
            let mut query = queries.row(block * at_once + i).to_vec();
            if index.metric() == Metric::Cosine {
                normalise(&mut query);
            }
            let row = ids.iter().map(|id| vectors.get(id).copied()).collect();
            distances.push(with_distance(index.metric(), FromQuery { query: &query, row }));
        }
    }
    Ok(distances)
}

/// Returns the internal distances of the ids in the first rows of `ids`.
fn distances_of_first(
    index: &dyn Index,
    queries: Rows<'_, f32>,
    ids: &[Vec<Id>],
) -> Result<Vec<Vec<f32>>, ReconstructError> {
    distances(index, queries.slice(0..ids.len()), ids, &HashSet::new())
}

/// Computes the distances from a query to vectors; NaN where there is none.
struct FromQuery<'a> {
    query: &'a [f32],
    row: Vec<Option<&'a [f32]>>,
}

impl Visitor for FromQuery<'_> {
    type Output = Vec<f32>;

    fn visit<D: Distance>(self, distance: D) -> Vec<f32> {
        let of = |vector: &[f32]| distance.between(self.query, vector.iter().copied());
        self.row.into_iter().map(|vector| vector.map_or(f32::NAN, of)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::{Location, Neighbor, Sink};

    fn hits(rows: [&[(i64, f32)]; 2]) -> Hits {
        let sinks = rows.map(|row| {
            let mut sink = Sink::top_k(2);
            for &(id, distance) in row {
                sink.push(Neighbor { distance, id: Id(id), location: Location::default() });
            }
            sink
        });
        Hits::from_sinks(Metric::L2, sinks, false)
    }

    #[test]
    fn recall_counts_what_was_found_of_what_is_true() {
        let truth = Truth::of_hits(&hits([&[(8, 1.0), (9, 2.0)], &[(1, 1.0), (2, 1.0)]]), 2);
        let judge = Judge::by_ids(truth, "tested");
        let found = hits([&[(7, 0.5), (8, 1.0)], &[]]);
        assert_eq!(judge.recall(0, &found, 2, Metric::L2).value(), Some(0.25));
        assert_eq!(judge.recall(0, &found, 1, Metric::L2).value(), Some(0.0));
        let none = Judge::by_ids(Truth::of_hits(&hits([&[], &[]]), 2), "tested");
        assert_eq!(none.recall(0, &found, 2, Metric::L2).value(), None);
    }

    #[test]
    fn a_result_as_near_as_the_kth_is_right_if_distances_are_known() {
        let truth = Truth::of_hits(&hits([&[(8, 1.0), (9, 2.0)], &[(1, 1.0), (2, 1.0)]]), 2);
        let judge = Judge { truth, rule: Rule::Distance(vec![vec![1.0, 2.0], vec![1.0, f32::NAN]]) };
        for (found, expected) in [
            (hits([&[(7, 2.0), (6, 2.0)], &[(5, 1.0), (4, 1.0)]]), 1.0),
            (hits([&[(7, 2.0), (6, 2.1)], &[(5, 1.0), (4, 1.1)]]), 0.5),
            (hits([&[(9, 2.0), (6, 2.1)], &[(2, 3.0)]]), 0.5),
            (hits([&[], &[]]), 0.0),
        ] {
            assert_eq!(judge.recall(0, &found, 2, Metric::L2).value(), Some(expected), "{found:?}");
        }
        assert_eq!(judge.recall(0, &hits([&[(7, 1.0)], &[(6, 1.1)]]), 1, Metric::L2).value(), Some(0.5));
    }
}
