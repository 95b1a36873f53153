//! What every inverted-file index offers, whichever engine runs it.

use crate::error::SearchError;
use crate::hits::{Hits, SearchResult};
use crate::index::Index;
use crate::lists::InvertedLists;
use crate::params::{ParallelMode, SearchParams};
use crate::plan::Probes;
use crate::quantizer::Level1Quantizer;
use crate::report::SearchStats;
use crate::rows::AnyRows;
use crate::sink::Sink;
use std::sync::Arc;

/// An inverted-file index: a coarse quantizer that names lists, and lists that are scanned. Implemented by the CPU engine and by
/// the CUDA engine alike. (Faiss's `IndexIVFInterface`.)
///
/// A search is [`Level1Quantizer::assign`] and then [`search_preassigned`](Self::search_preassigned); a caller may do the first
/// half elsewhere and bring the probes.
pub trait IndexIvf: Index {
    /// How many lists.
    fn nlist(&self) -> usize;

    /// Lists probed for each query unless a call says otherwise.
    fn nprobe(&self) -> usize;

    /// Codes scanned at most for each query unless a call says otherwise; 0 means no limit.
    fn max_codes(&self) -> usize;

    /// How work is cut up unless a call says otherwise.
    fn parallel_mode(&self) -> ParallelMode;

    /// The coarse quantizer; `None` before training.
    fn quantizer(&self) -> Option<&Arc<dyn Level1Quantizer>>;

    /// The lists; `None` before training. (An engine whose lists are elsewhere hands out copies of their contents.)
    fn lists(&self) -> Option<&dyn InvertedLists>;

    /// The one way into the scan, which every search takes: scans, for query `i`, the lists of `probes.row(i)`, and puts what it
    /// finds into `sinks[i]`, on top of what is there (Faiss's flag "no heap init"): several calls, over shards or in rounds,
    /// accumulate into the same sinks.
    ///
    /// Of `params`, `nprobe`, `ensure_k` and `quantizer` have no meaning here and are errors.
    ///
    /// # Errors
    /// [`SearchError`]: as [`Index::search`]; as many probe rows and sinks as queries are needed; a probe past the last list.
    /// The sinks are untouched then, unless the lists could not be read or the search was cancelled half way.
    fn search_preassigned_into(
        &self,
        queries: AnyRows<'_>,
        probes: &Probes,
        sinks: &mut [Sink],
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError>;

    /// The `k` nearest vectors of each query in the lists of its probes.
    ///
    /// # Errors
    /// As [`search_preassigned_into`](Self::search_preassigned_into); `k` is 0.
    fn search_preassigned(
        &self,
        queries: AnyRows<'_>,
        probes: &Probes,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_k(k)?;
        self.collect(queries, probes, Sink::top_k(k), params)
    }

    /// All vectors nearer than `radius`, strictly, in the lists of each query's probes.
    ///
    /// # Errors
    /// As [`search_preassigned_into`](Self::search_preassigned_into); the radius is NaN.
    fn range_search_preassigned(
        &self,
        queries: AnyRows<'_>,
        probes: &Probes,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_radius(radius)?;
        self.collect(queries, probes, Sink::range(self.metric().public(radius)), params)
    }

    /// Collects with copies of `empty`, a new sink, one a query.
    ///
    /// # Errors
    /// As [`search_preassigned_into`](Self::search_preassigned_into).
    fn collect(
        &self,
        queries: AnyRows<'_>,
        probes: &Probes,
        empty: Sink,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        let mut sinks = vec![empty; queries.len()];
        let stats = self.search_preassigned_into(queries, probes, &mut sinks, params)?;
        let hits = Hits::from_sinks(self.metric(), sinks, params.locations.unwrap_or(false));
        Ok(SearchResult::new(hits, stats))
    }
}

/// Refuses `k = 0`.
///
/// # Errors
/// [`SearchError::InvalidParam`].
pub fn check_k(k: usize) -> Result<(), SearchError> {
    if k == 0 {
        return Err(SearchError::InvalidParam { param: "k", must: "at least 1", found: "0".into() });
    }
    Ok(())
}

/// Refuses a radius that is no number.
///
/// # Errors
/// [`SearchError::InvalidParam`].
pub fn check_radius(radius: f32) -> Result<(), SearchError> {
    if radius.is_nan() {
        return Err(SearchError::InvalidParam { param: "radius", must: "a number", found: "NaN".into() });
    }
    Ok(())
}
