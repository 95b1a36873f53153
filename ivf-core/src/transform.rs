//! Transforms, which map vectors before they reach an index.
//!
//! A transform that subtracts the mean of the training vectors:
//!
//! ```
//! use ivf_core::error::{BuildError, InputError, TrainError};
//! use ivf_core::node::NamedArray;
//! use ivf_core::registry::TransformRow;
//! use ivf_core::transform::{Reverse, Transform, TransformSpec};
//! use ivf_core::{AnyRows, Id, Metric, Node, Rows, TrainOptions, TrainReport};
//! use std::{fmt, sync::Arc};
//!
//! #[derive(Debug)]
//! struct Center;
//!
//! impl fmt::Display for Center {
//!     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
//!         f.write_str("Middle")
//!     }
//! }
//!
//! impl TransformSpec for Center {
//!     fn dim_out(&self, dim: usize, metric: Metric) -> Result<usize, BuildError> {
//!         match metric {
//!             Metric::L2 => Ok(dim), // Moving all vectors keeps this distance.
//!             metric => Err(BuildError::Metric { kind: self.to_string(), metric }),
//!         }
//!     }
//!
//!     fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
//!         65_536
//!     }
//!
//!     fn training_memory(&self, dim: usize, _metric: Metric, points: usize, _options: &TrainOptions<'_>) -> usize {
//!         (points + 1) * dim * size_of::<f32>()
//!     }
//!
//!     fn train(
//!         &self,
//!         rows: AnyRows<'_>,
//!         _metric: Metric,
//!         _options: &TrainOptions<'_>,
//!     ) -> Result<(Arc<dyn Transform>, TrainReport), TrainError> {
//!         if rows.is_empty() {
//!             return Err(TrainError::TooFew { who: "the means".to_owned(), needed: 1, found: 0 });
//!         }
//!         let (mut scratch, mut mean) = (Vec::new(), vec![0.0; rows.dim()]);
//!         for row in rows.to_f32(&mut scratch).iter() {
//!             mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / rows.len() as f32);
//!         }
//!         Ok((Arc::new(Centered { mean }), TrainReport::default()))
//!     }
//! }
//!
//! #[derive(Debug)]
//! struct Centered {
//!     mean: Vec<f32>,
//! }
//!
//! impl Transform for Centered {
//!     fn spec(&self) -> Arc<dyn TransformSpec> {
//!         Arc::new(Center)
//!     }
//!
//!     fn tag(&self) -> &str {
//!         ROW.tag
//!     }
//!
//!     fn dim_in(&self) -> usize {
//!         self.mean.len()
//!     }
//!
//!     fn dim_out(&self) -> usize {
//!         self.mean.len()
//!     }
//!
//!     fn apply(&self, rows: Rows<'_, f32>, out: &mut [f32]) -> Result<(), InputError> {
//!         assert_eq!((rows.dim(), out.len()), (self.dim_in(), rows.as_slice().len()));
//!         let vectors = rows.as_slice().iter().zip(self.mean.iter().cycle());
//!         out.iter_mut().zip(vectors).for_each(|(out, (x, mean))| *out = x - mean);
//!         Ok(())
//!     }
//!
//!     fn as_reverse(&self) -> Option<&dyn Reverse> {
//!         Some(self)
//!     }
//!
//!     fn memory(&self) -> usize {
//!         self.mean.capacity() * size_of::<f32>()
//!     }
//!
//!     fn export(&self) -> Node<'_> {
//!         let mut node = Node::new(self.tag(), 0);
//!         node.push(NamedArray::borrowed("mean", &[self.mean.len() as u64], &self.mean));
//!         node
//!     }
//! }
//!
//! impl Reverse for Centered {
//!     fn reverse(&self, vector: &[f32], out: &mut [f32]) {
//!         assert_eq!((vector.len(), out.len()), (self.dim_out(), self.dim_in()));
//!         out.iter_mut().zip(vector.iter().zip(&self.mean)).for_each(|(out, (x, mean))| *out = x + mean);
//!     }
//! }
//!
//! const ROW: TransformRow = TransformRow::new(
//!     "middle",
//!     "Middle",
//!     |token, _| (token.plain()? == "Middle").then(|| Ok(Arc::new(Center) as _)),
//!     |node, _| Ok(Arc::new(Centered { mean: node.array("mean")?.to_vec() })),
//! );
//!
//! let registry = ivf_factory::default_registry().clone().with_transforms(&[ROW]);
//! let mut index = ivf_factory::build_with("Middle,Flat", 1, Metric::L2, &registry)?;
//! let vectors = [4.0_f32, 8.0];
//! index.train(Rows::new(&vectors, 1)?)?;
//! index.add(Rows::new(&vectors, 1)?)?;
//! assert_eq!(index.reconstruct(Id(1))?, [8.0]); // 8 - 6, and back
//!
//! let (centered, _) = Center.train(Rows::new(&vectors, 1)?.into(), Metric::L2, &TrainOptions::new())?;
//! let mut out = [0.0; 2];
//! centered.apply(Rows::new(&vectors, 1)?, &mut out)?;
//! assert_eq!(out, [-2.0, 2.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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

    /// Returns whether the trained transform can be reversed ([`Transform::as_reverse`]), so that
    /// an index behind it reconstructs vectors. The default is false.
    ///
    /// ```
    /// use ivf_core::registry::Token;
    /// let registry = ivf_factory::default_registry();
    /// let pca = registry.parse_transform(&Token::new("PCA2").unwrap()).unwrap().unwrap();
    /// assert!(pca.is_reversible());
    /// ```
    fn is_reversible(&self) -> bool {
        false
    }

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
