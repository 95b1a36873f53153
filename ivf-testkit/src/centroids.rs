//! Centroids to bind a codec to, without a quantizer.

use crate::data::Vectors;
use ivf_core::{Centroids, ListNo};

/// Fixed vectors as the centroids of lists: vector `i` is the centroid of list `i`.
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
