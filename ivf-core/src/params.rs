//! What a caller may ask of one call.

use crate::error::{SearchError, TrainError};
use crate::executor::Executor;
use crate::selector::IdSelector;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What one search asks for. Every field is optional and means "as the index is set" when absent, so setting one never resets
/// another.
///
/// A parameter that the index cannot honour is [`SearchError::UnsupportedParam`], never ignored. Wrappers pass parameters on to
/// the index they wrap.
///
/// ```
/// use ivf_core::{IdSelector, SearchParams};
/// let selector = IdSelector::range(0..1000);
/// let params = SearchParams::new().nprobe(16).selector(&selector);
/// assert_eq!(params.nprobe, Some(16));
/// assert_eq!(params.max_codes, None);
/// ```
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct SearchParams<'a> {
    /// Lists to probe for each query, at least 1; more than there are means all.
    pub nprobe: Option<usize>,
    /// At most this many codes are scanned for each query, counted in probe order and before the filter; 0 means no limit.
    pub max_codes: Option<usize>,
    /// Probe more lists, in rounds, for the queries that found fewer than k, until all lists are probed.
    pub ensure_k: Option<bool>,
    /// Only these ids may be found.
    pub selector: Option<&'a IdSelector<'a>>,
    /// How the work is cut up. Results are the same in every mode.
    pub mode: Option<ParallelMode>,
    /// Candidates for each result that a refining index re-scores, at least 1.
    pub k_factor: Option<f32>,
    /// Give the place of each result in the lists too.
    pub locations: Option<bool>,
    /// Parameters of the search for lists in the coarse quantizer.
    pub quantizer: Option<&'a SearchParams<'a>>,
    /// Who runs the loops; rayon's global pool by default.
    pub executor: Option<&'a dyn Executor>,
    /// Ends the search early with [`SearchError::Cancelled`].
    pub cancel: Option<&'a Cancel>,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty),* $(,)?) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = Some($name);
            self
        }
    )*};
}

impl<'a> SearchParams<'a> {
    /// Nothing asked for: everything as the index is set.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// Sets [`nprobe`](field@Self::nprobe).
        nprobe: usize,
        /// Sets [`max_codes`](field@Self::max_codes).
        max_codes: usize,
        /// Sets [`ensure_k`](field@Self::ensure_k).
        ensure_k: bool,
        /// Sets [`selector`](field@Self::selector).
        selector: &'a IdSelector<'a>,
        /// Sets [`mode`](field@Self::mode).
        mode: ParallelMode,
        /// Sets [`k_factor`](field@Self::k_factor).
        k_factor: f32,
        /// Sets [`locations`](field@Self::locations).
        locations: bool,
        /// Sets [`quantizer`](field@Self::quantizer).
        quantizer: &'a SearchParams<'a>,
        /// Sets [`executor`](field@Self::executor).
        executor: &'a dyn Executor,
        /// Sets [`cancel`](field@Self::cancel).
        cancel: &'a Cancel,
    }

    /// The fields that are set, by name. `executor` and `cancel`, which every index takes, are not among them.
    pub fn asked(&self) -> impl Iterator<Item = &'static str> {
        [
            self.nprobe.map(|_| "nprobe"),
            self.max_codes.map(|_| "max_codes"),
            self.ensure_k.map(|_| "ensure_k"),
            self.selector.map(|_| "selector"),
            self.mode.map(|_| "mode"),
            self.k_factor.map(|_| "k_factor"),
            self.locations.map(|_| "locations"),
            self.quantizer.map(|_| "quantizer"),
        ]
        .into_iter()
        .flatten()
    }

    /// Refuses what an index of kind `index` does not take.
    ///
    /// # Errors
    /// [`SearchError::UnsupportedParam`] for the first field set that is not in `supported`.
    pub fn only(&self, index: &'static str, supported: &[&str]) -> Result<(), SearchError> {
        match self.asked().find(|param| !supported.contains(param)) {
            Some(param) => Err(SearchError::UnsupportedParam { param, index }),
            None => Ok(()),
        }
    }

    /// Says whether the caller has cancelled.
    ///
    /// # Errors
    /// [`SearchError::Cancelled`].
    pub fn check_cancel(&self) -> Result<(), SearchError> {
        match self.cancel {
            Some(cancel) if cancel.is_cancelled() => Err(SearchError::Cancelled),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for SearchParams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchParams")
            .field("nprobe", &self.nprobe)
            .field("max_codes", &self.max_codes)
            .field("ensure_k", &self.ensure_k)
            .field("selector", &self.selector)
            .field("mode", &self.mode)
            .field("k_factor", &self.k_factor)
            .field("locations", &self.locations)
            .field("quantizer", &self.quantizer)
            .finish_non_exhaustive()
    }
}

