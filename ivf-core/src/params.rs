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
    /// At most this many lists are scanned for each query, counted in probe order (those without codes do not count); 0 means no limit.
    pub max_lists: Option<usize>,
    /// Probe more lists, in rounds, for the queries that found fewer than k, until all lists are probed, or as many as
    /// [`max_lists`](Self::max_lists) or codes as [`max_codes`](Self::max_codes) allow.
    pub ensure_k: Option<bool>,
    /// A range search keeps at most this many results for each query, the nearest; 0 means no limit.
    pub max_results: Option<usize>,
    /// A range search ends for a query once this many lists in a row, in probe order, had no result (those without codes do not count);
    /// 0 means that it scans all it probes. (Faiss's `max_empty_result_buckets`.)
    pub max_empty_lists: Option<usize>,
    /// Only these ids may be found.
    pub selector: Option<&'a IdSelector<'a>>,
    /// How the work is cut up. Results are the same in every mode.
    pub mode: Option<ParallelMode>,
    /// Candidates for each result that a refining index re-scores, at least 1.
    pub k_factor: Option<f32>,
    /// Give the place of each result in the lists too.
    pub locations: Option<bool>,
    /// What single queries ask for otherwise than the call, one item a query.
    pub per_query: Option<&'a [QueryParams<'a>]>,
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
        /// Sets [`max_lists`](field@Self::max_lists).
        max_lists: usize,
        /// Sets [`ensure_k`](field@Self::ensure_k).
        ensure_k: bool,
        /// Sets [`max_results`](field@Self::max_results).
        max_results: usize,
        /// Sets [`max_empty_lists`](field@Self::max_empty_lists).
        max_empty_lists: usize,
        /// Sets [`selector`](field@Self::selector).
        selector: &'a IdSelector<'a>,
        /// Sets [`mode`](field@Self::mode).
        mode: ParallelMode,
        /// Sets [`k_factor`](field@Self::k_factor).
        k_factor: f32,
        /// Sets [`locations`](field@Self::locations).
        locations: bool,
        /// Sets [`per_query`](field@Self::per_query).
        per_query: &'a [QueryParams<'a>],
        /// Sets [`quantizer`](field@Self::quantizer).
        quantizer: &'a SearchParams<'a>,
        /// Sets [`executor`](field@Self::executor).
        executor: &'a dyn Executor,
        /// Sets [`cancel`](field@Self::cancel).
        cancel: &'a Cancel,
    }

    /// The fields that are set, by name; those that a single query sets too. `executor` and `cancel`, which every index takes, are not
    /// among them.
    pub fn asked(&self) -> impl Iterator<Item = &'static str> {
        let any = |is_set: fn(&QueryParams<'a>) -> bool| self.per_query.is_some_and(|all| all.iter().any(is_set));
        [
            (self.nprobe.is_some() || any(|one| one.nprobe.is_some())).then_some("nprobe"),
            (self.max_codes.is_some() || any(|one| one.max_codes.is_some())).then_some("max_codes"),
            (self.max_lists.is_some() || any(|one| one.max_lists.is_some())).then_some("max_lists"),
            (self.selector.is_some() || any(|one| one.selector.is_some())).then_some("selector"),
            self.ensure_k.map(|_| "ensure_k"),
            self.max_results.map(|_| "max_results"),
            self.max_empty_lists.map(|_| "max_empty_lists"),
            self.mode.map(|_| "mode"),
            self.k_factor.map(|_| "k_factor"),
            self.locations.map(|_| "locations"),
            self.per_query.map(|_| "per_query"),
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

    /// The parameters of the search for lists: [`quantizer`](field@Self::quantizer), and the call's executor and cancel where it has none.
    pub fn for_quantizer(&self) -> SearchParams<'a> {
        let mut params = self.quantizer.copied().unwrap_or_default();
        params.executor = params.executor.or(self.executor);
        params.cancel = params.cancel.or(self.cancel);
        params
    }

    /// What query `i` asks for: its own fields, and the call's where it has none.
    pub fn of_query(&self, i: usize) -> QueryParams<'a> {
        let own = self.per_query.and_then(|all| all.get(i)).copied().unwrap_or_default();
        QueryParams {
            nprobe: own.nprobe.or(self.nprobe),
            max_codes: own.max_codes.or(self.max_codes),
            max_lists: own.max_lists.or(self.max_lists),
            selector: own.selector.or(self.selector),
        }
    }

    /// Refuses another number of [`per_query`](field@Self::per_query) than of queries.
    ///
    /// # Errors
    /// [`SearchError::Count`].
    pub fn check_per_query(&self, queries: usize) -> Result<(), SearchError> {
        match self.per_query {
            Some(all) if all.len() != queries => {
                Err(SearchError::Count { what: "per_query", found: all.len(), queries })
            }
            _ => Ok(()),
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

/// What one query of a call asks for; absent fields mean what the call asks for, and then as the index is set.
///
/// ```
/// use ivf_core::{IdSelector, QueryParams, SearchParams};
/// let (ours, theirs) = (IdSelector::range(0..1000), IdSelector::range(1000..2000));
/// let tenants = [QueryParams::new().selector(&ours), QueryParams::new().selector(&theirs).nprobe(64)];
/// let params = SearchParams::new().nprobe(16).per_query(&tenants);
/// assert_eq!(params.of_query(0).nprobe, Some(16));
/// assert_eq!(params.of_query(1).nprobe, Some(64));
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct QueryParams<'a> {
    /// As [`SearchParams::nprobe`].
    pub nprobe: Option<usize>,
    /// As [`SearchParams::max_codes`].
    pub max_codes: Option<usize>,
    /// As [`SearchParams::max_lists`].
    pub max_lists: Option<usize>,
    /// As [`SearchParams::selector`].
    pub selector: Option<&'a IdSelector<'a>>,
}

impl<'a> QueryParams<'a> {
    /// Nothing asked for.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// Sets [`nprobe`](field@Self::nprobe).
        nprobe: usize,
        /// Sets [`max_codes`](field@Self::max_codes).
        max_codes: usize,
        /// Sets [`max_lists`](field@Self::max_lists).
        max_lists: usize,
        /// Sets [`selector`](field@Self::selector).
        selector: &'a IdSelector<'a>,
    }
}

impl fmt::Debug for SearchParams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchParams")
            .field("nprobe", &self.nprobe)
            .field("max_codes", &self.max_codes)
            .field("max_lists", &self.max_lists)
            .field("ensure_k", &self.ensure_k)
            .field("max_results", &self.max_results)
            .field("max_empty_lists", &self.max_empty_lists)
            .field("selector", &self.selector)
            .field("mode", &self.mode)
            .field("k_factor", &self.k_factor)
            .field("locations", &self.locations)
            .field("per_query", &self.per_query)
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
