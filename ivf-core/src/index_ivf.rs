//! What every inverted-file index offers, whichever engine runs it.

use crate::codec::Codec;
use crate::error::{AddError, KnobError, ReconstructError, ReplaceError, SearchError, StoreError};
use crate::hits::{Hits, SearchResult};
use crate::id::{Id, ListNo, Location};
use crate::index::Index;
use crate::lists::InvertedLists;
use crate::param::Settings;
use crate::params::{AddOptions, ParallelMode, QUANTIZER_PREFIX, SearchParam, SearchParams};
use crate::plan::Probes;
use crate::quantizer::{Level1Quantizer, encode_list, list_code_size};
use crate::report::{AddReport, SearchStats};
use crate::rows::AnyRows;
use crate::sink::{Collector, Sink};
use std::sync::Arc;

/// An inverted-file index: a coarse quantizer that names lists, and lists that are scanned.
/// Implemented by the CPU engine and by the CUDA engine alike. (Faiss's `IndexIVFInterface`.)
///
/// A search is [`Level1Quantizer::assign`] and then
/// [`search_preassigned`](Self::search_preassigned); a caller may do the first half elsewhere and
/// bring the probes.
pub trait IndexIvf: Index {
    /// How many lists.
    fn nlist(&self) -> usize;

    /// Lists probed for each query unless a call says otherwise.
    fn nprobe(&self) -> usize;

    /// Codes scanned at most for each query unless a call says otherwise; 0 means no limit.
    fn max_codes(&self) -> usize;

    /// How work is cut up unless a call says otherwise.
    fn parallel_mode(&self) -> ParallelMode;

    /// The coarse quantizer; `None` before training. Whoever holds it may go on using it while the
    /// index changes.
    fn quantizer(&self) -> Option<Arc<dyn Level1Quantizer>>;

    /// The lists as they are now; `None` before training. They stay as they are while somebody
    /// holds them: the index goes on with a [snapshot](InvertedLists::snapshot). (An engine whose
    /// lists are elsewhere hands out copies of their contents.)
    fn lists(&self) -> Option<Arc<dyn InvertedLists>>;

    /// The codec of the lists; `None` before training.
    fn codec(&self) -> Option<Arc<dyn Codec>>;

    /// Whether codes are of residuals: the differences between vectors and the centroids of their
    /// lists.
    fn by_residual(&self) -> bool;

