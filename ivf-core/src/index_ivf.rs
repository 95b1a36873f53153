//! The interface of inverted-file indexes, independent of the engine.

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

/// An inverted-file index, which consists of a coarse quantizer and inverted lists. The interface
/// does not depend on the engine: the CPU engine implements it, and a future CUDA engine will.
/// (Faiss's `IndexIVFInterface`.)
///
/// A search consists of [`Level1Quantizer::assign`] and
/// [`search_preassigned`](Self::search_preassigned). A caller can do the first half elsewhere and
/// pass the probes to the second.
pub trait IndexIvf: Index {
    /// Returns the number of lists.
    fn nlist(&self) -> usize;

    /// Returns the number of lists that a search probes per query unless its parameters set
    /// another.
    fn nprobe(&self) -> usize;

    /// Returns the maximum number of codes that a search scans per query unless its parameters set
    /// another; 0 means no limit.
    fn max_codes(&self) -> usize;

    /// Returns the division of the work over the threads that a search uses unless its parameters
    /// set another.
    fn parallel_mode(&self) -> ParallelMode;

    /// Returns the coarse quantizer, or `None` before training. The returned quantizer remains
    /// usable while the index changes.
    fn quantizer(&self) -> Option<Arc<dyn Level1Quantizer>>;

    /// Returns the present lists, or `None` before training. They do not change while a caller
    /// holds them: the index then modifies a [snapshot](InvertedLists::snapshot). (An engine that
    /// keeps its lists elsewhere returns copies of their contents.)
    fn lists(&self) -> Option<Arc<dyn InvertedLists>>;

    /// Returns the codec of the lists, or `None` before training.
    fn codec(&self) -> Option<Arc<dyn Codec>>;

    /// Returns whether the codes encode residuals: the differences between vectors and the
    /// centroids of their lists.
    fn by_residual(&self) -> bool;

