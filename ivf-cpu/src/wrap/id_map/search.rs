//! Searching by caller-supplied ids.

use super::{IdMap, Kind};
use crate::selectors::with_translated;
use ivf_core::error::{ReconstructError, SearchError, StoreError, Unable};
use ivf_core::{AnyRows, Id, IdSelector, Index, RangeSearch, Reconstruct, ScanIds, SearchParams, SearchResult, Takes};

/// Minimum number of vectors per selected id for which the ids of a selector are looked up in the
/// table. Otherwise the search tests the id of each vector that it scans.
const FEW: usize = 16;

impl IdMap {
    /// Runs a search of the wrapped index, with the caller's selectors translated to its numbers.
    pub(super) fn through<T>(
        &self,
        params: &SearchParams<'_>,
        search: impl FnOnce(&SearchParams<'_>) -> Result<T, SearchError>,
    ) -> Result<T, SearchError> {
        let listed = |selector: &IdSelector<'_>| self.numbers_named(selector, self.len() / FEW);
        let keep = |selector: &IdSelector<'_>, number| self.id_of(number).is_some_and(|id| selector.contains(id));
        with_translated(params, listed, keep, search)
    }

    /// Replaces the numbers in the results of the wrapped index by the caller's ids.
    pub(super) fn named(&self, mut result: SearchResult) -> SearchResult {
        result.hits = result.hits.map_ids(|number| self.id_of(number).unwrap_or(number));
        result
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
