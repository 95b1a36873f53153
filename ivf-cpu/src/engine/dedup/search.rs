//! Searching the copies, and returning the vectors that share them.

use super::DedupIndex;
use crate::executor::executor_for;
use crate::selectors::with_translated;
use ivf_core::ability::check_output;
use ivf_core::error::{InputError, ReconstructError, SearchError, StoreError};
use ivf_core::executor::map;
use ivf_core::index_ivf::{check_k, check_radius};
use ivf_core::{
    AnyRows, Hits, HitsRow, Id, IdSelector, Index, IndexIvf, Neighbor, QueryParams, RangeSearch, Reconstruct, Rows,
    ScanIds, SearchParam, SearchParams, SearchResult, Sink, Takes,
};
use std::iter;

/// Minimum number of vectors per selected id for which the copies of the ids are looked up.
/// Otherwise the search tests the members of each copy that it scans.
const FEW: usize = 16;

/// A search of the copies: the queries, the number of copies, the parameters.
type SearchCopies<'a> = &'a dyn Fn(AnyRows<'_>, usize, &SearchParams<'_>) -> Result<SearchResult, SearchError>;

impl DedupIndex {
    pub(super) fn search_nearest(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_k(k)?;
        params.only("an IVF index that stores equal vectors once", &self.takes())?;
        let copies = |queries: AnyRows<'_>, k, params: &SearchParams<'_>| self.inner.search_rows(queries, k, params);
        let ensures_k = params.ensure_k == Some(true);
        self.search_copies(queries, k, ensures_k, &params.clone().without(SearchParam::EnsureK), &copies)
    }

    /// Returns the `most` nearest vectors of each query. If `ensures` is true, the probes of a
    /// query that finds fewer are doubled until it has probed all lists.
    fn search_copies(
        &self,
        queries: AnyRows<'_>,
        most: usize,
        ensures: bool,
        params: &SearchParams<'_>,
        search: SearchCopies<'_>,
    ) -> Result<SearchResult, SearchError> {
        self.through(params, |translated| {
            // One copy more than there are results shows whether another one is as far as the last.
            let mut wanted = most.saturating_add(1);
            let mut result = search(queries, wanted, translated)?;
            let mut stats = result.stats.clone();
            let probed = |i: usize| params.of_query(i).nprobe.unwrap_or(self.inner.nprobe());
            let mut nprobes: Vec<usize> = (0..queries.len()).map(probed).collect();
            let mut sinks = vec![Sink::top_k(most); queries.len()];
            let mut open: Vec<usize> = (0..queries.len()).collect();
            loop {
                let executor = executor_for(params.executor, result.hits.total());
                let shared = map(executor, open.len(), |row| {
                    self.members_of_hits(result.hits.row(row), params.of_query(open[row]).selector, most, wanted)
                });
                let (mut again, mut are_cut) = (Vec::new(), false);
                for (query, (sink, is_cut)) in open.into_iter().zip(shared) {
                    let is_short = ensures && sink.len() < most && nprobes[query] < self.inner.nlist();
                    if is_short {
                        nprobes[query] = nprobes[query].saturating_mul(2);
                    }
                    are_cut |= is_cut;
                    sinks[query] = sink;
                    if is_cut || is_short {
                        again.push(query);
                    }
                }
                open = again;
                if open.is_empty() {
                    break;
                }
                if are_cut {
                    wanted = wanted.saturating_mul(2);
                }
                let (mut scratch, mut rows) = (Vec::new(), Vec::with_capacity(open.len() * queries.dim()));
                for &query in &open {
                    rows.extend_from_slice(queries.slice(query..query + 1).to_f32(&mut scratch).as_slice());
                }
                let rows = Rows::new(&rows, queries.dim()).map_err(InputError::from)?;
                let each = open.iter().map(|&query| translated.of_query(query).nprobe(nprobes[query]));
                let each: Vec<QueryParams<'_>> = each.collect();
                result = search(rows.into(), wanted, &translated.clone().per_query(&each))?;
                result.stats.queries = 0;
                stats.add(&result.stats);
            }
            let hits = Hits::from_sinks(self.inner.metric, sinks, params.locations == Some(true));
            Ok(SearchResult::new(hits, stats))
        })
    }

