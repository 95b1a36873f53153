//! Searching all members. Results of shards are merged, those of replicas joined.

use super::{Group, Kind};
use crate::executor::executor_for;
use ivf_core::ability::{RangeSearch, Reconstruct, ScanIds, check_output};
use ivf_core::error::{ReconstructError, SearchError, StoreError};
use ivf_core::executor::{Inline, map, split};
use ivf_core::index_ivf::{check_k, check_radius};
use ivf_core::{
    AnyRows, Hits, Id, Index, ListNo, ListOffset, Location, Neighbor, SearchParam, SearchParams, SearchResult,
    SearchStats, Sink, Takes,
};
use std::collections::HashMap;
use std::ops::Range;

/// Number of ids from which the members' ids are scanned once, instead of asking each member for
/// each id.
const MANY: usize = 16;

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
    /// With fewer queries than threads, members are asked in parallel, each on one thread.
    /// Otherwise they are asked one after the other, and each divides its queries among the
    /// threads. So no thread of a loop waits for another loop.
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
        let in_parallel = ranges.len() > 1 && executor.threads() > queries.len();
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
        if ids.len() < MANY {
            let each = ids.iter().zip(vectors.chunks_exact_mut(dim));
            return each.into_iter().try_for_each(|(id, vector)| self.reconstruct(*id, vector));
        }
        if !self.is_trained() {
            return Err(ReconstructError::NotTrained);
        }
        let owners = self.owners(ids)?;
        if let Some((id, _)) = ids.iter().zip(&owners).find(|(_, owner)| owner.is_none()) {
            return Err(ReconstructError::NoSuchId(*id));
        }
        for member in 0..self.members.len() {
            let rows: Vec<usize> = (0..ids.len()).filter(|row| owners[*row] == Some(member)).collect();
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
