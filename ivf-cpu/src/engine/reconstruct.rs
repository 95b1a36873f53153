//! Giving vectors back, and their exact distances.

use super::IvfIndex;
use ivf_core::error::ReconstructError;
use ivf_core::{Id, Reconstruct};

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
        let mut code = vec![0; entries.layout().code_size()];
        let mut scanner = entries.bound.scanner();
        scanner.set_query(query);
        ids.iter()
            .map(|&id| {
                let at = entries.find(id)?.ok_or(ReconstructError::NoSuchId(id))?;
                entries.code(at, &mut code)?;
                scanner.set_list(at.list, 0.0);
                Ok(scanner.distance(&code))
            })
            .collect()
    }
}
