//! Transforms, which map vectors before they reach an index.

use crate::error::{BuildError, InputError, TrainError};
use crate::metric::Metric;
use crate::node::Node;
use crate::params::TrainOptions;
use crate::report::TrainReport;
use crate::rows::{AnyRows, Rows};
use std::fmt;
use std::sync::Arc;

/// The specification of a transform, which training turns into a transform. Displayed as its
/// factory token.
pub trait TransformSpec: Send + Sync + fmt::Debug + fmt::Display {
    /// Returns the output dimension for input vectors of dimension `dim`, before an index of this
    /// metric.
    ///
    /// # Errors
    /// [`BuildError`] if the transform does not support that dimension or metric.
    fn dim_out(&self, dim: usize, metric: Metric) -> Result<usize, BuildError>;

    /// Returns the maximum number of training vectors. It is 0, for all options, if the transform
    /// learns nothing from vectors.
    fn training_points(&self, options: &TrainOptions<'_>) -> usize;

    /// Returns the peak memory of training on `points` vectors of dimension `dim`, in bytes. The
    /// vectors themselves (as `f32`) and the trained transform are not counted.
    fn training_memory(&self, dim: usize, metric: Metric, points: usize, options: &TrainOptions<'_>) -> usize;

    /// Learns the transform from finite vectors, for an index of this metric.
    ///
    /// # Errors
    /// [`TrainError`] if there are too few vectors, or the caller cancelled.
    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Transform>, TrainReport), TrainError>;
}

/// A trained map from vectors to vectors.
///
/// Implementations and callers rely on this contract. A transform is immutable. Each row is
/// transformed independently, so that results do not depend on how rows are split into calls.
pub trait Transform: Send + Sync + fmt::Debug {
    /// Returns the specification that the transform was trained from.
    fn spec(&self) -> Arc<dyn TransformSpec>;

    /// Returns the tag of the kind, which is used in files and in the node of
    /// [`export`](Self::export).
    fn tag(&self) -> &str;

    /// Returns the input dimension.
    fn dim_in(&self) -> usize;

    /// Returns the output dimension.
    fn dim_out(&self) -> usize;

    /// Transforms rows of dimension `dim_in` and writes rows of dimension `dim_out` to `out`.
    ///
    /// # Errors
    /// [`InputError`] with the number of the row that cannot be transformed.
    ///
    /// # Panics
    /// If the dimension of `rows` or the length of `out` is wrong.
    fn apply(&self, rows: Rows<'_, f32>, out: &mut [f32]) -> Result<(), InputError>;

    /// Returns the inverse map, for transforms that lose nothing that matters to a search.
    fn as_reverse(&self) -> Option<&dyn Reverse> {
        None
    }

    /// Returns the memory that the transform takes, in bytes.
    fn memory(&self) -> usize;

    /// Exports the contents of the transform, for a file or another reader.
    fn export(&self) -> Node<'_>;
}

/// The ability of a transform to be inverted.
pub trait Reverse {
    /// Writes to `out` (`dim_in` elements) the input vector for the transformed `vector` (`dim_out`
    /// elements).
    ///
    /// # Panics
    /// If a length is wrong.
    fn reverse(&self, vector: &[f32], out: &mut [f32]);
}
