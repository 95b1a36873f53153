//! Searching all members. Results of shards are merged, those of replicas joined. Reconstructing
//! vectors and computing distances, for which the shard with an id is found first.

use super::{Group, Kind};
use crate::executor::executor_for;
use crate::wrap::check_lengths;
use ivf_core::ability::{Distances, RangeSearch, Reconstruct, ScanIds, check_output};
use ivf_core::error::{ReconstructError, SearchError, StoreError};
use ivf_core::executor::{Inline, map, split};
use ivf_core::index_ivf::{check_k, check_radius};
use ivf_core::{
    AnyRows, Hits, Id, Index, KnobValue, ListNo, ListOffset, Location, Neighbor, SearchParam, SearchParams,
    SearchResult, SearchStats, Sink, Takes,
};
use std::collections::HashMap;
use std::ops::Range;

/// Number of ids from which vectors are reconstructed with one scan of the members' ids, if members
/// have no map of their ids. For fewer, each member is asked for each id.
const MANY: usize = 16;

/// Cost of looking up one id in one member by its map, measured in scanned ids. This is an
/// estimate: a look-up reads a map, which may be out of cache, and decodes a vector.
const LOOK_UP: usize = 16;

/// Name of the knob of a direct map, and its value without a map.
const DIRECT_MAP: (&str, &str) = ("direct_map", "none");

/// Kind of the part `IDMap`, which finds an id by a scan of its ids.
const ID_MAP: &str = "id-map";

/// The answers of members, and what each of them was asked.
struct Answers<T> {
    /// The queries of each answer.
    queries: Vec<Range<usize>>,
    answers: Vec<T>,
}

impl Group {
    pub(super) fn search_members(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_k(k)?;
        params.only(self.described(), &self.takes())?;
        let found = self.ask(queries, params, |member, queries, params| member.search_rows(queries, k, params))?;
        Ok(self.combined(&found, queries.len(), k, |result| result).0)
    }

