//! What happens to vectors before an index sees them.

use crate::error::{BuildError, InputError, TrainError};
use crate::metric::Metric;
use crate::node::Node;
use crate::params::TrainOptions;
use crate::report::TrainReport;
use crate::rows::{AnyRows, Rows};
use std::fmt;
use std::sync::Arc;

/// What a transform shall be: trains into one. Displayed as its factory token.
pub trait TransformSpec: Send + Sync + fmt::Debug + fmt::Display {
    /// Dimension of the vectors it makes out of vectors of `dim`, before an index of this metric.
    ///
    /// # Errors
    /// [`BuildError`] if it cannot work with that dimension or metric.
    fn dim_out(&self, dim: usize, metric: Metric) -> Result<usize, BuildError>;

    /// How many training vectors it can use; 0 if it learns nothing from vectors, whatever the
    /// options.
    fn training_points(&self, options: &TrainOptions<'_>) -> usize;

    /// Bytes of memory that training on `points` vectors of `dim` takes at its peak, beside those
    /// vectors (as `f32`) and what it has learnt in the end.
    fn training_memory(&self, dim: usize, metric: Metric, points: usize, options: &TrainOptions<'_>) -> usize;

    /// Learns the transform from vectors (all finite) for an index of this metric.
    ///
    /// # Errors
    /// [`TrainError`]: too few vectors, cancelled.
    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Transform>, TrainReport), TrainError>;
}

/// A trained map from vectors to vectors.
///
/// Both sides may rely on: it never changes; each row is transformed by itself, so that answers do
/// not depend on how rows are cut up.
pub trait Transform: Send + Sync + fmt::Debug {
    /// The specification it was trained from.
    fn spec(&self) -> Arc<dyn TransformSpec>;

    /// The tag of its kind, in files and of [`export`](Self::export)'s node.
    fn tag(&self) -> &str;

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

    /// Bytes of memory it takes.
    fn memory(&self) -> usize;

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
