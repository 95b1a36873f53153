//! Reports of completed work, which are returned to the caller.

use std::fmt;
use std::time::Duration;

/// Statistics of one search. There are no global counters: each call returns its own statistics.
///
/// ```
/// use ivf_core::SearchStats;
/// let mut total = SearchStats::default();
/// for queries in [3, 5] {
///     let mut stats = SearchStats::of_queries(queries);
///     stats.codes = 100 * stats.queries;
///     total.add(&stats);
/// }
/// assert_eq!((total.queries, total.codes), (8, 800));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SearchStats {
    /// Number of queries.
    pub queries: u64,
    /// Number of lists scanned. A list counts once for each query that probed it.
    pub lists: u64,
    /// Number of codes in the scanned ranges, including those that the filter excluded.
    pub codes: u64,
    /// Number of results that entered a sink, including those that better ones replaced later. It
    /// depends on the order of the scan, and so on the parallel mode. (Faiss's `nheap_updates`.)
    pub updates: u64,
    /// Time of the coarse search, which finds the lists.
    pub coarse_time: Duration,
    /// Time of the scans. (Faiss's `search_time` includes the coarse search.)
    pub scan_time: Duration,
}

impl SearchStats {
    /// Creates statistics for this number of queries, with everything else zero.
    pub fn of_queries(queries: usize) -> Self {
        Self { queries: queries as u64, ..Self::default() }
    }

    /// Adds the statistics of another search.
    pub fn add(&mut self, other: &SearchStats) {
        self.queries += other.queries;
        self.lists += other.lists;
        self.codes += other.codes;
        self.updates += other.updates;
        self.coarse_time += other.coarse_time;
        self.scan_time += other.scan_time;
    }
}

/// The report of a training.
///
/// ```
/// use ivf_core::TrainReport;
/// use ivf_core::report::Warning;
/// let mut report = TrainReport::default();
/// report.points = 100;
/// let mut codebook = TrainReport::default();
/// codebook.points = 80;
/// codebook.warnings.push(Warning::FewPoints { points: 80, centroids: 16, wanted: 39 });
/// // The report of an index includes those of its components.
/// report.merge(codebook);
/// assert_eq!(report.points, 100);
/// let text = report.warnings[0].to_string();
/// assert_eq!(text, "80 training points are few for 16 centroids: use at least 624");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TrainReport {
    /// Warnings for the caller, in the order in which they arose.
    pub warnings: Vec<Warning>,
    /// Number of training vectors after sampling. With mini-batches, the vectors that the batches
    /// are drawn from.
    pub points: usize,
    /// The objective of each iteration, for each k-means that ran, and for each rotation that was
    /// fitted (`OPQ`, `ITQ`). The objective is the sum, over all points, of the distance to the
    /// nearest centroid (or to the code) at the start of the iteration (as in Faiss). With
    /// mini-batches, the sum over the batch is scaled to all points.
    pub objectives: Vec<Vec<f64>>,
    /// Number of empty clusters that were filled by splitting another cluster.
    pub splits: usize,
    /// Row numbers of the vectors that were skipped
    /// ([`NonFinite::SkipRow`](crate::params::NonFinite)), ascending.
    pub skipped: Vec<usize>,
}

impl TrainReport {
    /// Adds the report of the training of a component, which was given the vectors that are not
    /// skipped. The skipped rows stay as they are.
    pub fn merge(&mut self, other: TrainReport) {
        self.warnings.extend(other.warnings);
        self.points = self.points.max(other.points);
        self.objectives.extend(other.objectives);
        self.splits += other.splits;
    }
}

/// A condition that is not an error but may give poor results.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// There are fewer training points per centroid than k-means should have.
    FewPoints {
        /// Number of training points.
        points: usize,
        /// Number of centroids learnt from them.
        centroids: usize,
        /// Advised minimum number of points per centroid.
        wanted: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewPoints { points, centroids, wanted } => write!(
                f,
                "{points} training points are few for {centroids} centroids: use at least {}",
                centroids * wanted
            ),
        }
    }
}

/// The report of an add.
///
/// ```
/// use ivf_core::params::NonFinite;
/// use ivf_core::{AddOptions, AddReport, Metric, Rows};
/// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
/// let rows = Rows::new(&[1.0, f32::NAN, 3.0], 1)?;
/// let report = index.add_with(rows, &AddOptions::new().non_finite(NonFinite::SkipRow))?;
/// assert_eq!(report, AddReport::new(2, vec![1]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddReport {
    /// Number of vectors added.
    pub added: usize,
    /// Row numbers of the vectors that were skipped
    /// ([`NonFinite::SkipRow`](crate::params::NonFinite)).
    pub skipped: Vec<usize>,
}

impl AddReport {
    /// Creates a report from its two parts.
    pub fn new(added: usize, skipped: Vec<usize>) -> Self {
        Self { added, skipped }
    }
}

/// The report of an upsert.
///
/// ```
/// use ivf_core::{Id, Metric, Rows, UpsertReport};
/// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
/// index.add(Rows::new(&[1.0_f32, 2.0], 1)?)?;
/// // The index has the id 1, but not the id 9.
/// let report = index.upsert(&[Id(1), Id(9)], Rows::new(&[5.0_f32, 6.0], 1)?)?;
/// assert_eq!(report, UpsertReport::new(1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpsertReport {
    /// Number of ids that the index had already. Their vectors were replaced.
    pub updated: usize,
    /// Number of ids that were new.
    pub added: usize,
}

impl UpsertReport {
    /// Creates a report from its two parts.
    pub fn new(updated: usize, added: usize) -> Self {
        Self { updated, added }
    }
}
