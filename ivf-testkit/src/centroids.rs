//! Centroids to bind a codec to, without a quantizer.

use crate::data::Vectors;
use ivf_core::{Centroids, ListNo};

/// Vectors as the centres of lists: list `i` lies around vector `i`.
#[derive(Clone, Debug)]
pub struct FixedCentroids(pub Vectors);

impl Centroids for FixedCentroids {
    fn dim(&self) -> usize {
        self.0.dim
    }

    fn nlist(&self) -> usize {
        self.0.len()
    }

    fn centroid(&self, list: ListNo, out: &mut [f32]) {
        out.copy_from_slice(self.0.rows().row(list.index()));
    }
}
