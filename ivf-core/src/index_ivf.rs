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
///
/// ```
/// use ivf_core::{Id, Metric, ParallelMode, Rows, SearchParams};
/// let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
/// let rows = Rows::new(&[0.0_f32, 1.0, 2.0, 10.0, 11.0], 1)?;
/// index.train(rows)?;
/// index.add(rows)?;
///
/// // The parts of an inverted-file index, and the settings of its searches.
/// let ivf = index.as_ivf().ok_or("not an inverted file")?;
/// let (quantizer, lists) = (ivf.quantizer().ok_or("untrained")?, ivf.lists().ok_or("untrained")?);
/// assert_eq!((ivf.nlist(), quantizer.nlist(), lists.nlist()), (2, 2, 2));
/// assert_eq!(lists.total_len()?, 5);
/// assert_eq!(ivf.codec().map(|codec| codec.layout().code_size()), Some(4));
/// assert!(!ivf.by_residual());
/// assert_eq!((ivf.nprobe(), ivf.max_codes()), (1, 0));
/// assert_eq!(ivf.parallel_mode(), ParallelMode::Auto);
///
/// // The two halves of a search find what the whole finds.
/// let (query, params) = (Rows::new(&[9.0_f32], 1)?, SearchParams::new());
/// let probes = ivf.assign(query.into(), 1, &params)?;
/// let found = ivf.search_preassigned(query.into(), &probes, 2, &params)?;
/// assert_eq!(found.hits.row(0).ids, [Id(3), Id(4)]);
/// assert_eq!(found.hits, index.search(query, 2, &params)?.hits);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// ```
    /// # use ivf_core::{Hits, Id, Metric, Rows, SearchParams, Sink};
    /// # let mut left = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// # left.train(Rows::new(&[0.0_f32, 1.0, 10.0, 11.0], 1)?)?;
    /// # let mut right = left.clone_index()?;
    /// # left.add_with_ids(Rows::new(&[0.0_f32, 10.0], 1)?, &[Id(0), Id(1)])?;
    /// # right.add_with_ids(Rows::new(&[1.0_f32, 11.0], 1)?, &[Id(2), Id(3)])?;
    /// // Two shards with the same training share the coarse search and the sinks.
    /// let (query, params) = (Rows::new(&[10.0_f32], 1)?.into(), SearchParams::new());
    /// let shards = [left.as_ivf().ok_or("no lists")?, right.as_ivf().ok_or("no lists")?];
    /// let probes = shards[0].assign(query, 1, &params)?;
    /// let mut sinks = [Sink::top_k(2)];
    /// for shard in shards {
    ///     shard.search_preassigned_into(query, &probes, &mut sinks, &params)?;
    /// }
    /// assert_eq!(Hits::from_sinks(Metric::L2, sinks, false).row(0).ids, [Id(1), Id(3)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// ```
    /// use ivf_core::{Collector, Metric, Neighbor, Rows, SearchParams};
    /// use std::ops::ControlFlow;
    /// /// Counts vectors at a distance of at most 4, and keeps none.
    /// struct Count(usize);
    ///
    /// impl Collector for Count {
    ///     fn threshold(&self) -> f32 {
    ///         4.0
    ///     }
    ///
    ///     fn collect(&mut self, found: &[Neighbor]) -> ControlFlow<()> {
    ///         self.0 += found.len();
    ///         ControlFlow::Continue(())
    ///     }
    /// }
    /// # let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// # let rows = Rows::new(&[0.0_f32, 1.0, 2.0, 10.0, 11.0], 1)?;
    /// # index.train(rows)?;
    /// # index.add(rows)?;
    /// # let ivf = index.as_ivf().ok_or("not an inverted file")?;
    ///
    /// // The vectors are 0, 1, 2, 10 and 11.
    /// let (query, params, mut count) = (Rows::new(&[1.0_f32], 1)?.into(), SearchParams::new(), Count(0));
    /// ivf.search_one(query, &mut count, &params)?;
    /// assert_eq!(count.0, 3);
    /// // The same with lists from elsewhere:
    /// let probes = ivf.assign(query, 1, &params)?;
    /// ivf.search_one_preassigned(query, &probes, &mut count, &params)?;
    /// assert_eq!(count.0, 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// ```
    /// # use ivf_core::{Id, Metric, Rows, SearchParams};
    /// # let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// # let rows = Rows::new(&[0.0_f32, 1.0, 2.0, 10.0, 11.0], 1)?;
    /// # index.train(rows)?;
    /// # index.add(rows)?;
    /// # let ivf = index.as_ivf().ok_or("not an inverted file")?;
    /// // The vectors are 0, 1, 2, 10 and 11. Only the list of the small ones is scanned.
    /// let (query, params) = (Rows::new(&[2.0_f32], 1)?.into(), SearchParams::new());
    /// let probes = ivf.assign(query, 1, &params)?;
    /// let found = ivf.range_search_preassigned(query, &probes, 100.0, &params)?;
    /// assert_eq!(found.hits.row(0).ids, [Id(2), Id(1), Id(0)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// ```
    /// # use ivf_core::{Metric, Rows, SearchParams};
    /// # let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// # let rows = Rows::new(&[0.0_f32, 1.0, 10.0, 11.0], 1)?;
    /// # index.train(rows)?;
    /// # index.add(rows)?;
    /// let found = index.search(Rows::new(&[9.0_f32], 1)?, 1, &SearchParams::new().locations(true))?;
    /// let mut vector = [0.0];
    /// let ivf = index.as_ivf().ok_or("not an inverted file")?;
    /// ivf.reconstruct_at(found.hits.row(0).locations[0], &mut vector)?;
    /// assert_eq!(vector, [10.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// ```
    /// # use ivf_core::{Metric, Rows, SearchParams};
    /// # let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// # let rows = Rows::new(&[0.0_f32, 1.0, 10.0, 11.0], 1)?;
    /// # index.train(rows)?;
    /// # index.add(rows)?;
    /// let (query, ivf) = (Rows::new(&[9.0_f32], 1)?.into(), index.as_ivf().ok_or("no lists")?);
    /// let (found, codes) = ivf.search_and_return_codes(query, 2, &SearchParams::new())?;
    /// assert_eq!(found.hits.total(), 2);
    /// assert_eq!(index.sa_decode(&codes)?, [10.0, 11.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// ```
    /// let mut index = ivf_factory::build("IVF16,Flat", 2, ivf_core::Metric::L2)?;
    /// let ivf = index.as_ivf_mut().ok_or("not an inverted file")?;
    /// ivf.set_nprobe(4)?;
    /// assert!(ivf.set_nprobe(0).is_err());
    /// assert_eq!(ivf.nprobe(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`KnobError::Value`] for 0.
    fn set_nprobe(&mut self, nprobe: usize) -> Result<(), KnobError>;

    /// Adds vectors to given lists. Row `i` goes to `lists[i]`, with the id `ids[i]` or with an id
    /// that counts up. A row without a list is skipped: its implicit id stays unused, and the
    /// report lists it as skipped. (Faiss's `add_core` with precomputed lists.)
    ///
    /// ```
    /// # use ivf_core::{AddOptions, ListNo, Metric, Rows};
    /// # let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// # index.train(Rows::new(&[0.0_f32, 1.0, 10.0, 11.0], 1)?)?;
    /// let ivf = index.as_ivf_mut().ok_or("not an inverted file")?;
    /// let rows = Rows::new(&[0.0_f32, 1.0, 2.0], 1)?.into();
    /// let lists = [Some(ListNo(0)), None, Some(ListNo(1))];
    /// let report = ivf.add_preassigned(rows, &lists, None, &AddOptions::new())?;
    /// assert_eq!((report.added, report.skipped), (2, vec![1]));
    /// let lists = ivf.lists().ok_or("untrained")?;
    /// assert_eq!((lists.list_len(ListNo(0))?, lists.list_len(ListNo(1))?), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// ```
    /// use ivf_core::{ListNo, Metric, Rows, SearchParams};
    /// use ivf_cpu::coarse::FlatQuantizer;
    /// use std::sync::Arc;
    /// let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// index.train(Rows::new(&[0.0_f32, 1.0, 10.0, 11.0], 1)?)?;
    /// let quantizer = |centroids: [f32; 2]| -> Result<Arc<FlatQuantizer>, Box<dyn std::error::Error>> {
    ///     Ok(Arc::new(FlatQuantizer::from_centroids(Rows::new(&centroids, 1)?, Metric::L2)?))
    /// };
    /// let ivf = index.as_ivf_mut().ok_or("not an inverted file")?;
    /// ivf.replace_quantizer(quantizer([0.0, 50.0])?)?;
    /// let probes = ivf.assign(Rows::new(&[40.0_f32], 1)?.into(), 1, &SearchParams::new())?;
    /// assert_eq!(probes.row(0).next(), Some((Some(ListNo(1)), 100.0)));
    ///
    /// // Vectors would be in the wrong lists of other centroids.
    /// index.add(Rows::new(&[40.0_f32], 1)?)?;
    /// let ivf = index.as_ivf_mut().ok_or("not an inverted file")?;
    /// assert!(ivf.replace_quantizer(quantizer([0.0, 90.0])?).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ReplaceError`] if the dimension, the metric or the number of lists differs. Also if a
    /// centroid differs and the index holds vectors. The index is as it was before.
    fn replace_quantizer(&mut self, quantizer: Arc<dyn Level1Quantizer>) -> Result<(), ReplaceError>;

    /// Replaces the lists by others, which may already hold entries, and returns the old lists. The
    /// ids that [`Add`](crate::Add) assigns then continue after the largest id in the new lists, or
    /// after the largest id ever added if that is larger.
    ///
    /// ```
    /// # use ivf_core::{Metric, Rows};
    /// # let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// # let rows = Rows::new(&[0.0_f32, 1.0, 10.0, 11.0], 1)?;
    /// # index.train(rows)?;
    /// # let mut other = index.clone_index()?;
    /// # other.add(rows)?;
    /// // Another index with the same training has filled the lists.
    /// let full = other.as_ivf().and_then(|ivf| ivf.lists()).ok_or("no lists")?;
    /// let ivf = index.as_ivf_mut().ok_or("not an inverted file")?;
    /// let empty = ivf.replace_lists(full.snapshot()?)?;
    /// assert_eq!((index.len(), empty.total_len()?), (4, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ReplaceError`] if the number of lists or the layout of the codes differs, an array direct
    /// map cannot hold the ids, or the lists cannot be read. The index is as it was before.
    fn replace_lists(&mut self, lists: Box<dyn InvertedLists>) -> Result<Arc<dyn InvertedLists>, ReplaceError>;

    /// Renumbers the lists: the new list `i` is the old list `order[i]`. Search results stay the
    /// same, except for ties that the order of the lists decides.
    ///
    /// ```
    /// # use ivf_core::{Id, ListNo, Metric, Rows, SearchParams};
    /// # let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// # let rows = Rows::new(&[0.0_f32, 1.0, 2.0, 10.0, 11.0], 1)?;
    /// # index.train(rows)?;
    /// # index.add(rows)?;
    /// let ivf = index.as_ivf_mut().ok_or("not an inverted file")?;
    /// // Of the vectors 0, 1, 2, 10 and 11, the longer list has three.
    /// ivf.sort_lists_by_size()?;
    /// ivf.permute_lists(&[ListNo(1), ListNo(0)])?;
    /// let lists = ivf.lists().ok_or("untrained")?;
    /// assert_eq!((lists.list_len(ListNo(0))?, lists.list_len(ListNo(1))?), (2, 3));
    /// let found = index.search(Rows::new(&[9.0_f32], 1)?, 1, &SearchParams::new())?;
    /// assert_eq!(found.hits.row(0).ids, [Id(3)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// ```
    /// # use ivf_core::{Id, ListNo, Metric, Rows};
    /// let mut index = ivf_factory::build("IVF1,Flat", 1, Metric::L2)?;
    /// let rows = Rows::new(&[0.0_f32, 1.0, 2.0], 1)?;
    /// index.train(rows)?;
    /// index.add_with_ids(rows, &[Id(7), Id(2), Id(5)])?;
    /// let ivf = index.as_ivf_mut().ok_or("not an inverted file")?;
    /// ivf.sort_entries()?;
    /// let lists = ivf.lists().ok_or("untrained")?;
    /// assert_eq!(lists.list(ListNo(0))?.ids().collect::<Vec<_>>(), [Id(2), Id(5), Id(7)]);
    /// assert_eq!(index.reconstruct(Id(2))?, [1.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError`] if the lists cannot be read or written. Some of the lists may then be sorted.
    fn sort_entries(&mut self) -> Result<(), StoreError>;
}

/// Checks that `k` is not 0.
///
/// ```
/// use ivf_core::index_ivf::check_k;
/// assert!(check_k(1).is_ok());
/// assert_eq!(check_k(0).unwrap_err().to_string(), "k must be at least 1, not 0");
/// ```
///
/// # Errors
/// [`SearchError::InvalidParam`] if `k` is 0.
pub fn check_k(k: usize) -> Result<(), SearchError> {
    if k == 0 {
        return Err(SearchError::invalid("k", "at least 1", 0));
    }
    Ok(())
}

/// Checks that a radius is not NaN.
///
/// ```
/// use ivf_core::index_ivf::check_radius;
/// assert!(check_radius(f32::INFINITY).is_ok() && check_radius(-1.0).is_ok());
/// assert_eq!(check_radius(f32::NAN).unwrap_err().to_string(), "radius must be a number, not NaN");
/// ```
///
/// # Errors
/// [`SearchError::InvalidParam`] if `radius` is NaN.
pub fn check_radius(radius: f32) -> Result<(), SearchError> {
    if radius.is_nan() {
        return Err(SearchError::invalid("radius", "a number", "NaN"));
    }
    Ok(())
}
