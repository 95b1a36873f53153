//! `PCA[W][R]<n>`: projection on the directions of the largest variance.

use super::eigen::{self, Eigen, eigen};
use super::linear::LinearMap;
use super::moments::{self, POINTS, Points};
use super::{check_dims, check_points, check_projection, check_rotation, check_training, dimensions, orthogonal};
use ivf_core::error::{BuildError, TrainError};
use ivf_core::registry::{Parsed, Registry, Token, TokenError, TransformRow};
use ivf_core::{AnyRows, Metric, Rows, TrainOptions, TrainReport, Transform, TransformSpec};
use std::fmt;
use std::sync::Arc;

/// The registry row of this transform.
pub(super) const ROW: TransformRow = TransformRow::new(TAG, "PCA[W][R]<n>", parse, |node, registry| {
    Ok(Arc::new(LinearMap::read(node, registry, TAG, parse)?))
})
.about("projects on the n directions of the largest variance; W scales them to variance 1, R rotates them at random")
.samples(&["PCA12", "PCAWR8"]);

const TAG: &str = "pca";

/// Least variance, relative to the largest, by which whitening divides. Below it is the rounding of
/// `f32`.
const LEAST: f64 = f32::EPSILON as f64;

fn parse(token: &Token<'_>, _registry: &Registry) -> Parsed<dyn TransformSpec> {
    let token = token.plain()?;
    let rest = token.strip_prefix("PCA")?;
    let (whiten, rest) = rest.strip_prefix('W').map_or((false, rest), |rest| (true, rest));
    let (rotate, rest) = rest.strip_prefix('R').map_or((false, rest), |rest| (true, rest));
    if rest.is_empty() {
        return Some(Err(TokenError::new(0..token.len(), "PCA needs the number of dimensions, as in PCA64")));
    }
    Some(dimensions(rest, token.len() - rest.len()).map(|dim_out| Arc::new(PcaSpec { dim_out, whiten, rotate }) as _))
}

/// `PCA[W][R]<n>`: projection on the `n` directions of the largest variance (Pearson, 1901;
/// Hotelling, 1933).
///
/// For L2, the mean of the training vectors is subtracted: distances do not see it, and the
/// directions are those in which vectors differ. For the inner product and the cosine, nothing is
/// subtracted, since that would change the order of results, and the directions are those of the
/// largest second moment. (Faiss subtracts the mean for any metric.)
///
/// Training takes at most 65,536 vectors.
///
/// ```
/// use ivf_core::{Metric, Rows, TrainOptions, TransformSpec};
/// use ivf_pq::transform::PcaSpec;
///
/// // Points near the line through (10, 0) and (0, 10).
/// let data: Vec<f32> = (0..100).flat_map(|i| [i as f32 * 0.1, 10.0 - i as f32 * 0.1]).collect();
/// let spec = PcaSpec::new(1);
/// let (pca, _) = spec.train(Rows::new(&data, 2)?.into(), Metric::L2, &TrainOptions::new())?;
/// let mut out = [0.0; 100];
/// pca.apply(Rows::new(&data, 2)?, &mut out)?;
/// // The distance of the ends stays.
/// assert!(((out[99] - out[0]).abs() - 9.9 * 2.0_f32.sqrt()).abs() < 1e-5);
///
/// // More dimensions than there are, and metrics that rotations change, are errors.
/// assert!(PcaSpec::new(3).dim_out(2, Metric::L2).is_err());
/// assert!(spec.dim_out(2, Metric::L1).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PcaSpec {
    /// Number of dimensions that are kept, at least 1.
    pub dim_out: usize,
    /// Whether the projections are scaled to variance 1, which changes distances.
    pub whiten: bool,
    /// Whether a random rotation follows, which spreads the variance over all dimensions.
    pub rotate: bool,
}

impl PcaSpec {
    /// A projection to `dim_out` dimensions, without whitening or rotation.
    pub fn new(dim_out: usize) -> Self {
        Self { dim_out, whiten: false, rotate: false }
    }
}

impl fmt::Display for PcaSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [whiten, rotate] =
            [(self.whiten, "W"), (self.rotate, "R")].map(|(is, letter)| if is { letter } else { "" });
        write!(f, "PCA{whiten}{rotate}{}", self.dim_out)
    }
}

