//! Distances from a query to the vectors of given ids, in any index that can provide them.

use crate::codec::distances_to_vectors;
use ivf_core::error::{InputError, ReconstructError, SearchError};
use ivf_core::{Id, Index};

/// Returns true if [`measure`] works: the index computes such distances itself, or reconstructs
/// vectors.
pub(crate) fn is_measurable(index: &dyn Index) -> bool {
    index.as_distances().is_some() || index.as_reconstruct().is_some()
}

/// Writes the inner distances from `query` to the vectors of `ids` to `distances`. If the index
/// does not compute them itself, they are the distances to the reconstructed vectors.
///
/// # Errors
/// As [`Distances::distances_to`](ivf_core::ability::Distances::distances_to), and if the index is
/// not [measurable](is_measurable).
pub(crate) fn measure(index: &dyn Index, query: &[f32], ids: &[Id], distances: &mut [f32]) -> Result<(), SearchError> {
    if let Some(measuring) = index.as_distances() {
        return measuring.distances_to(query, ids, distances);
    }
    check_lengths(index.dim(), query, ids, distances)?;
    let reconstruct = index.as_reconstruct().ok_or_else(|| index.unable(MEASURING))?;
    let mut vectors = vec![0.0; ids.len() * index.dim()];
    reconstruct.reconstruct_many(ids, &mut vectors)?;
    distances_to_vectors(index.metric(), query, &vectors, distances);
    Ok(())
}

/// Name of the ability in errors.
pub(crate) const MEASURING: &str = "compute distances to given ids";

/// Checks the lengths of a query and of the output for its distances to `ids`.
pub(crate) fn check_lengths(dim: usize, query: &[f32], ids: &[Id], distances: &[f32]) -> Result<(), SearchError> {
    if query.len() != dim {
        return Err(InputError::Dim { expected: dim, found: query.len() }.into());
    }
    if distances.len() != ids.len() {
        return Err(ReconstructError::OutputLength { expected: ids.len(), found: distances.len() }.into());
    }
    Ok(())
}
