//! Reconstructing vectors, and computing distances to given ids.

use super::IvfIndex;
use super::entries::Entries;
use crate::codec::distances_to_vectors;
use crate::wrap::check_lengths;
use ivf_core::ability::{Distances, check_output};
use ivf_core::bytes::AlignedBytes;
use ivf_core::error::{ReconstructError, SearchError, StoreError};
use ivf_core::{
    AnyRows, DirectMapKind, Id, IdSelector, Index, ListNo, Location, Reconstruct, SearchParams, SearchResult,
};
use std::collections::HashMap;

/// Number of codes copied out of the lists at a time.
const TOGETHER: usize = 256;

impl Reconstruct for IvfIndex {
    fn reconstruct(&self, id: Id, vector: &mut [f32]) -> Result<(), ReconstructError> {
        let entries = &self.trained.as_ref().ok_or(ReconstructError::NotTrained)?.entries;
        check_output(1, self.dim, vector)?;
        let at = entries.find(id)?.ok_or(ReconstructError::NoSuchId(id))?;
        Ok(entries.decode_at(&[at], vector)?)
    }

    fn reconstruct_many(&self, ids: &[Id], vectors: &mut [f32]) -> Result<(), ReconstructError> {
        let entries = &self.trained.as_ref().ok_or(ReconstructError::NotTrained)?.entries;
        check_output(ids.len(), self.dim, vectors)?;
        let places = entries.find_all(ids)?;
        Ok(entries.decode_at(&places, vectors)?)
    }

    fn search_and_reconstruct(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        let mut found = self.search_rows(queries, k, &params.clone().locations(true))?;
        let entries = &self.trained.as_ref().ok_or(SearchError::NotTrained)?.entries;
        let mut vectors = vec![0.0; found.hits.total() * self.dim];
        entries.decode_at(found.hits.locations(), &mut vectors)?;
        if params.locations != Some(true) {
            found.hits = found.hits.without_locations();
        }
        Ok((found, vectors))
    }
}

/// The distances to the decoded vectors.
impl Distances for IvfIndex {
    fn distances_to(&self, query: &[f32], ids: &[Id], distances: &mut [f32]) -> Result<(), SearchError> {
        check_lengths(self.dim, query, ids, distances)?;
        let mut vectors = vec![0.0; ids.len() * self.dim];
        self.reconstruct_many(ids, &mut vectors)?;
        distances_to_vectors(self.metric, query, &vectors, distances);
        Ok(())
    }
}

impl Entries {
    /// Decodes the vectors at some locations, row after row.
    pub(super) fn decode_at(&self, places: &[Location], vectors: &mut [f32]) -> Result<(), StoreError> {
        let size = self.layout().code_size();
        let dim = self.bound.codec().dim();
        let mut codes = AlignedBytes::zeroed(places.len().min(TOGETHER) * size);
        // In list order, each list is read only once or a few times.
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by_key(|&i| places[i]);
        for order in order.chunks(TOGETHER) {
            let places: Vec<Location> = order.iter().map(|&i| places[i]).collect();
            let codes = &mut codes[..places.len() * size];
            self.lists.codes_at(&places, codes)?;
            for ((&i, place), code) in order.iter().zip(&places).zip(codes.chunks_exact(size)) {
                self.bound.decode(place.list, code, &mut vectors[i * dim..][..dim]);
            }
        }
        Ok(())
    }

    /// Returns the first location of each id, in list order.
    fn find_all(&self, ids: &[Id]) -> Result<Vec<Location>, ReconstructError> {
        let mut found = HashMap::new();
        if self.map.kind() == DirectMapKind::None && ids.len() > 1 {
            let wanted = IdSelector::set(ids.iter().copied());
            self.places(&wanted, |id, at| {
                found.entry(id).or_insert(at);
            })?;
            return ids.iter().map(|id| found.get(id).copied().ok_or(ReconstructError::NoSuchId(*id))).collect();
        }
        ids.iter().map(|&id| self.find(id)?.ok_or(ReconstructError::NoSuchId(id))).collect()
    }
}

impl IvfIndex {
    /// Reconstructs the vectors of `ids`, each of which is found on its own. That is fast if ids
    /// are consecutive, or if there is a direct map.
    pub(super) fn vectors(&self, ids: &[Id], vectors: &mut [f32]) -> Result<(), ReconstructError> {
        let entries = &self.trained.as_ref().ok_or(ReconstructError::NotTrained)?.entries;
        check_output(ids.len(), self.dim, vectors)?;
        let find = |&id| entries.find(id)?.ok_or(ReconstructError::NoSuchId(id));
        let places = ids.iter().map(find).collect::<Result<Vec<Location>, ReconstructError>>()?;
        Ok(entries.decode_at(&places, vectors)?)
    }

    /// Returns the inner distances from a query to the vectors of `ids`, as a scan of their codes
    /// computes them. Only for an index of one list, where the coarse distance is 0.
    pub(super) fn distances(&self, query: &[f32], ids: &[Id]) -> Result<Vec<f32>, ReconstructError> {
        let entries = &self.trained.as_ref().ok_or(ReconstructError::NotTrained)?.entries;
        let (layout, settings) = (entries.layout(), self.codec_settings());
        let mut scanner = entries.bound.scanner(&settings);
        scanner.set_query(query);
        scanner.set_list(ListNo(0), 0.0);
        let mut distances = vec![0.0; ids.len()];
        if layout.block_len() == 1 && layout.plane_count() == 1 && entries.lists.in_memory() {
            // The codes need not be copied.
            let list = entries.lists.list(ListNo(0))?;
            let code = |&id: &Id| -> Result<&[u8], ReconstructError> {
                let at = match entries.map.kind() {
                    DirectMapKind::None => list.position(id),
                    _ => entries.map.get(id).map(|at| at.offset),
                };
                let at = at.ok_or(ReconstructError::NoSuchId(id))?;
                Ok(list
                    .code_in_place(layout, at)
                    .ok_or(StoreError::NoSuchEntry { at: Location { list: ListNo(0), offset: at }, len: list.len() })?)
            };
            let codes = ids.iter().map(code).collect::<Result<Vec<_>, _>>()?;
            scanner.distances_to(&codes, &mut distances);
            return Ok(distances);
        }
        let size = layout.code_size();
        let mut codes = AlignedBytes::zeroed(ids.len().min(TOGETHER) * size);
        for (ids, distances) in ids.chunks(TOGETHER).zip(distances.chunks_mut(TOGETHER)) {
            let find = |&id| entries.find(id)?.ok_or(ReconstructError::NoSuchId(id));
            let places = ids.iter().map(find).collect::<Result<Vec<Location>, ReconstructError>>()?;
            let codes = &mut codes[..ids.len() * size];
            entries.lists.codes_at(&places, codes)?;
            scanner.distances(codes, distances);
        }
        Ok(distances)
    }
}
