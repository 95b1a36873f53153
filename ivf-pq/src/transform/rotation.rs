//! `RR[n]`: a random rotation.

use super::linear::LinearMap;
use super::pca::floats;
use super::{check_dims, check_rotation, check_training, dimensions, orthogonal};
use ivf_core::error::{BuildError, TrainError};
use ivf_core::registry::{Parsed, Registry, Token, TransformRow};
use ivf_core::{AnyRows, Metric, Rows, TrainOptions, TrainReport, Transform, TransformSpec};
use std::fmt;
use std::sync::Arc;

/// The registry row of this transform.
pub(super) const ROW: TransformRow =
    TransformRow::new(TAG, "RR[n]", parse, |node, registry| Ok(Arc::new(LinearMap::read(node, registry, TAG, parse)?)))
        .about("rotates at random; to n dimensions: a random projection, or a rotation after zeros were appended")
        .samples(&["RR"]);

const TAG: &str = "rr";

fn parse(token: &Token<'_>, _registry: &Registry) -> Parsed<dyn TransformSpec> {
    let digits = token.plain()?.strip_prefix("RR")?;
    if digits.is_empty() {
        return Some(Ok(Arc::new(RotationSpec::new(None))));
    }
    Some(dimensions(digits, 2).map(|dim_out| Arc::new(RotationSpec::new(Some(dim_out))) as _))
}

/// `RR[n]`: a random rotation, drawn with the seed of the training. (Faiss's
/// `RandomRotationMatrix`.)
///
/// To fewer dimensions, it is a projection on random directions. To more, distances stay as they
/// are.
///
/// ```
/// use ivf_core::{Metric, Rows, TrainOptions, TransformSpec};
/// use ivf_pq::transform::RotationSpec;
///
/// // Training only draws, so any vector will do.
/// let vectors = [3.0, 4.0, 0.0];
/// let rows = Rows::new(&vectors, 3)?;
/// let (rotation, _) = RotationSpec::new(Some(5)).train(rows.into(), Metric::L2, &TrainOptions::new().seed(7))?;
/// let mut out = [0.0; 5];
/// rotation.apply(rows, &mut out)?;
/// assert!((out.iter().map(|x| x * x).sum::<f32>().sqrt() - 5.0).abs() < 1e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationSpec {
    dim_out: Option<usize>,
}

impl RotationSpec {
    /// A rotation, to this number of dimensions or to as many as there are.
    pub fn new(dim_out: Option<usize>) -> Self {
        Self { dim_out }
    }
}

impl fmt::Display for RotationSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dim_out {
            Some(dim_out) => write!(f, "RR{dim_out}"),
            None => f.write_str("RR"),
        }
    }
}

impl TransformSpec for RotationSpec {
    fn dim_out(&self, dim: usize, metric: Metric) -> Result<usize, BuildError> {
        check_rotation(self, metric)?;
        check_dims(self, dim, self.dim_out.unwrap_or(dim))
    }

    /// One. No vector is looked at, but the matrix takes the square of the dimension, which only a
    /// training may allocate, and not a small file that names the token.
    fn is_reversible(&self) -> bool {
        true
    }

    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        1
    }

    fn training_memory(&self, dim: usize, metric: Metric, _points: usize, _options: &TrainOptions<'_>) -> usize {
        let Ok(dim_out) = self.dim_out(dim, metric) else { return 0 };
        let rows = dim.min(dim_out).saturating_mul(dim.max(dim_out));
        rows.saturating_mul(2 * size_of::<f64>() + size_of::<f32>())
    }

    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Transform>, TrainReport), TrainError> {
        options.check_cancel()?;
        let dim = rows.dim();
        let dim_out = check_training(self.dim_out(dim, metric))?;
        // Orthonormal rows, or columns if there are more rows than columns.
        let matrix = if dim_out <= dim {
            orthogonal::random(dim_out, dim, options)?
        } else {
            orthogonal::transposed(&orthogonal::random(dim, dim_out, options)?, dim_out)
        };
        let matrix = floats(&matrix);
        let matrix = Rows::new(&matrix, dim).expect("whole rows");
        let map = LinearMap::new(TAG, Arc::new(*self), matrix, None, None)
            .map_err(|error| TrainError::Unsupported { kind: self.to_string(), what: error.to_string() })?;
        Ok((Arc::new(map), TrainReport::default()))
    }
}