    fn described(&self) -> &'static str {
        match self.kind {
            Kind::Shards => "an index of shards",
            Kind::Replicas => "an index of replicas",
        }
    }

    /// Asks members: each shard all queries, or each replica some of them.
    ///
    /// Members are asked one after the other, and each has all threads. With fewer queries than
    /// threads, they are asked in parallel instead, each on one thread, in two cases: there are at
    /// least as many members as threads, or a member cannot divide one query among threads. (A
    /// member that can takes the parameter `mode`.) So no thread of a loop waits for another loop.
    fn ask<T: Send>(
        &self,
        queries: AnyRows<'_>,
        params: &SearchParams<'_>,
        search: impl Fn(&dyn Index, AnyRows<'_>, &SearchParams<'_>) -> Result<T, SearchError> + Sync,
    ) -> Result<Answers<T>, SearchError> {
        if let Some(all) = params.per_query.filter(|all| all.len() != queries.len()) {
            let what = "per-query parameters";
            return Err(SearchError::Count { what, found: all.len(), queries: queries.len() });
        }
        let all = 0..queries.len();
        let ranges = match self.kind {
            Kind::Shards => vec![all; self.members.len()],
            // Without queries, one replica checks the call.
            Kind::Replicas if queries.is_empty() => vec![all],
            Kind::Replicas => split(queries.len(), self.members.len()),
        };
        let work = queries.len().saturating_mul(self.len()).saturating_mul(self.dim());
        let executor = executor_for(params.executor, work);
        let threads = executor.threads();
        let divides_query = self.first().takes().contains(SearchParam::Mode);
        let in_parallel = ranges.len() > 1 && threads > queries.len() && (ranges.len() >= threads || !divides_query);
        let answer = |i: usize| {
            let range: Range<usize> = ranges[i].clone();
            let mut own = params.clone();
            own.per_query = params.per_query.map(|all| &all[range.clone()]);
            if in_parallel {
                own.executor = Some(&Inline);
            }
            let found = search(&*self.members[i], queries.slice(range.clone()), &own);
            found.map_err(|error| match error {
                SearchError::Input(error) => SearchError::Input(error.renumbered(|row| range.start + row)),
                other => other,
            })
        };
        let outer: &dyn ivf_core::Executor = if in_parallel { executor } else { &Inline };
        let answers = map(outer, ranges.len(), answer).into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(Answers { queries: ranges, answers })
    }

    /// Returns the `k` nearest results of each query among all answers, and for each result its
    /// answer and its position in it.
    fn combined<T>(
        &self,
        found: &Answers<T>,
        queries: usize,
        k: usize,
        result: impl Fn(&T) -> &SearchResult,
    ) -> (SearchResult, Vec<(usize, usize)>) {
        let metric = self.metric();
        let mut sinks: Vec<Sink> = (0..queries).map(|_| Sink::top_k(k)).collect();
        let mut stats = SearchStats::default();
        for (number, (range, answer)) in found.queries.iter().zip(&found.answers).enumerate() {
            let result = result(answer);
            stats.add(&result.stats);
            let mut position = 0;
            for (row, sink) in result.hits.rows().zip(&mut sinks[range.clone()]) {
                for (&id, &distance) in row.ids.iter().zip(row.distances) {
                    let location = Location { list: ListNo(number as u32), offset: ListOffset(position as u32) };
                    sink.push(Neighbor { distance: metric.to_user_distance(distance), id, location });
                    position += 1;
                }
            }
        }
        stats.queries = queries as u64;
        let hits = Hits::from_sinks(metric, sinks, true);
        let places = hits.locations().iter().map(|at| (at.list.0 as usize, at.offset.0 as usize)).collect();
        (SearchResult::new(hits.without_locations(), stats), places)
    }

    /// Returns the first member with each of the ids.
    pub(super) fn owners(&self, ids: &[Id]) -> Result<Vec<Option<usize>>, StoreError> {
        if self.kind == Kind::Replicas {
            return Ok(vec![Some(0); ids.len()]);
        }
        if self.looks_up(ids.len()) {
            let mut scratch = vec![0.0; self.dim()];
            return ids.iter().map(|id| self.look_up(*id, &mut scratch)).collect();
        }
        let mut owners: HashMap<Id, Option<usize>> = ids.iter().map(|id| (*id, None)).collect();
        for (number, shard) in self.members.iter().enumerate() {
            if let Some(scan) = shard.as_scan_ids() {
                scan.scan_ids(&mut |id| {
                    if let Some(owner) = owners.get_mut(&id) {
                        owner.get_or_insert(number);
                    }
                })?;
            }
        }
        Ok(ids.iter().map(|id| owners.get(id).copied().flatten()).collect())
    }

    /// Returns whether to ask each member for each of `ids` ids, instead of scanning all ids once.
    fn looks_up(&self, ids: usize) -> bool {
        let cost = ids.saturating_mul(self.members.len()).saturating_mul(LOOK_UP);
        cost <= self.len() && self.as_reconstruct().is_some() && self.finds_by_map()
    }

    /// Returns whether members find an id by a map. Knobs are set in all members, so the first one
    /// stands for all.
    fn finds_by_map(&self) -> bool {
        let parts = self.first().parts();
        let mut knobs = parts.iter().flat_map(|part| &part.knobs);
        let direct_map = knobs.find(|knob| knob.name() == DIRECT_MAP.0);
        direct_map.is_some_and(|knob| knob.value != KnobValue::from(DIRECT_MAP.1))
            && parts.iter().all(|part| part.kind != ID_MAP)
    }

    /// Returns the first member with an id. `scratch` is for a vector.
    fn look_up(&self, id: Id, scratch: &mut [f32]) -> Result<Option<usize>, StoreError> {
        for (number, shard) in self.members.iter().enumerate() {
            let Some(reconstruct) = shard.as_reconstruct() else { continue };
            match reconstruct.reconstruct(id, scratch) {
                Ok(()) => return Ok(Some(number)),
                Err(ReconstructError::NoSuchId(_)) => {}
                Err(ReconstructError::Store(error)) => return Err(error),
                Err(error) => return Err(StoreError::Inconsistent(error.to_string())),
            }
        }
        Ok(None)
    }

    /// Returns, for each member, which of `ids` it is the first to have.
    fn rows_of_members(&self, ids: &[Id]) -> Result<Vec<Vec<usize>>, ReconstructError> {
        if !self.is_trained() {
            return Err(ReconstructError::NotTrained);
        }
        let mut rows = vec![Vec::new(); self.members.len()];
        for (row, (id, owner)) in ids.iter().zip(self.owners(ids)?).enumerate() {
            rows[owner.ok_or(ReconstructError::NoSuchId(*id))?].push(row);
        }
        Ok(rows)
    }

    fn measuring(&self, member: usize) -> Result<&dyn Distances, SearchError> {
        let member = &self.members[member];
        Ok(member.as_distances().ok_or_else(|| member.unable("compute distances to given ids"))?)
    }

    fn reconstructing(&self, member: usize) -> Result<&dyn Reconstruct, ReconstructError> {
        let member = &self.members[member];
        Ok(member.as_reconstruct().ok_or_else(|| member.unable("reconstruct"))?)
    }
}

impl RangeSearch for Group {
    fn range_search(
        &self,
        queries: AnyRows<'_>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_radius(radius)?;
        params.only(self.described(), &self.range_takes())?;
        let search = |member: &dyn Index, queries: AnyRows<'_>, params: &SearchParams<'_>| {
            member.range_search_with(queries, radius, params)
        };
        let found = self.ask(queries, params, search)?;
        let most = params.max_results.filter(|most| *most > 0).unwrap_or(usize::MAX);
        Ok(self.combined(&found, queries.len(), most, |result| result).0)
    }

