//! Giving vectors back, and their exact distances.

use super::IvfIndex;
use ivf_core::bytes::AlignedBytes;
use ivf_core::error::ReconstructError;
use ivf_core::{Id, ListNo, Location, Reconstruct};

/// Codes copied out of the lists at a time.
const TOGETHER: usize = 256;

impl Reconstruct for IvfIndex {
    fn reconstruct(&self, id: Id, vector: &mut [f32]) -> Result<(), ReconstructError> {
        let entries = &self.trained.as_ref().ok_or(ReconstructError::NotTrained)?.entries;
        if vector.len() != self.dim {
            return Err(ReconstructError::OutputLength { expected: self.dim, found: vector.len() });
        }
        let at = entries.find(id)?.ok_or(ReconstructError::NoSuchId(id))?;
        let mut code = vec![0; entries.layout().code_size()];
        entries.code(at, &mut code)?;
        entries.bound.decode(at.list, &code, vector);
        Ok(())
    }
}

impl IvfIndex {
    /// The inner distances from a query to the vectors of `ids`, as a scan of their codes gives them. Only for an index of one
    /// list, where no coarse distance comes in.
    pub(super) fn distances(&self, query: &[f32], ids: &[Id]) -> Result<Vec<f32>, ReconstructError> {
        let entries = &self.trained.as_ref().ok_or(ReconstructError::NotTrained)?.entries;
        let size = entries.layout().code_size();
        let mut codes = AlignedBytes::zeroed(ids.len().min(TOGETHER) * size);
        let mut scanner = entries.bound.scanner();
        scanner.set_query(query);
        scanner.set_list(ListNo(0), 0.0);
        let mut distances = vec![0.0; ids.len()];
        for (ids, distances) in ids.chunks(TOGETHER).zip(distances.chunks_mut(TOGETHER)) {
            let find = |&id| entries.find(id)?.ok_or(ReconstructError::NoSuchId(id));
            let places = ids.iter().map(find).collect::<Result<Vec<Location>, ReconstructError>>()?;
            let codes = &mut codes[..ids.len() * size];
            entries.codes(&places, codes)?;
            scanner.distances(codes, distances);
        }
        Ok(distances)
    }
}
