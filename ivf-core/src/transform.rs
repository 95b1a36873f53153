//! What happens to vectors before an index sees them.

use crate::error::{BuildError, InputError, TrainError};
use crate::node::Node;
use crate::params::TrainOptions;
use crate::report::TrainReport;
use crate::rows::{AnyRows, Rows};
use std::fmt;
use std::sync::Arc;

/// What a transform shall be: trains into one. Displayed as its factory token.
pub trait TransformSpec: Send + Sync + fmt::Debug + fmt::Display {
    /// Dimension of the vectors it makes out of vectors of `dim`.
    ///
    /// # Errors
    /// [`BuildError`] if it cannot work with that dimension.
    fn dim_out(&self, dim: usize) -> Result<usize, BuildError>;

    /// How many training vectors it can use; 0 if it learns nothing from vectors.
    fn training_points(&self) -> usize;

    /// Learns the transform from vectors (all finite).
    ///
    /// # Errors
    /// [`TrainError`]: too few vectors, cancelled.
    fn train(
        &self,
        rows: AnyRows<'_>,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Transform>, TrainReport), TrainError>;
}

/// A trained map from vectors to vectors.
pub trait Transform: Send + Sync + fmt::Debug {
    /// The specification it was trained from.
    fn spec(&self) -> Arc<dyn TransformSpec>;

    /// Dimension of the vectors it takes.
    fn dim_in(&self) -> usize;

    /// Dimension of the vectors it makes.
    fn dim_out(&self) -> usize;

    /// Transforms rows of `dim_in` into `out`, rows of `dim_out`.
    ///
    /// # Errors
    /// [`InputError`] naming the row that cannot be transformed.
    ///
    /// # Panics
    /// If a dimension or a length is another one.
    fn apply(&self, rows: Rows<'_, f32>, out: &mut [f32]) -> Result<(), InputError>;

    /// The inverse map, of one vector, for transforms that lose nothing a search cares about.
    fn as_reverse(&self) -> Option<&dyn Reverse> {
        None
    }

    /// The transform for a file or another reader of its insides.
    fn export(&self) -> Node<'_>;
}

/// A transform that can be undone.
pub trait Reverse {
    /// The vector of `dim_in` that stands for `vector` of `dim_out`.
    ///
    /// # Panics
    /// If a length is another one.
    fn reverse(&self, vector: &[f32], out: &mut [f32]);
}