/// How the work of a search is cut up. The results are the same in every mode and for every number of threads.
///
/// The first four are Faiss's `parallel_mode` 0 to 3. Its flag 1024, "accumulate into the caller's results", is
/// [`IndexIvf::search_preassigned_into`](crate::IndexIvf::search_preassigned_into) here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum ParallelMode {
    /// The library chooses.
    #[default]
    Auto,
    /// One run of queries for each thread, coarse search included (0).
    Queries,
    /// Query after query, the probes of each split over the threads (1).
    Probes,
    /// Every (query, probe) pair is a piece of work (2).
    QueriesAndProbes,
    /// Every query is a piece of work, after one coarse search for all (3).
    FineQueries,
    /// List after list: each is scanned once for all the queries of a block that probe it.
    ListMajor,
}

impl ParallelMode {
    /// All modes.
    pub const ALL: [ParallelMode; 6] =
        [Self::Auto, Self::Queries, Self::Probes, Self::QueriesAndProbes, Self::FineQueries, Self::ListMajor];
}

/// What one training asks for; absent fields mean the kind's own defaults.
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct TrainOptions<'a> {
    /// Rounds of k-means (10 for coarse centroids, 25 for codebooks).
    pub iterations: Option<usize>,
    /// Points of each round of k-means, drawn anew for each: mini-batch k-means, for more points than whole rounds have time for.
    /// Every round uses all points by default, and always for the codebooks of parts of vectors.
    pub mini_batch: Option<usize>,
    /// At most this many training points for each centroid, the rest is left out by sampling (256).
    pub max_points_per_centroid: Option<usize>,
    /// The seed of everything random (1234).
    pub seed: Option<u64>,
    /// How k-means starts. (Codebooks of parts of vectors start from random points.)
    pub start: Option<KMeansStart>,
    /// Who runs the loops; rayon's global pool by default.
    pub executor: Option<&'a dyn Executor>,
    /// Told about the rounds.
    pub progress: Option<&'a dyn Progress>,
    /// Ends the training early.
    pub cancel: Option<&'a Cancel>,
}

impl<'a> TrainOptions<'a> {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// Sets [`iterations`](field@Self::iterations).
        iterations: usize,
        /// Sets [`mini_batch`](field@Self::mini_batch).
        mini_batch: usize,
        /// Sets [`max_points_per_centroid`](field@Self::max_points_per_centroid).
        max_points_per_centroid: usize,
        /// Sets [`seed`](field@Self::seed).
        seed: u64,
        /// Sets [`start`](field@Self::start).
        start: KMeansStart,
        /// Sets [`executor`](field@Self::executor).
        executor: &'a dyn Executor,
        /// Sets [`progress`](field@Self::progress).
        progress: &'a dyn Progress,
        /// Sets [`cancel`](field@Self::cancel).
        cancel: &'a Cancel,
    }
}

impl TrainOptions<'_> {
    /// Says whether the caller has cancelled.
    ///
    /// # Errors
    /// [`TrainError::Cancelled`].
    pub fn check_cancel(&self) -> Result<(), TrainError> {
        match self.cancel {
            Some(cancel) if cancel.is_cancelled() => Err(TrainError::Cancelled),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for TrainOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrainOptions")
            .field("iterations", &self.iterations)
            .field("mini_batch", &self.mini_batch)
            .field("max_points_per_centroid", &self.max_points_per_centroid)
            .field("seed", &self.seed)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

/// How k-means chooses its first centroids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum KMeansStart {
    /// Training points drawn at random, each at most once.
    #[default]
    Random,
    /// Training points drawn one after the other, far ones more likely (k-means++, Arthur and Vassilvitskii, SODA 2007).
    PlusPlus,
}

/// What one add asks for; absent fields mean the defaults.
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct AddOptions<'a> {
    /// What to do with a vector that holds a NaN or an infinity.
    pub non_finite: NonFinite,
    /// Who runs the loops; rayon's global pool by default.
    pub executor: Option<&'a dyn Executor>,
    /// Told about the vectors added.
    pub progress: Option<&'a dyn Progress>,
    /// Ends the add early; the index is then as before it.
    pub cancel: Option<&'a Cancel>,
}

impl<'a> AddOptions<'a> {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`non_finite`](field@Self::non_finite).
    #[must_use]
    pub fn non_finite(mut self, non_finite: NonFinite) -> Self {
        self.non_finite = non_finite;
        self
    }

    setters! {
        /// Sets [`executor`](field@Self::executor).
        executor: &'a dyn Executor,
        /// Sets [`progress`](field@Self::progress).
        progress: &'a dyn Progress,
        /// Sets [`cancel`](field@Self::cancel).
        cancel: &'a Cancel,
    }
}

impl fmt::Debug for AddOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddOptions").field("non_finite", &self.non_finite).finish_non_exhaustive()
    }
}

/// What `add` does with a vector that holds a NaN or an infinity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NonFinite {
    /// The whole call is an error that names the row.
    #[default]
    Reject,
    /// The row is left out: it uses up its implicit id, is not counted, and stands in the report.
    SkipRow,
}

/// Tells a call on another thread to stop. Clones stop the same call.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for an early end.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody did.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Hears how far a long call has come. May be called from the thread of the call only.
pub trait Progress: Sync {
    /// `done` of `total` steps of `stage` ("k-means", "add", ...) are done.
    fn step(&self, stage: &'static str, done: u64, total: u64);
}
