//! What work was done, handed back to whoever asked for it.

use std::fmt;
use std::time::Duration;

/// What a search did. Nothing is counted globally: each call returns its own.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SearchStats {
    /// Queries searched.
    pub queries: u64,
    /// Lists scanned, once for each query that probed them.
    pub lists: u64,
    /// Codes passed over, filtered out or not.
    pub codes: u64,
    /// Results taken in, those pushed out by better ones later too; it depends on the order of the scan, and so on the mode. (Faiss's
    /// `nheap_updates`.)
    pub updates: u64,
    /// Time spent to find the lists.
    pub coarse_time: Duration,
    /// Time spent to scan them. (In Faiss `search_time` has the other in it too.)
    pub scan_time: Duration,
}

impl SearchStats {
    /// Nothing done yet, for so many queries.
    pub fn of_queries(queries: usize) -> Self {
        Self { queries: queries as u64, ..Self::default() }
    }

    /// Adds another search's numbers.
    pub fn add(&mut self, other: &SearchStats) {
        self.queries += other.queries;
        self.lists += other.lists;
        self.codes += other.codes;
        self.updates += other.updates;
        self.coarse_time += other.coarse_time;
        self.scan_time += other.scan_time;
    }
}

/// What training did.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TrainReport {
    /// What the caller should know, in the order it came up.
    pub warnings: Vec<Warning>,
    /// Vectors used, after sampling; with mini-batches, those that batches were drawn from.
    pub points: usize,
    /// For each k-means that ran, for each round the sum over the points of the distance to the nearest of the centroids
    /// that the round began with (as Faiss's; of a mini-batch, scaled to all points).
    pub objectives: Vec<Vec<f64>>,
    /// Empty clusters that were filled by splitting another one.
    pub splits: usize,
}

impl TrainReport {
    /// Takes over another report: the training of a component.
    pub fn merge(&mut self, other: TrainReport) {
        self.warnings.extend(other.warnings);
        self.points = self.points.max(other.points);
        self.objectives.extend(other.objectives);
        self.splits += other.splits;
    }
}

/// Something that works, but perhaps not as the caller hopes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Fewer training points for each centroid than k-means wants.
    FewPoints {
        /// Points there were.
        points: usize,
        /// Centroids learnt from them.
        centroids: usize,
        /// Points wanted for each centroid.
        wanted: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewPoints { points, centroids, wanted } => write!(
                f,
                "{points} training points for {centroids} centroids are few: at least {} are advised",
                centroids * wanted
            ),
        }
    }
}

/// What an add did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddReport {
    /// Vectors added.
    pub added: usize,
    /// Rows skipped ([`NonFinite::SkipRow`](crate::params::NonFinite)), by number.
    pub skipped: Vec<usize>,
}

impl AddReport {
    /// A report of its two parts.
    pub fn new(added: usize, skipped: Vec<usize>) -> Self {
        Self { added, skipped }
    }
}

/// What an upsert did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpsertReport {
    /// Ids that were there, whose vectors were replaced.
    pub updated: usize,
    /// Ids that were not.
    pub added: usize,
}

impl UpsertReport {
    /// A report of its two parts.
    pub fn new(updated: usize, added: usize) -> Self {
        Self { updated, added }
    }
}