    /// Collects the nearest vectors of the copies that a query found. The result is also whether
    /// another copy, which the search left out, may have vectors that belong to them. That is so if
    /// there may be one as far as the farthest, because ids decide between vectors at the same
    /// distance.
    fn members_of_hits(
        &self,
        copies: HitsRow<'_>,
        selector: Option<&IdSelector<'_>>,
        most: usize,
        wanted: usize,
    ) -> (Sink, bool) {
        let mut sink = Sink::top_k(most);
        let (mut found, mut farthest) = (0_usize, None);
        for (i, (name, distance)) in copies.iter().enumerate() {
            if found >= most && farthest != Some(distance) {
                return (sink, false);
            }
            farthest = Some(distance);
            let location = copies.locations.get(i).copied().unwrap_or_default();
            let members = self.groups.members(name).filter(|one| selector.is_none_or(|s| s.contains(one.id)));
            // Members come by ascending id, so no later one can be among the nearest.
            for id in members.flat_map(|one| iter::repeat_n(one.id, one.count)).take(most) {
                sink.push(Neighbor { distance: self.inner.metric.to_user_distance(distance), id, location });
                found = found.saturating_add(1);
            }
        }
        (sink, copies.len() >= wanted)
    }

    /// Runs a search of the copies, with the caller's selectors of ids translated to names.
    fn through<T>(
        &self,
        params: &SearchParams<'_>,
        search: impl FnOnce(&SearchParams<'_>) -> Result<T, SearchError>,
    ) -> Result<T, SearchError> {
        if self.groups.is_empty() {
            return search(params);
        }
        let listed = |selector: &IdSelector<'_>| {
            let ids = selector.listed(self.len() / FEW)?;
            let members = ids.iter().flat_map(|id| self.groups.of_id(*id));
            let mut names: Vec<Id> = members.map(|member| member.name).collect();
            names.extend(ids.iter().filter(|id| !self.groups.has(**id)));
            Some(names)
        };
        let keep =
            |selector: &IdSelector<'_>, name| self.groups.members(name).any(|member| selector.contains(member.id));
        with_translated(params, listed, keep, search)
    }

    /// Returns the name of the copy of a vector with this id.
    fn name_of(&self, id: Id) -> Result<Id, ReconstructError> {
        if !self.groups.has(id) && self.has_copy(id)? {
            return Ok(id);
        }
        let member = self.groups.of_id(id).next().ok_or(ReconstructError::NoSuchId(id))?;
        if self.has_copy(member.name)? { Ok(member.name) } else { Err(ReconstructError::NoSuchId(id)) }
    }
}

impl RangeSearch for DedupIndex {
    fn range_takes(&self) -> Takes {
        self.inner.range_takes()
    }

    fn range_search(
        &self,
        queries: AnyRows<'_>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_radius(radius)?;
        params.only("a range search of an IVF index that stores equal vectors once", &self.range_takes())?;
        let most = params.max_results.filter(|most| *most > 0).unwrap_or(usize::MAX);
        let copies = |queries: AnyRows<'_>, most: usize, params: &SearchParams<'_>| {
            let params = params.clone().without(SearchParam::MaxResults);
            let params = if most == usize::MAX { params } else { params.max_results(most) };
            self.inner.range_search(queries, radius, &params)
        };
        self.search_copies(queries, most, false, params, &copies)
    }
}

impl ScanIds for DedupIndex {
    fn scan_ids(&self, found: &mut dyn FnMut(Id)) -> Result<(), StoreError> {
        self.groups.all().for_each(|member| (0..member.count).for_each(|_| found(member.id)));
        self.inner.scan_ids(&mut |name| {
            if !self.groups.has(name) {
                found(name);
            }
        })
    }
}

impl Reconstruct for DedupIndex {
    fn reconstruct(&self, id: Id, vector: &mut [f32]) -> Result<(), ReconstructError> {
        self.reconstruct_many(&[id], vector)
    }

    fn reconstruct_many(&self, ids: &[Id], vectors: &mut [f32]) -> Result<(), ReconstructError> {
        if !self.is_trained() {
            return Err(ReconstructError::NotTrained);
        }
        check_output(ids.len(), self.dim(), vectors)?;
        let names = ids.iter().map(|id| self.name_of(*id)).collect::<Result<Vec<Id>, ReconstructError>>()?;
        self.inner.reconstruct_many(&names, vectors)
    }

    fn search_and_reconstruct(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        // An id may have several vectors, so the locations of the copies are needed.
        let mut found = self.search_rows(queries, k, &params.clone().locations(true))?;
        let entries = &self.inner.trained.as_ref().ok_or(SearchError::NotTrained)?.entries;
        let mut vectors = vec![0.0; found.hits.total() * self.dim()];
        entries.decode_at(found.hits.locations(), &mut vectors)?;
        if params.locations != Some(true) {
            found.hits = found.hits.without_locations();
        }
        Ok((found, vectors))
    }
}