    fn range_takes(&self) -> Takes {
        let takes = self.first().as_range_search().map_or_else(Takes::default, |search| search.range_takes());
        takes.without(SearchParam::Locations)
    }
}

impl ScanIds for Group {
    fn scan_ids(&self, found: &mut dyn FnMut(Id)) -> Result<(), StoreError> {
        let members = if self.kind == Kind::Shards { &self.members[..] } else { &self.members[..1] };
        members.iter().filter_map(|member| member.as_scan_ids()).try_for_each(|scan| scan.scan_ids(found))
    }
}

/// The distances that the members compute.
impl Distances for Group {
    fn distances_to(&self, query: &[f32], ids: &[Id], distances: &mut [f32]) -> Result<(), SearchError> {
        check_lengths(self.dim(), query, ids, distances)?;
        if self.kind == Kind::Replicas {
            return self.measuring(0)?.distances_to(query, ids, distances);
        }
        for (member, rows) in self.rows_of_members(ids)?.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let of_member: Vec<Id> = rows.iter().map(|row| ids[*row]).collect();
            let mut found = vec![0.0; rows.len()];
            self.measuring(member)?.distances_to(query, &of_member, &mut found)?;
            for (row, distance) in rows.into_iter().zip(found) {
                distances[row] = distance;
            }
        }
        Ok(())
    }
}

impl Reconstruct for Group {
    fn reconstruct(&self, id: Id, vector: &mut [f32]) -> Result<(), ReconstructError> {
        let members = if self.kind == Kind::Shards { self.members.len() } else { 1 };
        for member in 0..members {
            match self.reconstructing(member)?.reconstruct(id, vector) {
                Err(ReconstructError::NoSuchId(_)) => {}
                other => return other,
            }
        }
        Err(ReconstructError::NoSuchId(id))
    }

    fn reconstruct_many(&self, ids: &[Id], vectors: &mut [f32]) -> Result<(), ReconstructError> {
        let dim = self.dim();
        check_output(ids.len(), dim, vectors)?;
        if self.kind == Kind::Replicas {
            return self.reconstructing(0)?.reconstruct_many(ids, vectors);
        }
        if ids.len() < MANY || self.looks_up(ids.len()) {
            let each = ids.iter().zip(vectors.chunks_exact_mut(dim));
            return each.into_iter().try_for_each(|(id, vector)| self.reconstruct(*id, vector));
        }
        for (member, rows) in self.rows_of_members(ids)?.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let of_member: Vec<Id> = rows.iter().map(|row| ids[*row]).collect();
            let mut found = vec![0.0; rows.len() * dim];
            self.reconstructing(member)?.reconstruct_many(&of_member, &mut found)?;
            for (row, vector) in rows.into_iter().zip(found.chunks_exact(dim)) {
                vectors[row * dim..][..dim].copy_from_slice(vector);
            }
        }
        Ok(())
    }

    fn search_and_reconstruct(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        check_k(k)?;
        params.only(self.described(), &self.takes())?;
        let search = |member: &dyn Index, queries: AnyRows<'_>, params: &SearchParams<'_>| {
            member.search_and_reconstruct_with(queries, k, params)
        };
        let found = self.ask(queries, params, search)?;
        let (result, places) = self.combined(&found, queries.len(), k, |(result, _)| result);
        let dim = self.dim();
        let vector = |(answer, position): (usize, usize)| &found.answers[answer].1[position * dim..][..dim];
        let vectors = places.into_iter().flat_map(vector).copied().collect();
        Ok((result, vectors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::FlatSpec;
    use crate::{CodesIndex, IdMap};
    use ivf_core::Metric;
    use std::sync::Arc;

    #[test]
    fn ids_are_looked_up_where_members_have_a_map_of_them() {
        let flat = || Box::new(CodesIndex::new(1, Metric::L2, Arc::new(FlatSpec)).unwrap());
        let finds_by_map = |member: Box<dyn Index>, map: &'static str| {
            let mut shards = Group::shards(vec![member]).unwrap();
            let index: &mut dyn Index = &mut shards;
            index.set_knob(DIRECT_MAP.0, map).unwrap();
            shards.finds_by_map()
        };
        assert!(finds_by_map(flat(), "hash"));
        assert!(!finds_by_map(flat(), DIRECT_MAP.1));
        assert!(finds_by_map(Box::new(IdMap::with_table(flat()).unwrap()), "hash"));
        assert!(!finds_by_map(Box::new(IdMap::new(flat()).unwrap()), "hash"), "it scans its ids");
    }
}