    /// The lists that the coarse quantizer names for each query, nearest first: the first half of a
    /// search. (Faiss's `search_centroid` is this with one probe.)
    ///
    /// # Errors
    /// [`SearchError`]: queries of another dimension or with a NaN or an infinity, not trained, a
    /// parameter that the quantizer does not take.
    fn assign(&self, queries: AnyRows<'_>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError>;

    /// The one way into the scan, which every search takes: scans, for query `i`, the lists of
    /// `probes.row(i)`, and puts what it finds into `sinks[i]`, on top of what is there (Faiss's
    /// flag "no heap init"): several calls, over shards or in rounds, accumulate into the same
    /// sinks.
    ///
    /// Of `params`, `nprobe`, `ensure_k`, `max_results`, `max_empty_lists` and those of the
    /// quantizer have no meaning here and are errors.
    ///
    /// # Errors
    /// [`SearchError`]: as [`Index::search_rows`]; as many probe rows and sinks as queries are
    /// needed; a probe past the last list. The sinks are untouched then, unless the lists could not
    /// be read or the search was cancelled half way.
    fn search_preassigned_into(
        &self,
        queries: AnyRows<'_>,
        probes: &Probes,
        sinks: &mut [Sink],
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError>;

    /// One query, which hands all it finds in the lists of its one row of probes to a collector:
    /// list after list, on the thread of the call. Distances are inner ones, smaller is closer
    /// ([`Metric::to_user_distance`](crate::Metric::to_user_distance) makes them the metric's own).
    ///
    /// # Errors
    /// As [`search_preassigned_into`](Self::search_preassigned_into); more than one query. `mode`,
    /// `locations` (a collector hears of them) and `per_query` have no meaning here; the CPU engine
    /// says so.
    fn search_one_preassigned(
        &self,
        query: AnyRows<'_>,
        probes: &Probes,
        collector: &mut dyn Collector,
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError> {
        // An engine that goes list after list hands over as it goes, and stops when it is told to.
        let mut sinks = [Sink::within(collector.threshold())];
        let stats = self.search_preassigned_into(query, probes, &mut sinks, params)?;
        let _ = collector.collect(sinks[0].held());
        Ok(stats)
    }

    /// One query, which hands all it finds in its nearest lists to a collector. (Faiss's
    /// `search1`.)
    ///
    /// # Errors
    /// As [`search_one_preassigned`](Self::search_one_preassigned).
    fn search_one(
        &self,
        query: AnyRows<'_>,
        collector: &mut dyn Collector,
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError> {
        let nprobe = params.nprobe.unwrap_or(self.nprobe());
        let probes = self.assign(query, nprobe, &params.for_quantizer(&Settings::new()))?;
        let mut rest = params.clone().without(SearchParam::Nprobe);
        rest.own = rest.own.without_prefix(QUANTIZER_PREFIX);
        self.search_one_preassigned(query, &probes, collector, &rest)
    }

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
        let mut sinks = vec![Sink::top_k(k); queries.len()];
        let stats = self.search_preassigned_into(queries, probes, &mut sinks, params)?;
        let hits = Hits::from_sinks(self.metric(), sinks, params.locations.unwrap_or(false));
        Ok(SearchResult::new(hits, stats))
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
        let most = params.max_results.filter(|&most| most > 0).unwrap_or(usize::MAX);
        let rest = params.clone().without(SearchParam::MaxResults);
        let mut sinks = vec![Sink::top_k_within(most, self.metric().to_user_distance(radius)); queries.len()];
        let stats = self.search_preassigned_into(queries, probes, &mut sinks, &rest)?;
        let hits = Hits::from_sinks(self.metric(), sinks, params.locations.unwrap_or(false));
        Ok(SearchResult::new(hits, stats))
    }

    /// Writes the vector that stands at a place, as near as its code has it, to `vector` (`dim`
    /// places). (Faiss's `reconstruct_from_offset`.)
    ///
    /// # Errors
    /// [`ReconstructError`]: no such list or entry ([`ReconstructError::Store`]), another length,
    /// not trained.
    fn reconstruct_at(&self, at: Location, vector: &mut [f32]) -> Result<(), ReconstructError>;

    /// [`Index::search_rows`], and the standalone codes of the results in the same order, one after
    /// the other (`hits.total()` codes of [`sa_code_size`](crate::StandaloneCodec::sa_code_size)
    /// bytes, which [`sa_decode`](crate::StandaloneCodec::sa_decode) decodes).
    ///
    /// # Errors
    /// As [`Index::search_rows`].
    fn search_and_return_codes(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<u8>), SearchError> {
        let mut found = self.search_rows(queries, k, &params.clone().locations(true))?;
        let lists = self.lists().ok_or(SearchError::NotTrained)?;
        let size = lists.layout().code_size();
        let places = found.hits.locations();
        let mut codes = vec![0; places.len() * size];
        lists.codes_at(places, &mut codes)?;
        let list_size = list_code_size(lists.nlist());
        let mut standalone = Vec::with_capacity(places.len() * (list_size + size));
        for (place, code) in places.iter().zip(codes.chunks_exact(size)) {
            let start = standalone.len();
            standalone.resize(start + list_size, 0);
            encode_list(place.list, &mut standalone[start..]);
            standalone.extend_from_slice(code);
        }
        if params.locations != Some(true) {
            found.hits = found.hits.without_locations();
        }
        Ok((found, standalone))
    }
}

/// The write half of an inverted-file index: what knows of its lists.
pub trait IndexIvfMut: IndexIvf {
    /// Sets the lists probed for each query unless a call says otherwise (1 until somebody sets it;
    /// a stored index keeps its own).
    ///
    /// # Errors
    /// [`KnobError::Value`] for 0.
    fn set_nprobe(&mut self, nprobe: usize) -> Result<(), KnobError>;

    /// Adds vectors to given lists, `lists[i]` for row `i`, with `ids[i]` or ids that count up. A
    /// row without a list is left out: it uses up its implicit id and stands in the report among
    /// the skipped. (Faiss's `add_core` with precomputed lists.)
    ///
    /// # Errors
    /// [`AddError`]: as [`AddWithIds`](crate::AddWithIds); a list past the last, not one list a
    /// row. The index is as it was.
    fn add_preassigned(
        &mut self,
        rows: AnyRows<'_>,
        lists: &[Option<ListNo>],
        ids: Option<&[Id]>,
        options: &AddOptions<'_>,
    ) -> Result<AddReport, AddError>;

    /// Puts another quantizer, of the same lists, in the place of this one: another way to find the
    /// same centroids. An empty index takes any of as many lists. Knobs of the old quantizer keep
    /// their values if the new one has the same knobs; the others are gone.
    ///
    /// # Errors
    /// [`ReplaceError`]: another dimension, metric or number of lists; other centroids, if there
    /// are vectors. The index is as it was.
    fn replace_quantizer(&mut self, quantizer: Arc<dyn Level1Quantizer>) -> Result<(), ReplaceError>;

    /// Puts other lists, filled already perhaps, in the place of these, which come back. Ids that
    /// [`Add`](crate::Add) gives then count up from the largest in them, or go on as before if that
    /// is more.
    ///
    /// # Errors
    /// [`ReplaceError`]: another number of lists, another layout of codes, ids that an array direct
    /// map does not take, lists that cannot be read. The index is as it was.
    fn replace_lists(&mut self, lists: Box<dyn InvertedLists>) -> Result<Arc<dyn InvertedLists>, ReplaceError>;

    /// Gives the lists other numbers: list `i` is afterwards what was list `order[i]`. What
    /// searches find stays the same, up to the order of the lists in ties.
    ///
    /// # Errors
    /// [`ReplaceError`]: `order` does not name every list once, the quantizer cannot renumber its
    /// lists ([`ReplaceError::FixedNumbers`]), or lists cannot be read or written. The index is as
    /// it was (unless a store fails a second time, when its lists are put back).
    fn permute_lists(&mut self, order: &[ListNo]) -> Result<(), ReplaceError>;

    /// Numbers the lists by their lengths, the longest first, lists of one length in the order they
    /// are in; gives the order. (Faiss's `sort_invlists_by_size`.)
    ///
    /// # Errors
    /// As [`permute_lists`](Self::permute_lists).
    fn sort_lists_by_size(&mut self) -> Result<Vec<ListNo>, ReplaceError> {
        let lists = self.lists().ok_or(ReplaceError::NotTrained)?;
        let mut order: Vec<ListNo> = (0..lists.nlist()).map(|no| ListNo(no as u32)).collect();
        let lens = order.iter().map(|list| lists.list_len(*list)).collect::<Result<Vec<_>, _>>()?;
        order.sort_by_key(|list| std::cmp::Reverse(lens[list.index()]));
        self.permute_lists(&order)?;
        Ok(order)
    }

    /// Puts the entries of each list in the order of their ids: a selector that is a range then
    /// finds its entries by bisection, until removals and updates have moved them. (Entries that
    /// were added in the order of their ids are in order anyway.)
    ///
    /// # Errors
    /// [`StoreError`] if the lists cannot be read or written; some of them may be in order then.
    fn sort_entries(&mut self) -> Result<(), StoreError>;
}

/// Refuses `k = 0`.
///
/// # Errors
/// [`SearchError::InvalidParam`].
pub fn check_k(k: usize) -> Result<(), SearchError> {
    if k == 0 {
        return Err(SearchError::invalid("k", "at least 1", 0));
    }
    Ok(())
}

/// Refuses a radius that is no number.
///
/// # Errors
/// [`SearchError::InvalidParam`].
pub fn check_radius(radius: f32) -> Result<(), SearchError> {
    if radius.is_nan() {
        return Err(SearchError::invalid("radius", "a number", "NaN"));
    }
    Ok(())
}