    /// Returns the lists that the coarse quantizer assigns to each query, nearest first. This is
    /// the first half of a search. (Faiss's `search_centroid` is this method with one probe.) With
    /// [`SearchParams::skip_bad_queries`], a query that cannot be searched gets no list.
    ///
    /// # Errors
    /// [`SearchError`] if a query has another dimension or holds a NaN or an infinity, the index is
    /// not trained, or the quantizer does not support a parameter.
    fn assign(&self, queries: AnyRows<'_>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError>;

    /// Scans the lists of `probes.row(i)` for query `i`, and adds the results to the present
    /// contents of `sinks[i]` (Faiss's flag "no heap init"). Several calls, over shards or in
    /// rounds, can thus accumulate into the same sinks. The provided searches of given
    /// lists call this method.
    ///
    /// The parameters `nprobe`, `ensure_k`, `max_results` and `max_empty_lists`, and those of the
    /// quantizer, do not apply here and are errors.
    ///
    /// # Errors
    /// [`SearchError`] as for [`Index::search_rows`]. Also if the number of probe rows or of sinks
    /// is not the number of queries, or if a probe is past the last list. The sinks do not change
    /// on an error, unless the lists could not be read or the search was cancelled half way.
    fn search_preassigned_into(
        &self,
        queries: AnyRows<'_>,
        probes: &Probes,
        sinks: &mut [Sink],
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError>;

    /// Searches the probed lists for one query and passes all results to a collector. It scans list
    /// by list, on the calling thread. Distances are internal ones, and smaller is closer
    /// ([`Metric::to_user_distance`](crate::Metric::to_user_distance) converts them to values of
    /// the metric).
    ///
    /// # Errors
    /// As [`search_preassigned_into`](Self::search_preassigned_into), and if the number of queries
    /// is not one. The parameters `mode`, `locations` (a collector always receives them) and
    /// `per_query` do not apply here. The CPU engine returns an error for them.
    fn search_one_preassigned(
        &self,
        query: AnyRows<'_>,
        probes: &Probes,
        collector: &mut dyn Collector,
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError> {
        // This default collects all results first. An engine that scans list by list passes results
        // on as it finds them, and stops when the collector asks it to.
        let mut sinks = [Sink::within(collector.threshold())];
        let stats = self.search_preassigned_into(query, probes, &mut sinks, params)?;
        let _ = collector.collect(sinks[0].held());
        Ok(stats)
    }

    /// Searches the nearest lists for one query and passes all results to a collector. (Faiss's
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

    /// Returns the `k` nearest vectors of each query in the lists of its probes.
    ///
    /// # Errors
    /// As [`search_preassigned_into`](Self::search_preassigned_into), and if `k` is 0.
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

    /// Returns all vectors nearer than `radius` (strictly) in the lists of each query's probes.
    ///
    /// # Errors
    /// As [`search_preassigned_into`](Self::search_preassigned_into), and if the radius is NaN.
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

    /// Writes the vector at a location, as its code approximates it, to `vector` (`dim` elements).
    /// (Faiss's `reconstruct_from_offset`.)
    ///
    /// # Errors
    /// [`ReconstructError`] if the list or the entry does not exist ([`ReconstructError::Store`]),
    /// `vector` has another length, or the index is not trained.
    fn reconstruct_at(&self, at: Location, vector: &mut [f32]) -> Result<(), ReconstructError>;

    /// Searches like [`Index::search_rows`], and also returns the standalone codes of the results,
    /// in the same order and one after the other. These are `hits.total()` codes of
    /// [`sa_code_size`](crate::StandaloneCodec::sa_code_size) bytes, which
    /// [`sa_decode`](crate::StandaloneCodec::sa_decode) decodes.
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

/// The write half of an inverted-file index: changes that concern its lists.
pub trait IndexIvfMut: IndexIvf {
    /// Sets the number of lists that a search probes per query unless its parameters set another.
    /// The initial value is 1; a stored index keeps its own value.
    ///
    /// # Errors
    /// [`KnobError::Value`] for 0.
    fn set_nprobe(&mut self, nprobe: usize) -> Result<(), KnobError>;

    /// Adds vectors to given lists. Row `i` goes to `lists[i]`, with the id `ids[i]` or with an id
    /// that counts up. A row without a list is skipped: its implicit id stays unused, and the
    /// report lists it as skipped. (Faiss's `add_core` with precomputed lists.)
    ///
    /// # Errors
    /// [`AddError`] as for [`AddWithIds`](crate::AddWithIds). Also if a list does not exist, or if
    /// the number of lists is not the number of rows. The index is as it was before.
    fn add_preassigned(
        &mut self,
        rows: AnyRows<'_>,
        lists: &[Option<ListNo>],
        ids: Option<&[Id]>,
        options: &AddOptions<'_>,
    ) -> Result<AddReport, AddError>;

    /// Replaces the quantizer by another one of the same lists, which finds the same centroids in
    /// another way. An empty index accepts any quantizer with the same number of lists. Quantizer
    /// knobs keep their values if the new quantizer has the same knobs and accepts the values. The
    /// others are dropped.
    ///
    /// # Errors
    /// [`ReplaceError`] if the dimension, the metric or the number of lists differs. Also if a
    /// centroid differs and the index holds vectors. The index is as it was before.
    fn replace_quantizer(&mut self, quantizer: Arc<dyn Level1Quantizer>) -> Result<(), ReplaceError>;

    /// Replaces the lists by others, which may already hold entries, and returns the old lists. The
    /// ids that [`Add`](crate::Add) assigns then continue after the largest id in the new lists, or
    /// after the largest id ever added if that is larger.
    ///
    /// # Errors
    /// [`ReplaceError`] if the number of lists or the layout of the codes differs, an array direct
    /// map cannot hold the ids, or the lists cannot be read. The index is as it was before.
    fn replace_lists(&mut self, lists: Box<dyn InvertedLists>) -> Result<Arc<dyn InvertedLists>, ReplaceError>;

    /// Renumbers the lists: the new list `i` is the old list `order[i]`. Search results stay the
    /// same, except for ties that the order of the lists decides.
    ///
    /// # Errors
    /// [`ReplaceError`] if `order` does not name every list once, the quantizer cannot renumber its
    /// lists ([`ReplaceError::FixedNumbers`]), or the lists cannot be read or written. The index is
    /// as it was before, unless the store also fails while the lists are restored.
    fn permute_lists(&mut self, order: &[ListNo]) -> Result<(), ReplaceError>;

    /// Renumbers the lists by length, the longest first. Lists of equal length keep their order.
    /// Returns the order as passed to [`permute_lists`](Self::permute_lists). (Faiss's
    /// `sort_invlists_by_size`.)
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

    /// Sorts the entries of each list by id. A selector that is a range then finds its entries by
    /// bisection, until removals and updates have moved them. (Entries that were added in the order
    /// of their ids are already sorted.)
    ///
    /// # Errors
    /// [`StoreError`] if the lists cannot be read or written. Some of the lists may then be sorted.
    fn sort_entries(&mut self) -> Result<(), StoreError>;
}

/// Checks that `k` is not 0.
///
/// # Errors
/// [`SearchError::InvalidParam`] if it is.
pub fn check_k(k: usize) -> Result<(), SearchError> {
    if k == 0 {
        return Err(SearchError::invalid("k", "at least 1", 0));
    }
    Ok(())
}

/// Checks that a radius is not NaN.
///
/// # Errors
/// [`SearchError::InvalidParam`] if it is.
pub fn check_radius(radius: f32) -> Result<(), SearchError> {
    if radius.is_nan() {
        return Err(SearchError::invalid("radius", "a number", "NaN"));
    }
    Ok(())
}
