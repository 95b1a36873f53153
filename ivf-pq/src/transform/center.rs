//! `Center`: vectors less the mean of the training vectors.

use super::linear::{check_range, within_range};
use super::moments::{self, POINTS, Points};
use super::{check_dims, check_points, check_training};
use ivf_core::error::{BuildError, DecodeError, InputError, PartsError, TrainError};
use ivf_core::node::NamedArray;
use ivf_core::registry::TransformRow;
use ivf_core::transform::Reverse;
use ivf_core::{AnyRows, MAX_DIM, Metric, Node, Rows, StoredNode, TrainOptions, TrainReport, Transform, TransformSpec};
use std::fmt;
use std::sync::Arc;

/// The registry row of this transform.
pub(super) const ROW: TransformRow = TransformRow::new(
    "center",
    "Center",
    |token, _| (token.plain()? == "Center").then(|| Ok(Arc::new(CenterSpec) as _)),
    |node, _| Ok(Arc::new(Center::read(node)?)),
)
.about("subtracts the mean of the training vectors")
.samples(&["Center"]);

/// The specification of the transform `Center`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CenterSpec;

impl fmt::Display for CenterSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Center")
    }
}

impl TransformSpec for CenterSpec {
    /// Moving all vectors keeps the distances that are norms of differences, and no others.
    fn dim_out(&self, dim: usize, metric: Metric) -> Result<usize, BuildError> {
        match metric {
            Metric::L2 | Metric::L1 | Metric::Linf | Metric::Lp(_) => check_dims(self, dim, dim),
            _ => Err(BuildError::Metric { kind: self.to_string(), metric }),
        }
    }

    fn is_reversible(&self) -> bool {
        true
    }

    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        POINTS
    }

    fn training_memory(&self, dim: usize, metric: Metric, points: usize, _options: &TrainOptions<'_>) -> usize {
        let Ok(dim) = self.dim_out(dim, metric) else { return 0 };
        moments::sampled(dim, points) + dim * size_of::<f64>()
    }

    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Transform>, TrainReport), TrainError> {
        options.check_cancel()?;
        check_training(self.dim_out(rows.dim(), metric))?;
        check_points("the means".to_owned(), 1, rows.len())?;
        let mut scratch = Vec::new();
        let points = Points::sample(rows, true, options, &mut scratch);
        let mut report = TrainReport::default();
        report.points = points.len();
        Ok((Arc::new(Center { mean: points.mean() }), report))
    }
}

/// Subtracts a mean from vectors. (Faiss's `CenteringTransform`, which has no token.)
///
/// ```
/// use ivf_core::{Rows, Transform};
/// use ivf_pq::transform::Center;
/// let mut out = [0.0; 2];
/// Center::new(vec![1.0, -1.0])?.apply(Rows::new(&[5.0, 5.0], 2)?, &mut out)?;
/// assert_eq!(out, [4.0, 6.0]);
/// assert!(Center::new(vec![f32::NAN]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Center {
    mean: Vec<f32>,
}

impl Center {
    /// Creates the transform that subtracts this mean.
    ///
    /// # Errors
    /// [`PartsError::Mismatch`] if the mean has no dimension or too many, or is not finite.
    pub fn new(mean: Vec<f32>) -> Result<Self, PartsError> {
        if !(1..=MAX_DIM).contains(&mean.len()) {
            return Err(PartsError::Mismatch(format!("a mean of {} dimensions", mean.len())));
        }
        if !mean.iter().all(|x| x.is_finite()) {
            return Err(PartsError::Mismatch("a mean that is not finite".to_owned()));
        }
        Ok(Self { mean })
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        node.fields(&[])?;
        Self::new(node.array("mean")?.to_vec()).map_err(|error| DecodeError::value(&node.tag, error.to_string()))
    }
}

impl Transform for Center {
    fn spec(&self) -> Arc<dyn TransformSpec> {
        Arc::new(CenterSpec)
    }

    fn tag(&self) -> &str {
        ROW.tag
    }

    fn dim_in(&self) -> usize {
        self.mean.len()
    }

    fn dim_out(&self) -> usize {
        self.mean.len()
    }

    /// Subtracts the mean from each row. A NaN or an infinity stays one.
    ///
    /// # Errors
    /// [`InputError::Overflow`] for a finite row whose output is beyond the range of `f32`.
    fn apply(&self, rows: Rows<'_, f32>, out: &mut [f32]) -> Result<(), InputError> {
        let dim = self.mean.len();
        assert_eq!((rows.dim(), out.len()), (dim, rows.as_slice().len()), "rows of {dim} dimensions");
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(dim)) {
            out.iter_mut().zip(row.iter().zip(&self.mean)).for_each(|(out, (x, mean))| *out = x - mean);
        }
        check_range(rows, out, dim)
    }

    fn as_reverse(&self) -> Option<&dyn Reverse> {
        Some(self)
    }

    fn memory(&self) -> usize {
        self.mean.capacity() * size_of::<f32>()
    }

    fn export(&self) -> Node<'_> {
        let mut node = Node::new(ROW.tag, 0);
        node.push(NamedArray::borrowed("mean", &[self.mean.len() as u64], &self.mean));
        node
    }
}

impl Reverse for Center {
    fn reverse(&self, vector: &[f32], out: &mut [f32]) {
        assert_eq!((vector.len(), out.len()), (self.mean.len(), self.mean.len()), "a vector of the same dimension");
        within_range(vector, &self.mean, out, |vector, out| out.copy_from_slice(vector));
    }
}