impl TransformSpec for PcaSpec {
    fn dim_out(&self, dim: usize, metric: Metric) -> Result<usize, BuildError> {
        check_rotation(self, metric)?;
        let dim_out = check_dims(self, dim, self.dim_out)?;
        check_projection(self, dim, dim_out)?;
        Ok(dim_out)
    }

    fn is_reversible(&self) -> bool {
        true
    }

    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        POINTS
    }

    fn training_memory(&self, dim: usize, metric: Metric, points: usize, _options: &TrainOptions<'_>) -> usize {
        let Ok(dim_out) = self.dim_out(dim, metric) else { return 0 };
        let rotation = if self.rotate { 2 * dim_out * (dim_out + dim) * size_of::<f64>() } else { 0 };
        moments::sampled(dim, points)
            + moments::memory(dim)
            + eigen::memory(dim).max(rotation)
            + 3 * dim_out * dim * size_of::<f64>()
    }

    fn train(
        &self,
        rows: AnyRows<'_>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Transform>, TrainReport), TrainError> {
        options.check_cancel()?;
        check_training(self.dim_out(rows.dim(), metric))?;
        let centred = metric == Metric::L2;
        // Differences from the mean of n vectors span n - 1 dimensions.
        check_points(format!("the directions of {self}"), self.dim_out + usize::from(centred), rows.len())?;
        let mut scratch = Vec::new();
        let points = Points::sample(rows, centred, options, &mut scratch);
        let principal = principal(&points, self.dim_out, options)?;
        let map = self.map(&points, principal, centred, options)?;
        let mut report = TrainReport::default();
        report.points = points.len();
        Ok((Arc::new(map), report))
    }
}

/// Returns the `count` directions of the largest second moment of some points. Reports two steps of
/// progress: the moments, and their eigenvectors.
pub(super) fn principal(points: &Points<'_>, count: usize, options: &TrainOptions<'_>) -> Result<Eigen, TrainError> {
    let step = |done| {
        if let Some(progress) = options.progress {
            progress.step("principal directions", done, 2);
        }
    };
    let mut moments = points.moments(options)?;
    step(1);
    let found = eigen(&mut moments, points.dim(), count, options)?;
    step(2);
    options.check_cancel()?;
    Ok(found)
}

/// Returns numbers as `f32`, cut to its range.
pub(super) fn floats(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&x| (x as f32).clamp(f32::MIN, f32::MAX)).collect()
}

impl PcaSpec {
    /// Makes the map of the directions.
    fn map(
        &self,
        points: &Points<'_>,
        Eigen { values, vectors }: Eigen,
        centred: bool,
        options: &TrainOptions<'_>,
    ) -> Result<LinearMap, TrainError> {
        let (n, dim) = (self.dim_out, points.dim());
        // The standard deviation of each projection, or 1.
        let deviations: Vec<f64> = match values.first() {
            Some(&largest) if self.whiten && largest > 0.0 => {
                values.iter().map(|value| value.max(largest * LEAST).sqrt() / points.scale).collect()
            }
            _ => vec![1.0; n],
        };
        let scaled = |power: i32| -> Vec<f64> {
            let rows = vectors.chunks_exact(dim).zip(&deviations);
            rows.flat_map(|(row, deviation)| row.iter().map(move |x| x * deviation.powi(power))).collect()
        };
        let rotation = if self.rotate { Some(orthogonal::random(n, n, options)?) } else { None };
        let rotated = |rows: Vec<f64>| match &rotation {
            Some(rotation) => orthogonal::product(rotation, n, &rows, dim, options.executor),
            None => rows,
        };
        let matrix = floats(&rotated(scaled(-1)));
        // The transposed matrix, with deviations multiplied where the other divides by them.
        let inverse = self.whiten.then(|| floats(&orthogonal::transposed(&rotated(scaled(1)), dim)));
        let inverse = inverse.as_ref().map(|inverse| Rows::new(inverse, n).expect("whole rows"));
        let mean = centred.then(|| points.mean());
        let matrix = Rows::new(&matrix, dim).expect("whole rows");
        LinearMap::new(TAG, Arc::new(*self), matrix, mean, inverse)
            .map_err(|error| TrainError::Unsupported { kind: self.to_string(), what: error.to_string() })
    }
}
