//! Searching by caller-supplied ids.

use super::{IdMap, Kind};
use ivf_core::error::{ReconstructError, SearchError, StoreError, Unable};
use ivf_core::{
    AnyRows, Id, IdSelector, Index, QueryParams, RangeSearch, Reconstruct, ScanIds, SearchParams, SearchResult, Takes,
};
use std::iter;

/// Minimum number of vectors per selected id for which the ids of a selector are looked up in the
/// table. Otherwise the search tests the id of each vector that it scans.
const FEW: usize = 16;

/// A function that returns whether a number of the wrapped index may be found.
type Keep<'a> = Box<dyn Fn(Id) -> bool + Sync + 'a>;

impl IdMap {
    /// Runs a search of the wrapped index, with the caller's selectors translated to its numbers.
    pub(super) fn through<T>(
        &self,
        params: &SearchParams<'_>,
        search: impl FnOnce(&SearchParams<'_>) -> Result<T, SearchError>,
    ) -> Result<T, SearchError> {
        let queries = params.per_query.unwrap_or_default();
        let asked = || iter::once(params.selector).chain(queries.iter().map(|one| one.selector));
        let keeps: Vec<Option<Keep<'_>>> = asked().map(|selector| Some(self.keep(selector?))).collect();
        let seen: Vec<Option<IdSelector<'_>>> =
            asked().zip(&keeps).map(|(selector, keep)| Some(self.seen(selector?, keep.as_ref()?))).collect();
        let of_queries = queries.iter().zip(&seen[1..]).map(|(one, seen)| {
            let mut one: QueryParams<'_> = *one;
            one.selector = seen.as_ref();
            one
        });
        let of_queries: Vec<QueryParams<'_>> = of_queries.collect();
        let mut params: SearchParams<'_> = params.clone();
        params.selector = seen[0].as_ref();
        params.per_query = params.per_query.map(|_| &of_queries[..]);
        search(&params)
    }

    /// Replaces the numbers in the results of the wrapped index by the caller's ids.
    pub(super) fn named(&self, mut result: SearchResult) -> SearchResult {
        result.hits = result.hits.map_ids(|number| self.id_of(number).unwrap_or(number));
        result
    }

    fn keep<'k>(&'k self, selector: &'k IdSelector<'k>) -> Keep<'k> {
        Box::new(|number| self.id_of(number).is_some_and(|id| selector.contains(id)))
    }

    /// Translates a selector of ids into one of numbers.
    fn seen<'k>(&self, selector: &IdSelector<'_>, keep: &'k Keep<'_>) -> IdSelector<'k> {
        match self.numbers_named(selector, self.len() / FEW) {
            Some(numbers) => IdSelector::sorted(numbers),
            None => IdSelector::Fn(&**keep),
        }
    }

    /// Returns the numbers of the selected ids. Returns `None` without a table, or if the selector
    /// cannot list its ids or lists more than `most`.
    pub(super) fn numbers_named(&self, selector: &IdSelector<'_>, most: usize) -> Option<Vec<Id>> {
        if self.kind == Kind::Map {
            return None;
        }
        let ids = selector.listed(most)?;
        let numbers = ids.iter().filter_map(|id| self.table.get(id)).flatten();
        Some(numbers.map(|number| Id(*number as i64)).collect())
    }

    fn reconstructing(&self) -> Result<&dyn Reconstruct, Unable> {
        self.inner.as_reconstruct().ok_or_else(|| self.inner.unable("reconstruct"))
    }
}

impl ScanIds for IdMap {
    fn scan_ids(&self, found: &mut dyn FnMut(Id)) -> Result<(), StoreError> {
        self.ids.iter().for_each(|(_, id)| found(id));
        Ok(())
    }
}

impl RangeSearch for IdMap {
    fn range_search(
        &self,
        queries: AnyRows<'_>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        let search = |params: &SearchParams<'_>| self.inner.range_search_with(queries, radius, params);
        Ok(self.named(self.through(params, search)?))
    }

    fn range_takes(&self) -> Takes {
        self.inner.as_range_search().map_or_else(Takes::default, |search| search.range_takes())
    }
}

impl Reconstruct for IdMap {
    fn reconstruct(&self, id: Id, vector: &mut [f32]) -> Result<(), ReconstructError> {
        let known = self.numbers_of(&[id]);
        let number = *known.get(&id).and_then(|numbers| numbers.first()).ok_or(ReconstructError::NoSuchId(id))?;
        self.reconstructing()?.reconstruct(Id(number as i64), vector)
    }

    fn reconstruct_many(&self, ids: &[Id], vectors: &mut [f32]) -> Result<(), ReconstructError> {
        let known = self.numbers_of(ids);
        let number = |id: &Id| known.get(id).and_then(|numbers| numbers.first()).ok_or(ReconstructError::NoSuchId(*id));
        let numbers =
            ids.iter().map(|id| Ok(Id(*number(id)? as i64))).collect::<Result<Vec<Id>, ReconstructError>>()?;
        self.reconstructing()?.reconstruct_many(&numbers, vectors)
    }

    fn search_and_reconstruct(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        let reconstruct = self.reconstructing()?;
        let (found, vectors) = self.through(params, |params| reconstruct.search_and_reconstruct(queries, k, params))?;
        Ok((self.named(found), vectors))
    }
}
